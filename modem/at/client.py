"""The AT client: commands, the prompt and its text, with repetitions. Blocking.

On a degraded line a command is written without its final CR, which follows only after an exact echo: AT has no
checksum, so the echo is the only check.
"""

from __future__ import annotations

import contextlib
import time

from modem.at.errors import (
    CommandError,
    Corrupted,
    Log,
    NoResponse,
    PortError,
    ProbeRequired,
    Restarted,
    ResyncFailed,
    loggable_command,
)
from modem.at.line_parser import EchoMatch
from modem.at.modem_library import SerialModem
from modem.at.resync import resynchronise
from modem.timeouts import Timing

CTRL_Z = "\x1a"
_ACCEPTED = "+CMGS:"  # the line that ends a submission, even if no OK follows
_ATTEMPTS = 2  # attempts of a command that may be repeated
_ATTEMPTS_IF_DEGRADED = 8  # … on a degraded line
_BARE_ERROR = "ERROR"  # no code: the command was not understood
_NO_ECHO_LIMIT = 5  # commands without any echo, after which the modem counts as one without echo
_LATE_ANSWERS_LIMIT = (
    2  # … answered only at a second attempt, after which the line counts as degraded
)
_NONSENSE = "?#!?#!\r"  # appended to a command, it makes any command an error


