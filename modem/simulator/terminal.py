"""The modem's side of the AT dialogue: typing, echo, prompt, answers, and lines that come unasked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from modem.simulator.commands import errors, syntax
from modem.simulator.commands.errors import AtError
from modem.simulator.commands.outcome import Ask, Dead, Response, Silence, Step, Wait
from modem.simulator.faults import AnswerFault
from modem.simulator.timers import Timers

if TYPE_CHECKING:
    from modem.simulator.equipment import Equipment

LONGEST_LINE = 1024  # a command line longer than that is answered by ERROR
LONGEST_PDU = 1024  # characters at the prompt; what comes beyond is not kept
_CTRL_Z, _ESC = 0x1A, 0x1B


class _Mode(Enum):
    COMMAND = auto()
    BUSY = auto()  # a command runs
    PROMPT = auto()
    OFF = auto()  # no power, still starting, or hung


class Terminal:
    """Takes bytes from the line, gives bytes to it."""

    def __init__(self, modem: Equipment, write: Callable[[bytes], None]) -> None:
        self._modem, self._write = modem, write
        self._timers = Timers()
        self._mode = _Mode.OFF
        self._input = bytearray()
        self._line = bytearray()
        self._held: list[bytes] = []
        self._rest: list[syntax.Command] = []  # of the line in work
        self._ask: Ask | None = None
        self._last = ""
        self._deaf = False  # auto-baud: the speed is not known before the first AT

    # -- power

    def on(self, *, speed_known: bool = True) -> None:
        """The UART is heard from now on; nothing is said before the speed is known."""
        self._mode = _Mode.COMMAND
        self._deaf = not speed_known

    def off(self) -> None:
        """Nothing is heard or said; a command in work is forgotten."""
        self._timers.cancel()
        self._mode = _Mode.OFF
        self._ask = None
        self._input.clear()
        self._line.clear()
        self._held.clear()
        self._rest.clear()

    @property
    def listening(self) -> bool:
        """Neither off nor hung."""
        return self._mode is not _Mode.OFF

    # -- the line

    def feed(self, data: bytes) -> None:
        """Bytes that came in."""
        if self._mode is _Mode.OFF:
            return
        if self._mode is _Mode.BUSY and not self._modem.personality.keeps_typeahead:
            return
        self._input += data
        self._work()

    def say(self, *lines: str, at_once: bool = False) -> None:
        """Unsolicited lines in one burst; `+CDS: 26\\r\\n0791…` is one line here."""
        said = "".join(f"\r\n{line}\r\n" for line in lines).encode("latin-1", "replace")
        if not said or self._deaf or self._mode is _Mode.OFF:
            return
        holds = self._mode is _Mode.PROMPT and self._modem.personality.holds_at_prompt
        if holds and not at_once:
            self._held.append(said)
        else:
            self._write(said)

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
        self._begin(line)

    def _typed_at_prompt(self) -> None:
        ends = [p for p in (self._input.find(_CTRL_Z), self._input.find(_ESC)) if p >= 0]
        piece = bytes(self._input[: min(ends)] if ends else self._input)
        end = self._input[min(ends)] if ends else None
        del self._input[: len(piece) + (end is not None)]
        self._repeat(piece)
        if len(self._line) <= LONGEST_PDU:
            self._line += piece
        if end is None:
            return
        text = bytes(self._line).decode("latin-1")
        self._line.clear()
        ask, self._ask = self._ask, None
        assert ask is not None  # the mode says that the prompt stands
        self._mode = _Mode.BUSY
        held, self._held = self._held, []
        for said in held:
            self._write(said)
        self._take(ask.then(text if end == _CTRL_Z else None))

    def _repeat(self, piece: bytes) -> None:
        if not self._modem.modes.echo:
            return
        fault = self._modem.faults.echo()
        if fault is None:
            self._write(piece)
            return
        self._write(piece[: fault.cut])
        self.say(*fault.urc, at_once=True)
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
            self._deaf = False  # by this AT the speed was found: it is not carried out
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

    def _next(self) -> Step:
        """The next command of the line."""
        if not self._rest:
            return Response()
        command = self._rest.pop(0)
        fault = self._modem.fault(command)
        if fault is None:
            return self._modem.execute(command)
        self.say(*fault.before)
        if fault.late:
            return Wait(fault.late, lambda: self._spoilt(fault, command))
        return self._spoilt(fault, command)

    def _spoilt(self, fault: AnswerFault, command: syntax.Command) -> Step:
        """A command's step as a fault leaves it."""
        if fault.restart:
            self._modem.restart()
            return Dead()
        if fault.silent:
            return Silence()
        if fault.final is not None:
            return Response(fault.lines or (), None if fault.final == "OK" else fault.final)
        step = self._modem.execute(command)
        if not isinstance(step, Response):
            self.say(*fault.urc)
            return step
        if fault.lines is not None:
            step = Response(fault.lines)
        if not fault.urc:
            return step
        if fault.cut is None:
            return Response(step.lines, step.final, step.after, lambda: self.say(*fault.urc))
        whole = self._spoken(step)
        self._write(whole[: fault.cut])
        self.say(*fault.urc)
        self._write(whole[fault.cut :])
        self._rest.clear()
        if step.after:
            step.after()
        return Silence()

    def _take(self, step: Step) -> None:
        """Do what a step says, and go on until something has to be waited for."""
        while True:
            match step:
                case Wait():
                    if not self._modem.personality.keeps_typeahead:
                        self._input.clear()
                    self._timers.later(step.seconds, partial(self._resume, step))
                    return
                case Ask():
                    self._ask = step
                    self._mode = _Mode.PROMPT
                    self._input.clear()  # who does not wait for the prompt types in vain
                    self._write(b"\r\n> ")
                    if step.shown:
                        step.shown()
                    return
                case Dead():
                    self.off()
                    return
                case Silence():
                    self._finish()
                    return
                case Response():
                    if self._rest and step.final is None:
                        self._write(self._information(step))
                        if step.middle:
                            step.middle()
                        if step.after:
                            step.after()
                        if self._mode is not _Mode.BUSY:
                            return
                        step = self._next()
                        continue
                    self._answer(step)
                    return

    def _resume(self, step: Wait) -> None:
        self._take(step.then())

    def _answer(self, step: Response) -> None:
        if step.middle is None:
            self._write(self._spoken(step))
        else:
            self._write(self._information(step))
            step.middle()
            if self._mode is _Mode.OFF:
                return
            self._write(self._spoken(Response((), step.final)))
        self._finish()
        if step.after:
            step.after()

    def _finish(self) -> None:
        self._rest.clear()
        self._modem.answered()
        if self._mode is not _Mode.OFF:
            self._mode = _Mode.COMMAND
        if self._input:
            # In a turn of its own, so that a long line of typed-ahead commands starves nobody.
            asyncio.get_running_loop().call_soon(self._work)

    # -- how answers look (V.250 5.7.1)

    def _information(self, step: Response) -> bytes:
        if not step.lines:
            return b""
        start = "\r\n" if self._modem.modes.verbose else ""
        return "".join(f"{start}{line}\r\n" for line in step.lines).encode("latin-1", "replace")

    def _spoken(self, step: Response) -> bytes:
        said = self._information(step)
        if self._modem.modes.quiet:
            return said
        final = step.final
        cmee = 2 if self._modem.personality.always_words else self._modem.modes.cmee
        words = final.spoken(cmee) if isinstance(final, AtError) else final or "OK"
        if self._modem.modes.verbose:
            return said + b"\r\n" + words.encode("latin-1", "replace") + b"\r\n"
        return said + {"OK": "0", "ERROR": "4"}.get(words, words).encode() + b"\r"
