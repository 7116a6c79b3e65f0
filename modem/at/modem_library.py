"""The modem class of python-gsmmodem on our transport. The only module that imports gsmmodem.

Of the library, the identity questions are used; its own reader, retries and SMS functions are not.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Literal

from modem.at.errors import CommandError, Log, NoResponse
from modem.at.line_parser import Urc
from modem.at.line_quality import LineQuality
from modem.at.serial_port import port_errors
from modem.at.transport import Transport
from modem.timeouts import SerialLine, Timing

with warnings.catch_warnings():
    # Its regular expressions are not raw strings, which causes 28 warnings when it is compiled.
    warnings.simplefilter("ignore")
    from gsmmodem import exceptions as foreign
    from gsmmodem.modem import GsmModem

_USUAL_BAUD = 115200


@contextlib.contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Convert every error of gsmmodem, pyserial and the system into a `PortError`."""
    try:
        with port_errors(what):
            yield
    except foreign.TimeoutException as error:
        raise NoResponse(what) from error
    except foreign.GsmModemException as error:  # its errors of commands, states and codec
        raise CommandError(what, f"{type(error).__name__}: {error}") from error


class SerialModem(Transport, GsmModem):  # type: ignore[misc]  # the library is not typed
    """The library's modem class on our transport. Every error is a `PortError`."""

    def __init__(
        self,
        line: SerialLine,
        timing: Timing,
        *,
        on_urc: Callable[[Urc], None],
        on_lost: Callable[[str], None],
        log: Log,
        quality: LineQuality | None = None,
    ) -> None:
        """`on_urc` and `on_lost` are called in the reader thread."""
        self._line = line
        self._timing = timing
        self._on_urc = on_urc
        self._on_lost = on_lost
        self._log = log
        self._quality = quality or LineQuality(timing.degraded_line_seconds)
        # Once there is a client, the library's questions go through it.
        self.query: Callable[[str, float], tuple[str, ...]] = self.execute
        super().__init__(line.path, line.baud or _USUAL_BAUD)

    def connect(self, pin: str | None = None, waitingForModemToStartInSeconds: float = 0) -> None:  # noqa: N803
        """Open the port only; `modem.driver.startup` starts the modem."""
        Transport.connect(self)

    def write(
        self,
        data: str,
        waitForResponse: bool = True,  # noqa: N803 - the library's names
        timeout: float = 10,
        parseError: bool = True,  # noqa: N803
        writeTerm: str = "\r",  # noqa: N803
        expectedResponseTermSeq: str | None = None,  # noqa: N803
    ) -> list[str] | None:
        """Answer the library's properties in its own form, without repeating as its own method would."""
        if not waitForResponse:
            self.put(data + writeTerm)
            return None
        try:
            return [*self.query(data, timeout), "OK"]
        except CommandError as refused:
            if not parseError:
                return [*refused.lines, refused.line]
            raise foreign.CommandError(str(refused)) from refused

    def word(self, name: Literal["manufacturer", "model", "revision", "imei", "imsi"]) -> str:
        """Return an identity that the library reads; "" without an answer."""
        try:
            with library_errors(name):
                found = getattr(self, name)
        except (CommandError, NoResponse):
            return ""
        return "" if found in (None, "OK") else str(found)  # OK: an answer without the word
