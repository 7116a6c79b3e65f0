"""The one module that sees gsmmodem and pyserial: commands and answers over a serial line.

The library's class is kept and its transport replaced: `Modem → GsmModem → Transport →
SerialComms` is the order in which methods are found, so what the library writes comes through
here. Foreign errors end here and become `PortError`s.
"""

from __future__ import annotations

import contextlib
import glob
import termios
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
import serial
import structlog

from modem.boot import Boot, Meaning
from modem.lines import Heard, Kind, Sorted, Sorter, Splitter
from modem.timing import Line, Timing

with warnings.catch_warnings():
    # Its regular expressions are not raw strings: 28 warnings whenever it is compiled.
    warnings.simplefilter("ignore")
    from gsmmodem import exceptions as foreign
    from gsmmodem.modem import GsmModem
    from gsmmodem.serial_comms import SerialComms

CTRL_Z = "\x1a"
ESCAPE = "\x1b"
_READ_AT_MOST = 4096
_READ_SECONDS = 1.0  # a reader that nobody wakes looks whether it shall end

# Questions whose answers cannot be taken for one another's; asked after a time-out until two in
# a row are answered by their own answer (one could be the late answer of the round before).
_QUESTIONS = (
    ("AT+CMEE?", "+CMEE:"),
    ("AT+CSQ", "+CSQ:"),
    ("AT+CFUN?", "+CFUN:"),
    ("AT+CREG?", "+CREG:"),
)
_ROUNDS = 3
_IN_A_ROW = 2
_SHOWN = 60
_USUAL_BAUD = 115200

Log = structlog.stdlib.BoundLogger


class Answer(msgspec.Struct, frozen=True):
    """The lines of an answer, and the one that ended it (`>` for a prompt)."""

    lines: tuple[str, ...]
    final: str


class PortError(Exception):
    """Something on the line. The subclasses say what may be concluded from it."""


def shown(command: str) -> str:
    """`command` for eyes: without PIN or PUK, and a text only with its beginning."""
    command = command.strip()
    if command.upper().startswith("AT+CPIN="):
        return "AT+CPIN=…"
    return command if len(command) <= _SHOWN else f"{command[:_SHOWN]}…"


class PortLost(PortError):
    """There is no port, or it died, or it takes no more bytes."""


class NoAnswer(PortError):
    """The time-out of a command. `lines` had come by then. The next command resynchronises."""

    def __init__(self, command: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"no answer to {shown(command)}")
        self.lines = lines


