"""Faults that a test requests: what they affect, how often, and how."""

from __future__ import annotations

import random
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Generic, Literal, TypeVar

import msgspec

from modem.simulator.commands.errors import AtError
from modem.sms.tpdu import Report, encode_report

Stage = Literal["command", "prompt", "body", "taken", "answer"]


class FaultSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a fault strikes. Of the matching events: not the first `skip`, then every `every`-th."""

    times: int | None = 1  # the number of strikes; None: unlimited
    every: int = 1
    skip: int = 0
    probability: float = 1.0
    seconds: float | None = None  # ends after this time


class SendFault(FaultSchedule, frozen=True, kw_only=True, tag_field="do", tag="send"):
    """Affects a send at one of its stages.

    command: after AT+CMGS, before the prompt; prompt: after the prompt; body: after Ctrl-Z, before the
    network has the part; taken: the network has the part, before the response; answer: between +CMGS and OK.
    """

    at: Stage = "body"
    to: str = "*"  # pattern of the recipient, which is unknown at "command" and "prompt"
    urc: tuple[str, ...] = ()  # lines sent at this stage
    late: float = 0.0  # seconds of waiting at this stage
    cms: int | None = None  # error with this code
    cme: int | None = None
    final: str | None = None  # end with exactly this line
    silent: bool = False  # no response; the modem accepts the next command
    hang: bool = False  # no response to anything until the restart
    restart: bool = False  # the modem restarts
    say: tuple[str, ...] = ()  # lines before restart or unplug
    unplug: bool = False  # the port disappears
    back_after: float = (
        0.0  # with restart: seconds without power; with unplug: seconds without port
    )
    stays_away: bool = False  # with unplug: until the control command "plug"

    @property
    def refusal(self) -> AtError | None:
        """The error that the fault asks for, if any."""
        if self.cms is not None:
            return AtError("CMS", self.cms)
        return AtError("CME", self.cme) if self.cme is not None else None


class ReportFault(FaultSchedule, frozen=True, kw_only=True, tag_field="do", tag="report"):
    """Affects the delivery reports of a part."""

    to: str = "*"
    lost: bool = False
    early: bool = False  # before the response to AT+CMGS
    delay: float | None = None  # instead of the configured delay
    status: tuple[int, ...] | None = None  # TP-ST of each report, in order
    apart: float = 0.0  # seconds between them
    copies: int = 1
    hold: bool = False  # keep the report until {"do": "release"}
    swap: bool = False  # after the next report of another part
    zero_times: bool = False  # TP-SCTS and TP-DT all zero
    recipient: str | None = None  # TP-RA: "national", or this text

    def __post_init__(self) -> None:
        """Raise ValueError for values that no report can encode."""
        for status in self.status or (0,):
            encode_report(Report(0, self.recipient or "", None, None, status))


class AnswerFault(FaultSchedule, frozen=True, kw_only=True, tag_field="do", tag="answer"):
    """Affects the response to a command."""

    command: str = "*"  # pattern over the command without AT: "+CPMS*", "+CNMI=*", "*"
    late: float = 0.0
    silent: bool = False
    final: str | None = None  # only this final line
    lines: tuple[str, ...] | None = None  # these lines instead of the information lines
    urc: tuple[str, ...] = ()  # sent in the middle of the response
    before: tuple[str, ...] = ()  # sent before the response
    cut: int | None = None  # send `urc` after so many bytes of the response
    restart: bool = False  # the modem restarts instead of responding


class EchoFault(FaultSchedule, frozen=True, kw_only=True, tag_field="do", tag="echo"):
    """Affects the echo of a command, or of the text at the prompt."""

    urc: tuple[str, ...]  # sent within the echo
    cut: int = 3  # after so many bytes of it, or at its end


F = TypeVar("F", SendFault, ReportFault, AnswerFault, EchoFault)


class FaultRules(Generic[F]):
    """The active faults of one kind, oldest first; the first match wins."""

    def __init__(self, clock: Callable[[], float], chance: random.Random) -> None:
        self._clock = clock
        self._chance = chance
        self._rules: list[_Rule[F]] = []

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, fault: F) -> None:
        """Activate a fault."""
        end = None if fault.seconds is None else self._clock() + fault.seconds
        self._rules.append(_Rule(fault, end))

    def clear(self) -> None:
        """Remove all faults."""
        self._rules.clear()

    def strike(self, matches: Callable[[F], bool]) -> F | None:
        """Return the fault for an event, and count the strike. None: no fault."""
        now = self._clock()
        self._rules = [each for each in self._rules if each.end is None or now < each.end]
        for rule in self._rules:
            if matches(rule.fault) and rule.strikes(self._chance):
                self._rules = [each for each in self._rules if not each.spent]
                return rule.fault
        return None


class _Rule(Generic[F]):
    def __init__(self, fault: F, end: float | None) -> None:
        self.fault: F = fault
        self.end = end
        self.seen = self.struck = 0

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.struck >= self.fault.times

    def strikes(self, chance: random.Random) -> bool:
        if self.spent:
            return False
        self.seen += 1
        nth = self.seen - self.fault.skip
        if nth <= 0 or nth % self.fault.every:
            return False
        if self.fault.probability < 1 and chance.random() >= self.fault.probability:
            return False
        self.struck += 1
        return True


class Faults:
    """All active faults of one simulator."""

    def __init__(self, clock: Callable[[], float], chance: random.Random) -> None:
        self.sends: FaultRules[SendFault] = FaultRules(clock, chance)
        self.reports: FaultRules[ReportFault] = FaultRules(clock, chance)
        self.answers: FaultRules[AnswerFault] = FaultRules(clock, chance)
        self.echoes: FaultRules[EchoFault] = FaultRules(clock, chance)

    def send(self, stage: Stage, recipient: str) -> SendFault | None:
        """Return the fault of a send at this stage, if any. `recipient` is empty while unknown."""
        if not len(self.sends):
            return None
        return self.sends.strike(
            lambda fault: fault.at == stage and fnmatchcase(recipient, fault.to)
        )

    def report(self, recipient: str) -> ReportFault | None:
        """Return the fault for the reports of a part, if any."""
        if not len(self.reports):
            return None
        return self.reports.strike(lambda fault: fnmatchcase(recipient, fault.to))

    def answer(self, command: str) -> AnswerFault | None:
        """Return the fault for the response to a command (without its AT), if any."""
        if not len(self.answers):
            return None
        return self.answers.strike(lambda fault: fnmatchcase(command, fault.command))

    def echo(self) -> EchoFault | None:
        """Return the fault for the next echo, if any."""
        return self.echoes.strike(lambda _: True) if len(self.echoes) else None

    def clear(self) -> None:
        """Remove all faults."""
        self.sends.clear()
        self.reports.clear()
        self.answers.clear()
        self.echoes.clear()

    def active(self) -> int:
        """Return the number of active faults."""
        return len(self.sends) + len(self.reports) + len(self.answers) + len(self.echoes)