class AtClient:
    """AT commands over one open port, used by one thread. Every error is a `PortError`."""

    def __init__(self, port: SerialModem, timing: Timing, log: Log) -> None:
        self.port = port
        self._timing = timing
        self._log = log
        self._texts_without_echo = 0  # consecutive
        self._commands_without_echo = 0  # consecutive
        self._known: set[str] = set()  # commands that the modem has carried out
        self._late_answers = 0
        self.resyncs = 0  # after time-outs; the one of the start-up does not count
        port.query = self.command

    def command(
        self,
        command: str,
        seconds: float | None = None,
        *,
        prefixes: tuple[str, ...] = (),
        closing: str = "",
        once: bool = False,
    ) -> tuple[str, ...]:
        """Send a command and return the lines of the answer without OK.

        After a time-out it is repeated, unless it must be sent `once` only. Raises CommandError, NoResponse, PortLost,
        Restarted.
        """
        failures: list[PortError] = []
        while True:
            try:
                self._resynchronise_if_stale()
                data = self._write_checked(command)
                lines = self.port.execute(
                    command,
                    seconds or self._timing.command_seconds,
                    prefixes=prefixes,
                    data=data,
                    closing=closing,
                )
            except ResyncFailed:
                raise
            except (CommandError, NoResponse, Corrupted) as error:
                failures.append(error)
                if not self._may_repeat(command, failures, once=once):
                    raise self._reported_error(command, failures) from None
            else:
                self._note_success(command, failures)
                return lines

    def _may_repeat(self, command: str, failures: list[PortError], *, once: bool) -> bool:
        """Return whether the line may be the cause, so that a command that was not carried out may be repeated."""
        last = failures[-1]
        if isinstance(last, CommandError) and (
            # The modem understood this command before.
            self.port.degraded or command not in self._known or last.line.upper() != _BARE_ERROR
        ):
            return False
        if once and not isinstance(last, Corrupted):
            return False
        return len(failures) < (_ATTEMPTS_IF_DEGRADED if self.port.degraded else _ATTEMPTS)

    @staticmethod
    def _reported_error(command: str, failures: list[PortError]) -> PortError:
        last = failures[-1]
        return NoResponse(command) if isinstance(last, Corrupted) else last

    def _note_success(self, command: str, failures: list[PortError]) -> None:
        """Note that a repeated command succeeded: its failures were caused by the line, or by slowness."""
        for failure in failures:
            if isinstance(failure, CommandError):
                self.port.mark_degraded(str(failure))
            elif (
                isinstance(failure, NoResponse) and not self.port.echoed
            ):  # otherwise the modem has restarted
                self._late_answers += 1
        if self._late_answers >= _LATE_ANSWERS_LIMIT:
            self._late_answers = 0
            self.port.mark_degraded("commands are answered at the second attempt only")
        self._known.add(command)

    def _write_checked(self, command: str) -> str:
        """Write `command` to a degraded line, checked by echo; return what is left to write. Raises Spoilt."""
        if not self.port.degraded or self._commands_without_echo >= _NO_ECHO_LIMIT:
            return ""
        if not self.port.echo_wanted:
            self.port.echo_wanted = True
            with contextlib.suppress(CommandError):
                self.port.execute("ATE1", self._timing.command_seconds)
        match self.port.write_checked(command, self._timing.echo_seconds):
            case EchoMatch.EXACT:
                self._commands_without_echo = 0
                return "\r"
            case EchoMatch.NONE:
                self.port.echo_wanted = False  # it has restarted meanwhile, or did not receive it
                self._commands_without_echo += 1
                if self._commands_without_echo == _NO_ECHO_LIMIT:
                    self._log.warning("echo_missing")
        # Whatever is on the line now must not be carried out.
        self.port.put(_NONSENSE)
        self.port.stale = True
        raise Corrupted(f"{loggable_command(command)} was not echoed exactly")

    def prompt(self, command: str) -> None:
        """Send `command` and wait for its prompt.

        When it raises, the modem does not wait for a text, or the next command takes care of that. Raises CommandError,
        NoResponse, Spoilt, Doubtful, PortLost, Restarted.
        """
        try:
            self._prompt(command)
        except CommandError as refused:
            if self.port.degraded or refused.line.upper() != _BARE_ERROR:
                raise
            self._prompt(command)
            self.port.mark_degraded(str(refused))

    def _prompt(self, command: str) -> None:
        self._resynchronise_if_stale()
        if self.port.suspect:
            raise ProbeRequired("an unanswered command may mean a restart")
        # The echo is on and shows no restart: in text mode the modem would take the TPDU for a text.
        looked = time.monotonic() - self.port.verified_at
        if self.port.hides_restarts and looked > self._timing.probe_max_age_seconds:
            raise ProbeRequired("the settings were not verified just before")
        data = self._write_checked(command)
        try:
            answer = self.port.exchange(
                command, self._timing.prompt_seconds, prompt=True, data=data
            )
        except NoResponse:
            self.port.escape()
            raise
        if answer.final != ">":
            raise CommandError(command, answer.final, answer.lines)
        if self.port.echoed:
            self.port.escape()
            raise Restarted("the modem echoes again")

    def text(self, hex_digits: str) -> tuple[str, ...]:
        """Write the text at the prompt and return the lines of the answer. Raises as `prompt` does.

        Spoilt means that it has to be taken back (`text_discarded`). After any other error it may have been sent.
        """
        self.port.unexpected_acceptance = False
        checked = self._text_checked(hex_digits)
        data = CTRL_Z if checked else hex_digits + CTRL_Z
        answer = self.port.exchange(
            "AT+CMGS", self._timing.network_seconds, data=data, closing=_ACCEPTED
        )
        if answer.final.upper() != "OK":
            raise CommandError("AT+CMGS", answer.final, answer.lines)
        return answer.lines

    def reported(self) -> None:
        """Wait only a little longer for the answer to the open text: a report on it has arrived.

        May be called from any thread.
        """
        self.port.wait_at_most(_ACCEPTED, self._timing.reported_seconds)

    def _text_checked(self, hex_digits: str) -> bool:
        """Return whether the text is at the prompt already, verified by its echo. Raises Spoilt."""
        if (
            not self.port.degraded
            or self._commands_without_echo >= _NO_ECHO_LIMIT
            or self._texts_without_echo >= _NO_ECHO_LIMIT
        ):
            return False
        if self.port.echo_wanted:
            match self.port.write_checked(hex_digits, self._timing.echo_seconds):
                case EchoMatch.EXACT:
                    self._texts_without_echo = 0
                    return True
                case EchoMatch.NONE:
                    self._texts_without_echo += 1
                    if self._texts_without_echo == _NO_ECHO_LIMIT:
                        self._log.warning("text_echo_missing")
        # Without an echo so far, the damage was noticed after the prompt.
        self.port.escape()
        raise Corrupted("the text was not echoed exactly")

    def text_discarded(self) -> bool:
        """Return whether the text after Spoilt is certainly discarded. Raises PortLost, Restarted.

        ESC and Ctrl-Z differ in one bit, so on such a line one may arrive as the other. Then the modem answers with
        +CMGS, or is silent because it is sending.
        """
        try:
            self._resynchronise_if_stale()
        except ResyncFailed:
            return False
        return not self.port.unexpected_acceptance

    def probe(self, command: str, seconds: float) -> bool:
        """Return whether the modem answers `command` at all, whatever happened before.

        An error is an answer too: the command may have been appended to what stood on the line.
        """
        try:
            self.port.execute(command, seconds)
        except CommandError:
            return True
        except (NoResponse, Restarted):
            return False
        return True

    def disable_echo(self) -> None:
        """Switch the echo off unless the line is degraded. Raises as `command` does."""
        self.port.echo_wanted = self.port.degraded
        self.port.echo_stays = False
        self.command("ATE1" if self.port.degraded else "ATE0")
        if not self.port.degraded:
            self._detect_permanent_echo()
        self._late_answers = 0  # earlier failures came from a restart, not from the line

    def _detect_permanent_echo(self) -> None:
        """Find out whether the echo stays on in spite of ATE0, as on an A7672 behind a multiplexer."""
        for _ in range(_ATTEMPTS):
            self.port.echoed = False
            self.command("ATE0")
            if not self.port.echoed:
                return
        self.port.echo_stays = True
        self.port.echoed = False
        self._log.warning("echo_stays_on")

    def _resynchronise_if_stale(self) -> None:
        if self.port.stale:
            self.resyncs += 1
            self.resynchronise()
            self.port.suspect = True  # a time-out may have been a restart

    def resynchronise(self) -> None:
        """Resynchronise commands and answers. Raises NoResponse, PortLost, Restarted."""
        resynchronise(self.port, self._timing.resync_seconds)
        self._log.debug("resynchronised")
