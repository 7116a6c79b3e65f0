"""The modem's side of the AT interface: input, echo, prompt, responses and URCs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from modem.simulator.commands import errors, syntax
from modem.simulator.commands.errors import AtError
from modem.simulator.commands.outcome import Ask, CommandOutcome, Dead, Response, Silence, Wait
from modem.simulator.faults import AnswerFault
from modem.simulator.timers import Timers

if TYPE_CHECKING:
    from modem.simulator.equipment import Equipment

LONGEST_LINE = 1024  # the response to a longer command line is ERROR
LONGEST_PDU = 1024  # characters at the prompt; more are dropped
_CTRL_Z, _ESC = 0x1A, 0x1B


class _Mode(Enum):
    COMMAND = auto()
    BUSY = auto()  # a command runs
    PROMPT = auto()
    OFF = auto()  # no power, still starting, or hung


class Terminal:
    """Reads bytes from the line and writes bytes to it."""

    def __init__(self, modem: Equipment, write: Callable[[bytes], None]) -> None:
        self._modem, self._write = modem, write
        self._timers = Timers()
        self._mode = _Mode.OFF
        self._input = bytearray()
        self._line = bytearray()
        self._held: list[bytes] = []
        self._rest: list[syntax.Command] = []  # the commands of the line that are not executed yet
        self._ask: Ask | None = None
        self._last = ""
        self._deaf = False  # auto-baud: the speed is unknown before the first AT

    # -- power

    def on(self, *, speed_known: bool = True) -> None:
        """Accept input. Send nothing before the speed is known."""
        self._mode = _Mode.COMMAND
        self._deaf = not speed_known

    def off(self) -> None:
        """Ignore input and send nothing; drop the running command."""
        self._timers.cancel()
        self._mode = _Mode.OFF
        self._ask = None
        self._input.clear()
        self._line.clear()
        self._held.clear()
        self._rest.clear()

    @property
    def listening(self) -> bool:
        """Whether the terminal is neither off nor hung."""
        return self._mode is not _Mode.OFF

    # -- the line

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._mode is _Mode.OFF:
            return
        if self._mode is _Mode.BUSY and not self._modem.personality.keeps_typeahead:
            return
        self._input += data
        self._work()

    def send_urc(self, *lines: str, at_once: bool = False) -> None:
        """Send URCs in one burst; `+CDS: 26\\r\\n0791…` counts as one line."""
        urcs = "".join(f"\r\n{line}\r\n" for line in lines).encode("latin-1", "replace")
        if not urcs or self._deaf or self._mode is _Mode.OFF:
            return
        holds = self._mode is _Mode.PROMPT and self._modem.personality.holds_at_prompt
        if holds and not at_once:
            self._held.append(urcs)
        else:
            self._write(urcs)

    def _work(self) -> None:
        while self._input and self._mode in (_Mode.COMMAND, _Mode.PROMPT):
            if self._mode is _Mode.PROMPT:
                self._typed_at_prompt()
            else:
                self._typed_at_command()

    def _typed_at_command(self) -> None:
        end = self._input.find(b"\r") + 1
        piece = bytes(self._input[: end or None])
        del self._input[: len(piece)]
        if not self._deaf:
            self._repeat(piece)
        if len(self._line) <= LONGEST_LINE:
            self._line += piece
        if not end:
            return
        line = bytes(self._line).decode("latin-1")
        self._line.clear()
        if (
            self._modem.personality.escape_begins_line
            and line.startswith("\x1b")
            and line.strip("\x1b\r")
        ):
            self._answer(Response((), errors.ERROR))
            return
        self._begin(line)

    def _typed_at_prompt(self) -> None:
        ends = [p for p in (self._input.find(_CTRL_Z), self._input.find(_ESC)) if p >= 0]
        piece = bytes(self._input[: min(ends)] if ends else self._input)
        end = self._input[min(ends)] if ends else None
        del self._input[: len(piece) + (end is not None)]
        escape = bytes([_ESC]) if end == _ESC and self._modem.personality.echoes_escape else b""
        self._repeat(piece + escape, text=True)
        if len(self._line) <= LONGEST_PDU:
            self._line += piece
        if end is None:
            return
        text = bytes(self._line).decode("latin-1")
        self._line.clear()
        ask, self._ask = self._ask, None
        assert ask is not None  # the mode says that the prompt is open
        self._mode = _Mode.BUSY
        held, self._held = self._held, []
        for urcs in held:
            self._write(urcs)
        self._take(ask.then(text if end == _CTRL_Z else None))

    def _repeat(self, piece: bytes, *, text: bool = False) -> None:
        kind = self._modem.personality
        if not (self._modem.modes.echo or kind.echo_stays or (text and kind.echoes_texts)):
            if kind.echoes_escape:
                self._write(bytes(each for each in piece if each == _ESC))
            return
        fault = self._modem.faults.echo()
        if fault is None:
            self._write(piece)
            return
        self._write(piece[: fault.cut])
        self.send_urc(*fault.urc, at_once=True)
        self._write(piece[fault.cut :])

    # -- commands

    def _begin(self, line: str) -> None:
        line = syntax.edited(line.rstrip("\r"))
        if line.strip().upper() == "A/":
            line = self._last
        body = syntax.body(line)
        if body is None:
            return
        if self._deaf:
            self._deaf = False  # this AT served to find the speed and is not executed
            return
        self._last = line
        self._mode = _Mode.BUSY
        try:
            if len(line) > LONGEST_LINE:
                raise syntax.SyntaxFault("too long")
            self._rest = syntax.parse(body) or [syntax.Command("", syntax.CommandKind.EXECUTE)]
        except syntax.SyntaxFault:
            self._rest = []
            self._take(Response((), errors.ERROR))
            return
        if self._modem.settings.command_delay:
            self._take(Wait(self._modem.settings.command_delay, self._next))
        else:
            self._take(self._next())

    def _next(self) -> CommandOutcome:
        """Execute the next command of the line."""
        if not self._rest:
            return Response()
        command = self._rest.pop(0)
        fault = self._modem.fault(command)
        if fault is None:
            return self._modem.execute(command)
        self.send_urc(*fault.before)
        if fault.late:
            return Wait(fault.late, lambda: self._with_fault(fault, command))
        return self._with_fault(fault, command)

    def _with_fault(self, fault: AnswerFault, command: syntax.Command) -> CommandOutcome:
        """Return a command's outcome as a fault changes it."""
        if fault.restart:
            self._modem.restart()
            return Dead()
        if fault.silent:
            return Silence()
        if fault.final is not None:
            return Response(fault.lines or (), None if fault.final == "OK" else fault.final)
        outcome = self._modem.execute(command)
        if not isinstance(outcome, Response):
            self.send_urc(*fault.urc)
            return outcome
        if fault.lines is not None:
            outcome = Response(fault.lines)
        if not fault.urc:
            return outcome
        if fault.cut is None:
            return Response(
                outcome.lines, outcome.final, outcome.after, lambda: self.send_urc(*fault.urc)
            )
        whole = self._encoded(outcome)
        self._write(whole[: fault.cut])
        self.send_urc(*fault.urc)
        self._write(whole[fault.cut :])
        self._rest.clear()
        if outcome.after:
            outcome.after()
        return Silence()

    def _take(self, outcome: CommandOutcome) -> None:
        """Execute an outcome, and the following ones until one has to wait."""
        while True:
            match outcome:
                case Wait():
                    if not self._modem.personality.keeps_typeahead:
                        self._input.clear()
                    self._timers.later(outcome.seconds, partial(self._resume, outcome))
                    return
                case Ask():
                    self._ask = outcome
                    self._mode = _Mode.PROMPT
                    self._input.clear()  # input before the prompt is lost
                    self._write(b"\r\n> ")
                    if outcome.shown:
                        outcome.shown()
                    return
                case Dead():
                    self.off()
                    return
                case Silence():
                    self._finish()
                    return
                case Response():
                    if self._rest and outcome.final is None:
                        self._write(self._information(outcome))
                        if outcome.middle:
                            outcome.middle()
                        if outcome.after:
                            outcome.after()
                        if self._mode is not _Mode.BUSY:
                            return
                        outcome = self._next()
                        continue
                    self._answer(outcome)
                    return

    def _resume(self, outcome: Wait) -> None:
        self._take(outcome.then())

    def _answer(self, response: Response) -> None:
        if response.middle is None:
            self._write(self._encoded(response))
        else:
            self._write(self._information(response))
            response.middle()
            if self._mode is _Mode.OFF:
                return
            self._write(self._encoded(Response((), response.final)))
        self._finish()
        if response.after:
            response.after()

    def _finish(self) -> None:
        self._rest.clear()
        self._modem.answered()
        if self._mode is not _Mode.OFF:
            self._mode = _Mode.COMMAND
        if self._input:
            # In an iteration of its own, so that many typed-ahead commands do not block the loop.
            asyncio.get_running_loop().call_soon(self._work)

    # -- the form of responses (V.250 5.7.1)

    def _information(self, response: Response) -> bytes:
        if not response.lines:
            return b""
        start = "\r\n" if self._modem.modes.verbose else ""
        return "".join(f"{start}{line}\r\n" for line in response.lines).encode("latin-1", "replace")

    def _encoded(self, response: Response) -> bytes:
        text = self._information(response)
        if self._modem.modes.quiet:
            return text
        final = response.final
        cmee = 2 if self._modem.personality.always_words else self._modem.modes.cmee
        words = final.result_line(cmee) if isinstance(final, AtError) else final or "OK"
        if self._modem.modes.verbose:
            return text + b"\r\n" + words.encode("latin-1", "replace") + b"\r\n"
        return text + {"OK": "0", "ERROR": "4"}.get(words, words).encode() + b"\r"
