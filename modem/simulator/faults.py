"""Faults on order: which send, report or command they strike, how often, and what they do to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Generic, Literal, TypeVar

import msgspec

from modem.simulator.commands.errors import AtError
from modem.sms.tpdu import Report, encode_report

Stage = Literal["command", "prompt", "body", "taken", "answer"]


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a fault strikes. Of those that match: not the first `skip`, then each `every`-th."""

    times: int | None = 1  # so often, then never again; None: without end
    every: int = 1
    skip: int = 0
    probability: float = 1.0
    seconds: float | None = None  # only so long from now


class SendFault(Choice, frozen=True, kw_only=True, tag_field="do", tag="send"):
    """Strikes a send at one of its stages.

    command: after AT+CMGS, before the prompt; prompt: after it; body: after Ctrl-Z, the network has
    nothing yet; taken: the network has it, no answer yet; answer: between +CMGS and OK.
    """

    at: Stage = "body"
    to: str = "*"  # recipient pattern; not known yet at "command" and "prompt"
    urc: tuple[str, ...] = ()  # lines said here
    late: float = 0.0  # seconds of waiting here
    cms: int | None = None  # refuse with this code
    cme: int | None = None
    final: str | None = None  # end with this very line
    silent: bool = False  # no answer; the modem takes the next command
    hang: bool = False  # no answer to anything until it is restarted
    restart: bool = False  # the modem starts anew
    say: tuple[str, ...] = ()  # its last words before restart or unplug
    unplug: bool = False  # the port vanishes
    back_after: float = 0.0  # with restart: seconds without power; with unplug: until it is back
    stays_away: bool = False  # with unplug: until it is plugged in by command

    @property
    def refusal(self) -> AtError | None:
        """The refusal that it asks for, as the modem would spell it."""
        if self.cms is not None:
            return AtError("CMS", self.cms)
        return AtError("CME", self.cme) if self.cme is not None else None


class ReportFault(Choice, frozen=True, kw_only=True, tag_field="do", tag="report"):
    """Strikes what the network reports on a part."""

    to: str = "*"
    lost: bool = False
    early: bool = False  # before the answer to AT+CMGS
    delay: float | None = None  # instead of the usual delay
    status: tuple[int, ...] | None = None  # TP-ST of each report, in order
    apart: float = 0.0  # seconds between them
    copies: int = 1
    hold: bool = False  # until {"do": "release"}
    swap: bool = False  # after the next report of another part
    zero_times: bool = False  # TP-SCTS and TP-DT all zero
    recipient: str | None = None  # TP-RA: "national", or what is written here

    def __post_init__(self) -> None:
        """ValueError now, for what no report can say: later it would break a send."""
        for status in self.status or (0,):
            encode_report(Report(0, self.recipient or "", None, None, status))


class AnswerFault(Choice, frozen=True, kw_only=True, tag_field="do", tag="answer"):
    """Strikes the answer to a command."""

    command: str = "*"  # pattern over the command without AT: "+CPMS*", "+CNMI=*", "*"
    late: float = 0.0
    silent: bool = False
    final: str | None = None  # this final line instead, and no others
    lines: tuple[str, ...] | None = None  # these lines instead
    urc: tuple[str, ...] = ()  # said in the middle of the answer
    before: tuple[str, ...] = ()  # said before it
    cut: int | None = None  # `urc` after so many bytes of the answer, wherever that is
    restart: bool = False  # brown-out instead of the answer: the modem starts anew


class EchoFault(Choice, frozen=True, kw_only=True, tag_field="do", tag="echo"):
    """Strikes what the modem repeats of a command or of a text at the prompt, where its echo is on."""

    urc: tuple[str, ...]  # said within it
    cut: int = 3  # … after so many bytes of it, at its end if it is shorter


F = TypeVar("F", SendFault, ReportFault, AnswerFault, EchoFault)


class FaultRules(Generic[F]):
    """The standing orders of one kind, oldest first; the first that strikes is the one."""

    def __init__(self, clock: Callable[[], float], chance: random.Random) -> None:
        self._clock = clock
        self._chance = chance
        self._rules: list[_Rule[F]] = []

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, fault: F) -> None:
        """From now on."""
        end = None if fault.seconds is None else self._clock() + fault.seconds
        self._rules.append(_Rule(fault, end))

    def clear(self) -> None:
        """No fault stands any more."""
        self._rules.clear()

    def strike(self, matches: Callable[[F], bool]) -> F | None:
        """The fault that strikes something that `matches`, counted; None mostly."""
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
    """All standing orders of one simulator."""

    def __init__(self, clock: Callable[[], float], chance: random.Random) -> None:
        self.sends: FaultRules[SendFault] = FaultRules(clock, chance)
        self.reports: FaultRules[ReportFault] = FaultRules(clock, chance)
        self.answers: FaultRules[AnswerFault] = FaultRules(clock, chance)
        self.echoes: FaultRules[EchoFault] = FaultRules(clock, chance)

    def send(self, stage: Stage, recipient: str) -> SendFault | None:
        """What happens to a send at this stage. `recipient` is empty where it is not known."""
        if not len(self.sends):
            return None
        return self.sends.strike(
            lambda fault: fault.at == stage and fnmatchcase(recipient, fault.to)
        )

    def report(self, recipient: str) -> ReportFault | None:
        """What happens to the reports on a part."""
        if not len(self.reports):
            return None
        return self.reports.strike(lambda fault: fnmatchcase(recipient, fault.to))

    def answer(self, command: str) -> AnswerFault | None:
        """What happens to the answer to a command (without its AT)."""
        if not len(self.answers):
            return None
        return self.answers.strike(lambda fault: fnmatchcase(command, fault.command))

    def echo(self) -> EchoFault | None:
        """What happens to the next bytes that are repeated."""
        return self.echoes.strike(lambda _: True) if len(self.echoes) else None

    def clear(self) -> None:
        """All is well again."""
        self.sends.clear()
        self.reports.clear()
        self.answers.clear()
        self.echoes.clear()

    def standing(self) -> int:
        """How many orders stand."""
        return len(self.sends) + len(self.reports) + len(self.answers) + len(self.echoes)
