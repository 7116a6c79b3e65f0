"""Commands and responses over a serial port: a reader thread, and one command at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from modem.at.errors import (
    CommandError,
    Log,
    NoResponse,
    PortError,
    PortLost,
    Restarted,
    loggable_command,
    loggable_line,
)
from modem.at.line_parser import AtResponse, EchoMatch, LineKind, Sorted, Sorter, Splitter, Urc
from modem.at.line_quality import LineQuality, has_foreign_characters, is_corrupted_ok
from modem.at.restart_detection import Meaning, RestartDetector
from modem.at.serial_port import SerialPort, find
from modem.timeouts import SerialLine, Timing

# Without a prompt, ESC alone would be the beginning of the next command line, which some modules then refuse.
LEAVE_PROMPT = "\x1b\r"


class Transport:
    """A reader thread that classifies lines, and one command at a time by the owner thread.

    Takes the place of the library's transport (`SerialModem`), so some names are the library's.
    """

    alive: bool
    baudrate: int
    _reader: threading.Thread

    # Given by `SerialModem` before the library's own construction begins
    _line: SerialLine
    _timing: Timing
    _on_urc: Callable[[Urc], None]
    _on_lost: Callable[[str], None]
    _quality: LineQuality
    _log: Log

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.serial: SerialPort | None = None
        self.boot = RestartDetector(time.monotonic(), self._timing.boot_seconds)
        self.echo_wanted = False  # requested by us, so the echo does not indicate a restart
        self.echo_stays = False  # the modem echoes in spite of ATE0, so neither does this
        self.echoed = False  # the modem echoed although the echo was switched off
        self.suspect = False  # it may have restarted: check its settings
        self.verified_at = 0.0  # when the settings were last verified (monotonic)
        self.last_byte_at = 0.0  # when the last byte arrived (monotonic)
        self.stale = False  # answers that nobody waits for may still arrive
        self.unexpected_acceptance = False  # a +CMGS arrived that nobody waited for
        self._condition = threading.Condition()  # guards what follows
        self._splitter = Splitter()
        self._sorter = Sorter()
        self._lines: list[str] = []
        self._ended = ""  # the final line of the command, `>` for the prompt
        self._checking_echo = False
        self._restarted = False
        self._configured = False  # what arrives now is not start-up noise
        self._reason = ""  # why the port is closed
        self._closing_by = ""  # a line that starts so is sufficient as an answer
        self._at_latest = 0.0  # when the command that is open stops waiting (monotonic)

    def connect(self) -> None:
        """Open the port and start reading. Raises PortLost."""
        name = find(self._line.path)
        self.serial = SerialPort(name, self.baudrate, self._line, self._timing)
        self.alive = True
        self.boot.began(time.monotonic())
        self._reader = threading.Thread(
            target=self._read_port, name=f"read {self._line.path}", daemon=True
        )
        self._reader.start()

    def close(self) -> None:
        """Close the port; an open command ends with PortLost. May be called more than once."""
        self._port_failed("closed")
        port, self.serial = self.serial, None
        if port is not None:
            port.close(self._reader)

    # Reading

    def _read_port(self) -> None:
        port = self.serial
        try:
            while self.alive and port is not None:
                data = port.read()
                if data:
                    self._received(data)
        except PortError as error:
            self._port_failed(str(error))
        except Exception as error:  # noqa: BLE001 - an open command must not wait for a dead thread
            self._log.exception("reader_failed")
            self._port_failed(repr(error))

    def _received(self, data: bytes) -> None:
        with self._condition:
            self.last_byte_at = time.monotonic()
            lines = list(self._splitter.feed(data))
        for line in lines:
            self._line_received(line)
        with self._condition:
            if self._sorter.prompting and self._splitter.prompted():
                self._end(">")
            if self._checking_echo:
                self._condition.notify_all()

    def _line_received(self, line: str) -> None:
        with self._condition:
            found = tuple(self._sorter.sort(line))
            for one in found:
                self._classified(one)
        for one in found:
            if one.urc is not None:
                self._on_urc(one.urc)

    def _classified(self, one: Sorted) -> None:
        if one.kind in (LineKind.RESPONSE, LineKind.URC) and (
            is_corrupted_ok(one.line) or (self._configured and has_foreign_characters(one.line))
        ):
            self.mark_degraded(one.line)
        match one.kind:
            case LineKind.RESPONSE:
                self._lines.append(one.line)
                self._condition.notify_all()
            case LineKind.FINAL:
                self._end(one.line)
            case LineKind.PROMPT:
                self._end(">")
            case LineKind.ECHO:
                self.echoed = self.echoed or not (self.echo_wanted or self.echo_stays)
            case LineKind.TEXT_ECHO:
                pass  # a modem that has restarted asks for no text
            case LineKind.STRAY:
                self.stale = True
                self._log.debug("unexpected_response", line=one.line)
            case LineKind.DAMAGED:
                self.mark_degraded(one.line)
            case LineKind.URC:
                self.unexpected_acceptance = (
                    self.unexpected_acceptance or one.line.upper().startswith("+CMGS:")
                )
                self._notice_start(one.line)

    @property
    def degraded(self) -> bool:
        """Whether the line is degraded, so that everything is checked by its echo."""
        return self._quality.degraded

    @property
    def hides_restarts(self) -> bool:
        """Whether an echo shows no restart, so that the settings are checked before each part."""
        return self.degraded or self.echo_stays

    def mark_degraded(self, why: str) -> None:
        """Mark the line as degraded: from now on everything is checked by its echo."""
        if self._quality.note_damage():
            self._log.warning("line_degraded", seen=loggable_line(why))

    def _notice_start(self, line: str) -> None:
        match self.boot.line(line, time.monotonic()):
            case Meaning.RESTART:
                self._restarted = True
                self._configured = False
                self._condition.notify_all()
            case Meaning.SUSPECT:
                self.suspect = True

    def _end(self, with_line: str) -> None:
        self._ended = with_line
        self._sorter.end()
        self._condition.notify_all()

    def _port_failed(self, reason: str) -> None:
        with self._condition:
            was_alive, self.alive = self.alive, False
            self._reason = reason if was_alive else self._reason or reason
            self._condition.notify_all()
        if was_alive and reason != "closed":
            self._on_lost(reason)

    # Asking

    @property
    def restarted(self) -> bool:
        """Whether the modem has reported a restart since `mark_configured`."""
        return self._restarted

    def clear_restart(self) -> None:
        """Ignore restarts and echoes so far; start-up noise may still arrive."""
        with self._condition:
            self._configured = False
            self._restarted = False
            self.suspect = False
            self.echoed = False

    def mark_configured(self) -> None:
        """Clear restarts and echoes: the settings have been made again."""
        self.clear_restart()
        self._configured = True

    def put(self, data: str) -> None:
        """Write without waiting for an answer. Raises PortLost."""
        port = self.serial
        if not self.alive or port is None:
            raise PortLost(self._reason or "closed")
        try:
            port.write(data.encode("latin-1"))
        except PortLost as error:
            self._port_failed(str(error))
            raise

    def write_checked(self, text: str, seconds: float) -> EchoMatch:
        """Write `text` without its end and compare the echo. Raises PortLost."""
        self._checking_echo = True
        silent_since = self.last_byte_at
        try:
            self.put(text)
            with self._condition:
                self._condition.wait_for(
                    lambda: (
                        (loggable_line := self._echo_of(text)) == text
                        or not text.startswith(loggable_line)
                        or not self.alive
                    ),
                    seconds,
                )
                loggable_line = self._echo_of(text)
                if loggable_line:
                    self._splitter.clear()
        finally:
            self._checking_echo = False
        if loggable_line == text:
            return EchoMatch.EXACT
        # A single byte proves that there is an echo; only silence counts as no echo.
        silent = self.last_byte_at == silent_since
        return EchoMatch.NONE if silent else EchoMatch.DIFFERENT

    def _echo_of(self, text: str) -> str:
        """Return the echo of `text` so far, without an event that arrives in between."""
        loggable_line = self._splitter.rest.lstrip("> ")
        return loggable_line if loggable_line[:2] == text[:2] else ""

    def exchange(
        self,
        command: str,
        seconds: float,
        *,
        data: str = "",
        prefixes: tuple[str, ...] = (),
        prompt: bool = False,
        closing: str = "",
    ) -> AtResponse:
        """Write `command` and wait for the end of its answer. Raises NoResponse, PortLost, Restarted.

        `data` is written instead if the command is on the line already. With `prompt` the end may be `>`. A
        line that starts with `closing` is sufficient if no OK follows soon, even where the modem restarts or
        the port is lost right after it.
        """
        with self._condition:
            if self._restarted:
                raise Restarted(f"the modem restarted before {loggable_command(command)}")
            self._lines = []
            self._ended = ""
            self._sorter.begin(command, prefixes=prefixes, prompt=prompt, text=data)
            self._closing_by = closing
            self._at_latest = time.monotonic() + seconds
        try:
            self.put(data or command + "\r")
            with self._condition:
                while not (self._over or self._closed(closing)):
                    left = self._at_latest - time.monotonic()
                    if left <= 0:
                        break
                    self._condition.wait(left)
                if closing:
                    self._close(closing)
                return self._result(command)
        finally:
            with self._condition:
                self._sorter.end()
                self._closing_by = ""

    def wait_at_most(self, closing: str, seconds: float) -> None:
        """Shorten the wait of an open command that ends with a line starting with `closing`."""
        with self._condition:
            if closing and self._closing_by == closing:
                self._at_latest = min(self._at_latest, time.monotonic() + seconds)
                self._condition.notify_all()

    def _close(self, by: str) -> None:
        """Wait for what may still follow: the OK after `by`, or `by` itself after a line like that of a restart."""
        if self._restarted and not self._closed(by):
            self._condition.wait_for(
                lambda: self._ended or self._closed(by) or not self.alive,
                self._timing.closing_seconds,
            )
        if self._closed(by):
            self._condition.wait_for(lambda: self._over, self._timing.closing_seconds)
            self._ended = self._ended or "OK"

    def _closed(self, by: str) -> bool:
        return bool(by) and any(line.upper().startswith(by) for line in self._lines)

    @property
    def _over(self) -> bool:
        return bool(self._ended) or self._restarted or not self.alive

    def _result(self, command: str) -> AtResponse:
        lines = tuple(self._lines)
        if self._ended:
            return AtResponse(lines, self._ended)
        self.stale = True
        if not self.alive:
            raise PortLost(self._reason)
        if self._restarted:
            raise Restarted(f"the modem restarted during {loggable_command(command)}")
        raise NoResponse(command, lines)

    def execute(
        self,
        command: str,
        seconds: float,
        *,
        prefixes: tuple[str, ...] = (),
        data: str = "",
        closing: str = "",
    ) -> tuple[str, ...]:
        """Send a command and return the lines of its answer. Raises CommandError, and as `exchange` does."""
        answer = self.exchange(command, seconds, prefixes=prefixes, data=data, closing=closing)
        if answer.final.upper() != "OK":
            raise CommandError(command, answer.final, answer.lines)
        return answer.lines

    def escape(self) -> None:
        """Leave the prompt without sending anything. The modem's OK may be late."""
        self.stale = True
        self.put(LEAVE_PROMPT)

    def wait_for_quiet(self) -> None:
        """Wait until no byte arrives for `resync_pause_seconds`, at most ten times that long."""
        pause = self._timing.resync_pause_seconds
        for _ in range(10):
            before = self.last_byte_at
            with self._condition:
                self._condition.wait_for(lambda: not self.alive, pause)
            if self.last_byte_at == before:
                return

    def speed(self, baud: int) -> None:
        """Switch to another speed. Raises PortLost if the port does not support it."""
        self.baudrate = baud
        if self.serial is not None:
            self.serial.set_speed(baud)