class Refused(PortError):
    """The modem's answer is an error: `line` in its own words."""

    def __init__(self, command: str, line: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{shown(command)}: {line}")
        self.line = line
        self.lines = lines


class Restarted(PortError):
    """The modem restarted while a command was open: no answer will come, all settings are gone."""


_OURS: tuple[tuple[type[BaseException], type[PortError]], ...] = (
    (foreign.TimeoutException, NoAnswer),
    (foreign.GsmModemException, Refused),  # its commands', states' and codec's errors
    (serial.SerialException, PortLost),  # its time-outs too: a line that takes no bytes is lost
    (OSError, PortLost),
    (termios.error, PortLost),  # not an OSError
    (ValueError, PortLost),  # a speed that the port cannot do
    (AttributeError, PortLost),  # pyserial, where another thread has just closed the port
    (TypeError, PortLost),  # the same, in select()
)


@contextlib.contextmanager
def ours(what: str) -> Iterator[None]:
    """Turns every error of the two libraries into a `PortError`."""
    try:
        yield
    except PortError:
        raise
    except tuple(theirs for theirs, _ in _OURS) as error:
        kind = next(kind for theirs, kind in _OURS if isinstance(error, theirs))
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if kind is PortLost:
            raise PortLost(f"{what}: {words}") from error
        if kind is Refused:
            raise Refused(what, words) from error
        raise NoAnswer(what) from error


def find(path: str) -> str:
    """The port that `path` (a name, or a pattern) stands for now, or PortLost."""
    if not glob.has_magic(path):
        return path
    found = sorted(glob.glob(path))  # noqa: PTH207 - patterns are absolute, pathlib refuses those
    if not found:
        raise PortLost(f"no port like {path}")
    return found[0]


class Transport(SerialComms):  # type: ignore[misc]  # the library is not typed
    """One reader thread that sorts lines; one command at a time, asked by whoever owns the modem."""

    # Given by `Modem` before the library's own construction begins
    _line: Line
    _timing: Timing
    _hear: Callable[[Heard], None]
    _lost: Callable[[str], None]
    _log: Log

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.serial: serial.Serial | None = None
        self.boot = Boot(time.monotonic(), self._timing.boot_seconds)
        self.damaged = 0  # lines that the transmission has spoilt
        self.echoed = False  # the modem repeated our words
        self.suspect = False  # it may have restarted: look whether its settings are still there
        self.stale = False  # answers that nobody waits for may still come
        self._turn = threading.Condition()  # guards what follows
        self._sorter = Sorter()
        self._lines: list[str] = []
        self._ended = ""  # what ended the command: its final line, `>` for the prompt
        self._restarted = False
        self._reason = ""  # why the port is dead
        self._heard_at = 0.0

    def connect(self) -> None:
        """Opens the port and starts to read. PortLost if that is not possible."""
        name = find(self._line.path)
        with ours(f"open {name}"):
            self.serial = serial.Serial(
                port=name,
                baudrate=self.baudrate,
                timeout=_READ_SECONDS,
                write_timeout=self._timing.write_seconds,
                exclusive=True,
                rtscts=self._line.rtscts,
                dsrdtr=False,
            )
        self.alive = True
        self.boot.began(time.monotonic())
        self.rxThread = threading.Thread(
            target=self._readLoop, name=f"read {self._line.path}", daemon=True
        )
        self.rxThread.start()

    def close(self) -> None:
        """Closes the port; an open command ends with PortLost. More than once is fine."""
        self._die("closed")
        port, self.serial = self.serial, None
        if port is None:
            return
        with contextlib.suppress(PortError), ours("close"):
            port.cancel_read()
        if self.rxThread is not threading.current_thread():
            self.rxThread.join(_READ_SECONDS * 2)
        with contextlib.suppress(PortError), ours("close"):
            port.close()

    # Reading

    def _readLoop(self) -> None:  # noqa: N802 - the library's name
        splitter = Splitter()
        port = self.serial
        try:
            with ours("read"):
                while self.alive and port is not None:
                    data = port.read(1)
                    if data and (more := port.in_waiting):
                        data += port.read(min(more, _READ_AT_MOST))
                    if data:
                        self._take(splitter, data)
        except PortError as error:
            self._die(str(error))

    def _take(self, splitter: Splitter, data: bytes) -> None:
        self._heard_at = time.monotonic()
        for line in splitter.feed(data):
            self._handleLineRead(line)
        with self._turn:
            if self._sorter.prompting and splitter.prompted():
                self._end(">")

    def _handleLineRead(self, line: str, checkForResponseTerm: bool = True) -> None:  # noqa: N802, N803
        with self._turn:
            found = tuple(self._sorter.sort(line))
            for one in found:
                self._settle(one)
        for one in found:
            if one.heard is not None:
                self._hear(one.heard)

    def _settle(self, one: Sorted) -> None:
        match one.kind:
            case Kind.ANSWER:
                self._lines.append(one.line)
                self._turn.notify_all()
            case Kind.FINAL:
                self._end(one.line)
            case Kind.PROMPT:
                self._end(">")
            case Kind.ECHO:
                self.echoed = True
            case Kind.STRAY:
                self.stale = True
                self._log.info("an answer to nothing", line=one.line)
            case Kind.DAMAGED:
                self.damaged += 1
                self._log.warning("a damaged line", line=one.line)
            case Kind.EVENT:
                self._notice_start(one.line)

    def _notice_start(self, line: str) -> None:
        match self.boot.line(line, time.monotonic()):
            case Meaning.RESTART:
                self._restarted = True
                self._turn.notify_all()
            case Meaning.SUSPECT:
                self.suspect = True

    def _end(self, with_line: str) -> None:
        self._ended = with_line
        self._sorter.end()
        self._turn.notify_all()

    def _die(self, reason: str) -> None:
        with self._turn:
            was_alive, self.alive = self.alive, False
            self._reason = reason if was_alive else self._reason or reason
            self._turn.notify_all()
        if was_alive and reason != "closed":
            self._lost(reason)

    # Asking

    @property
    def restarted(self) -> bool:
        """Whether the modem said since `settled` that it has started anew."""
        return self._restarted

    def settled(self) -> None:
        """What was heard of restarts and echoes is dealt with: the settings are made (again)."""
        with self._turn:
            self._restarted = False
            self.suspect = False
            self.echoed = False

    def put(self, data: str) -> None:
        """Writes without waiting for an answer. PortLost."""
        port = self.serial
        if not self.alive or port is None:
            raise PortLost(self._reason or "closed")
        try:
            with ours("write"):
                port.write(data.encode("latin-1"))
        except PortLost as error:
            self._die(str(error))
            raise

    def exchange(
        self,
        data: str,
        seconds: float,
        *,
        answers: tuple[str, ...] = (),
        prompt: bool = False,
        text: bool = False,
    ) -> Answer:
        """Writes `data` and waits for the end of its answer. NoAnswer, PortLost, Restarted.

        With `prompt` the end may be `>`; with `text` the data are the text that was prompted for,
        and the line that names the reference is answer enough if its OK is lost.
        """
        with self._turn:
            if self._restarted:
                raise Restarted(f"the modem restarted before {shown(data)}")
            self._lines = []
            self._ended = ""
            self._sorter.begin(
                "AT+CMGS" if text else data, answers=answers, prompt=prompt, text=data
            )
        try:
            self.put(data)
            with self._turn:
                self._turn.wait_for(lambda: self._over or (text and self._referred), seconds)
                if not self._over and text and self._referred:
                    self._turn.wait_for(lambda: self._over, self._timing.reference_seconds)
                return self._result(data)
        finally:
            with self._turn:
                self._sorter.end()

    @property
    def _referred(self) -> bool:
        return any(line.upper().startswith("+CMGS:") for line in self._lines)

    @property
    def _over(self) -> bool:
        return bool(self._ended) or self._restarted or not self.alive

    def _result(self, data: str) -> Answer:
        lines = tuple(self._lines)
        if self._ended:
            return Answer(lines, self._ended)
        self.stale = True
        if not self.alive:
            raise PortLost(self._reason)
        if self._restarted:
            raise Restarted(f"the modem restarted during {shown(data)}")
        raise NoAnswer(data, lines)


class Modem(GsmModem, Transport):  # type: ignore[misc]
    """AT commands, asked one at a time. Every error is a `PortError`."""

    def __init__(
        self,
        line: Line,
        timing: Timing,
        *,
        hear: Callable[[Heard], None],
        lost: Callable[[str], None],
        log: Log,
    ) -> None:
        """`hear` and `lost` are called in the reader's thread."""
        self._line = line
        self._timing = timing
        self._hear = hear
        self._lost = lost
        self._log = log
        self.resyncs = 0  # after time-outs; the start-up's own does not count
        super().__init__(line.path, line.baud or _USUAL_BAUD)

    def connect(self, pin: str | None = None, waitingForModemToStartInSeconds: float = 0) -> None:  # noqa: N803
        """Opens the port, no more: the modem is brought up by `modem.startup`."""
        Transport.connect(self)

    def ask(
        self, command: str, seconds: float | None = None, *, answers: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """The lines of the answer without its OK. Refused, NoAnswer, PortLost, Restarted."""
        self._clean()
        return self._plain(command, seconds or self._timing.command_seconds, answers)

    def _plain(
        self, command: str, seconds: float, answers: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        answer = self.exchange(command + "\r", seconds, answers=answers)
        if answer.final.upper() != "OK":
            raise Refused(command, answer.final, answer.lines)
        return answer.lines

    def prompt(self, command: str) -> None:
        """Asks for the prompt of `command`. When it raises, the modem is not waiting for a text,
        or the next command sees to that."""
        self._clean()
        try:
            answer = self.exchange(command + "\r", self._timing.prompt_seconds, prompt=True)
        except NoAnswer:
            self.put(ESCAPE)
            raise
        if answer.final != ">":
            raise Refused(command, answer.final, answer.lines)
        if self.echoed:
            self.escape()
            raise Restarted("the modem echoes again")

    def text(self, hex_digits: str) -> tuple[str, ...]:
        """Gives the text that was prompted for; the answer's lines. From here on it may go out."""
        answer = self.exchange(hex_digits + CTRL_Z, self._timing.network_seconds, text=True)
        if answer.final.upper() != "OK":
            raise Refused("AT+CMGS", answer.final, answer.lines)
        return answer.lines

    def escape(self) -> None:
        """Leaves the prompt without sending anything; the modem's OK to that may be late."""
        self.stale = True
        self.put(ESCAPE)

    def probe(self, command: str, seconds: float) -> bool:
        """Whether there is an OK to `command`, asked without regard to what came before."""
        try:
            self._plain(command, seconds)
        except (NoAnswer, Refused, Restarted):
            return False
        return True

    def write(
        self,
        data: str,
        waitForResponse: bool = True,  # noqa: N803 - the library's names
        timeout: float = 10,
        parseError: bool = True,  # noqa: N803
        writeTerm: str = "\r",  # noqa: N803
        expectedResponseTermSeq: str | None = None,  # noqa: N803
    ) -> list[str] | None:
        """For the library's own properties, in its words; never again by itself (its write does)."""
        if not waitForResponse:
            self.put(data + writeTerm)
            return None
        answer = self.exchange(data + writeTerm, timeout, prompt=bool(expectedResponseTermSeq))
        lines = [*answer.lines, answer.final]
        if parseError and lines[-1].upper() != "OK":
            raise foreign.CommandError(f"{data}: {lines[-1]}")
        return lines

    def word(self, name: Literal["manufacturer", "model", "revision", "imei", "imsi"]) -> str:
        """One of the library's questions about identity, "" where the modem would not say."""
        self._clean()
        try:
            with ours(name):
                found = getattr(self, name)
        except (Refused, NoAnswer):
            return ""
        return "" if found in (None, "OK") else str(found)  # OK: an answer without the word

    def speed(self, baud: int) -> None:
        """Goes on at another speed. PortLost if the port cannot."""
        self.baudrate = baud
        with ours(f"set {baud} baud"):
            if self.serial is not None:
                self.serial.baudrate = baud

    def _clean(self) -> None:
        if self.stale:
            self.resyncs += 1
            self.resynchronise()
            self.suspect = True  # a silence may have been a restart

    def resynchronise(self) -> None:
        """After a time-out: leaves a possible prompt and finds question and answer together again.

        NoAnswer if that does not succeed, PortLost, Restarted.
        """
        fitting = 0
        for command, prefix in _QUESTIONS * _ROUNDS:
            if not fitting:
                self.put(ESCAPE)
                self._wait_for_quiet()
            self.stale = False
            try:
                lines = self._plain(command, self._timing.resync_seconds)
                fits = len(lines) == 1 and lines[0].upper().startswith(prefix)
            except Refused:
                continue  # a question that this modem does not know proves nothing
            except NoAnswer:
                fits = False
            fitting = fitting + 1 if fits and not self.stale else 0
            if fitting == _IN_A_ROW:
                self._log.info("in step with the modem again")
                return
        self.stale = True
        raise NoAnswer("every question of the resynchronisation")

    def _wait_for_quiet(self) -> None:
        """Until nothing was heard for a moment, at most ten of them."""
        pause = self._timing.resync_pause_seconds
        for _ in range(10):
            before = self._heard_at
            with self._turn:
                self._turn.wait_for(lambda: not self.alive, pause)
            if self._heard_at == before:
                return
