"""What is said to a modem, and how often: commands, the prompt and its text. Blocking.

Over a line that has spoilt bytes everything is written without its end first, and ended only when
the modem has repeated it exactly: AT has no checksum, but it has an echo.
"""

from __future__ import annotations

import contextlib
import time

from modem.at.errors import (
    Doubtful,
    Log,
    NoAnswer,
    OutOfStep,
    PortError,
    Refused,
    Restarted,
    Spoilt,
    shown,
)
from modem.at.line_parser import Repeated
from modem.at.resync import resynchronise
from modem.at.transport import Modem
from modem.timeouts import Timing

CTRL_Z = "\x1a"
_TRIES = 2  # of a question that may be asked again
_CAREFUL_TRIES = 8  # … over a line that spoils bytes
_BARE_ERROR = "ERROR"  # no code: a command that was not understood
_DUMB = 5  # commands of which nothing is repeated, and the modem has no echo
_SILENCES = 2  # … that a second try has answered, and the line is doubted
_NONSENSE = "?#!?#!\r"  # what makes an error of any command that it is appended to


class Dialogue:
    """With one open port, by one thread. Every error is a `PortError`."""

    def __init__(self, port: Modem, timing: Timing, log: Log) -> None:
        self.port = port
        self._timing = timing
        self._log = log
        self._mute = 0  # texts in a row of which it repeated nothing
        self._dumb = 0  # commands in a row of which it repeated nothing
        self._known: set[str] = set()  # commands that it has carried out
        self._silences = 0
        self.resyncs = 0  # after time-outs; the start-up's own does not count
        port.asking = self.ask

    def ask(
        self,
        command: str,
        seconds: float | None = None,
        *,
        answers: tuple[str, ...] = (),
        closing: str = "",
        once: bool = False,
    ) -> tuple[str, ...]:
        """The lines of the answer without its OK. Refused, NoAnswer, PortLost, Restarted.

        A silence is followed by a second try, unless the command must be given `once` only.
        """
        failures: list[PortError] = []
        while True:
            try:
                self._clean()
                data = self._begun(command)
                lines = self.port.plain(
                    command,
                    seconds or self._timing.command_seconds,
                    answers=answers,
                    data=data,
                    closing=closing,
                )
            except OutOfStep:
                raise
            except (Refused, NoAnswer, Spoilt) as error:
                failures.append(error)
                if not self._worth_another(command, failures, once=once):
                    raise self._final(command, failures) from None
            else:
                self._learn(command, failures)
                return lines

    def _worth_another(self, command: str, failures: list[PortError], *, once: bool) -> bool:
        """Whether the line may be to blame. A command that was not carried out may be repeated."""
        last = failures[-1]
        if isinstance(last, Refused) and (
            # It took the command before, and now does not understand it.
            self.port.careful or command not in self._known or last.line.upper() != _BARE_ERROR
        ):
            return False
        if once and not isinstance(last, Spoilt):
            return False
        return len(failures) < (_CAREFUL_TRIES if self.port.careful else _TRIES)

    @staticmethod
    def _final(command: str, failures: list[PortError]) -> PortError:
        last = failures[-1]
        return NoAnswer(command) if isinstance(last, Spoilt) else last

    def _learn(self, command: str, failures: list[PortError]) -> None:
        """A command was carried out after all: then its failures were the line's, or a sloth's."""
        for failure in failures:
            if isinstance(failure, Refused):
                self.port.doubt(str(failure))
            elif isinstance(failure, NoAnswer) and not self.port.echoed:  # else it has restarted
                self._silences += 1
        if self._silences >= _SILENCES:
            self._silences = 0
            self.port.doubt("commands are answered at the second try only")
        self._known.add(command)

    def _begun(self, command: str) -> str:
        """Puts `command` on a line that is not trusted; what is left to be written. Spoilt."""
        if not self.port.careful or self._dumb >= _DUMB:
            return ""
        if not self.port.echo_wanted:
            self.port.echo_wanted = True
            with contextlib.suppress(Refused):
                self.port.plain("ATE1", self._timing.command_seconds)
        match self.port.spell(command, self._timing.echo_seconds):
            case Repeated.EXACTLY:
                self._dumb = 0
                return "\r"
            case Repeated.NOT_AT_ALL:
                self.port.echo_wanted = False  # it was restarted meanwhile, or did not hear of it
                self._dumb += 1
                if self._dumb == _DUMB:
                    self._log.warning("this modem has no echo: what is said goes unchecked")
        # Whatever stands there now must not be carried out.
        self.port.put(_NONSENSE)
        self.port.stale = True
        raise Spoilt(f"{shown(command)} was not repeated as it was written")

    def prompt(self, command: str) -> None:
        """Asks for the prompt of `command`. Refused, NoAnswer, Spoilt, Doubtful, PortLost, Restarted.

        When it raises, the modem is not waiting for a text, or the next command sees to that.
        """
        try:
            self._prompt(command)
        except Refused as refused:
            if self.port.careful or refused.line.upper() != _BARE_ERROR:
                raise
            self._prompt(command)
            self.port.doubt(str(refused))

    def _prompt(self, command: str) -> None:
        self._clean()
        if self.port.suspect:
            raise Doubtful("a silence may have been a restart")
        # Its echo is wanted and tells nothing: in text mode again it would take the TPDU for a text.
        looked = time.monotonic() - self.port.looked_at
        if self.port.careful and looked > self._timing.look_seconds:
            raise Doubtful("the modem was not looked at just now")
        data = self._begun(command)
        try:
            answer = self.port.exchange(
                command, self._timing.prompt_seconds, prompt=True, data=data
            )
        except NoAnswer:
            self.port.escape()
            raise
        if answer.final != ">":
            raise Refused(command, answer.final, answer.lines)
        if self.port.echoed:
            self.port.escape()
            raise Restarted("the modem echoes again")

    def text(self, hex_digits: str) -> tuple[str, ...]:
        """Gives the text that was prompted for; the answer's lines. As `prompt`.

        Spoilt means that it was to be taken back (`taken_back`). Otherwise it may be on its way from here on.
        """
        self.port.sent_unasked = False
        checked = self._text_checked(hex_digits)
        data = CTRL_Z if checked else hex_digits + CTRL_Z
        answer = self.port.exchange(
            "AT+CMGS", self._timing.network_seconds, data=data, closing="+CMGS:"
        )
        if answer.final.upper() != "OK":
            raise Refused("AT+CMGS", answer.final, answer.lines)
        return answer.lines

    def _text_checked(self, hex_digits: str) -> bool:
        """Whether the text stands at the prompt already, exactly as it should. Spoilt."""
        if not self.port.careful or self._dumb >= _DUMB or self._mute >= _DUMB:
            return False
        if self.port.echo_wanted:
            match self.port.spell(hex_digits, self._timing.echo_seconds):
                case Repeated.EXACTLY:
                    self._mute = 0
                    return True
                case Repeated.NOT_AT_ALL:
                    self._mute += 1
                    if self._mute == _DUMB:
                        self._log.warning("this modem repeats no texts: they go unchecked")
        # Where no echo was asked for yet, the damage was seen after the prompt was.
        self.port.escape()
        raise Spoilt("the text was not repeated as it was written")

    def taken_back(self) -> bool:
        """Whether the text of a Spoilt is surely gone. PortLost, Restarted.

        ESC and Ctrl-Z are one bit apart: over such a line the one may arrive as the other. Then the modem
        speaks of a +CMGS, or is silent because it still sends.
        """
        try:
            self._clean()
        except OutOfStep:
            return False
        return not self.port.sent_unasked

    def probe(self, command: str, seconds: float) -> bool:
        """Whether there is an OK to `command`, asked without regard to what came before."""
        try:
            self.port.plain(command, seconds)
        except (NoAnswer, Refused, Restarted):
            return False
        return True

    def hush(self) -> None:
        """Echo off, as long as the line is trusted. As `ask`."""
        self.port.echo_wanted = self.port.careful
        self.ask("ATE1" if self.port.careful else "ATE0")
        self._silences = 0  # those before were a modem's that restarted, not the line's

    def _clean(self) -> None:
        if self.port.stale:
            self.resyncs += 1
            self.resynchronise()
            self.port.suspect = True  # a silence may have been a restart

    def resynchronise(self) -> None:
        """Finds question and answer together again. NoAnswer, PortLost, Restarted."""
        resynchronise(self.port, self._timing.resync_seconds)
        self._log.debug("in step with the modem again")
