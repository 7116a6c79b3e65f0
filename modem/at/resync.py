"""Resynchronisation of questions and answers after a time-out."""

from __future__ import annotations

from typing import Protocol

from modem.at.errors import CommandError, NoResponse, ResyncFailed

# Questions with distinguishable answers, asked after a time-out until two in a row get their own
# answer (one could be the late answer of the previous round).
_QUESTIONS = (
    ("AT+CMEE?", "+CMEE:"),
    ("AT+CSQ", "+CSQ:"),
    ("AT+CFUN?", "+CFUN:"),
    ("AT+CREG?", "+CREG:"),
)
_ROUNDS = 3
_IN_A_ROW = 2


class ResyncPort(Protocol):
    """The part of a port that is needed here."""

    stale: bool
    last_byte_at: float  # when the last byte came

    def escape(self) -> None: ...
    def wait_for_quiet(self) -> None: ...
    def execute(self, command: str, seconds: float) -> tuple[str, ...]: ...


def resynchronise(port: ResyncPort, seconds: float) -> None:
    """Leave a possible prompt and ask until answers match their questions.

    Raises OutOfStep if that fails (after one round if there is only silence), PortLost, Restarted.
    """
    fitting = 0
    before = port.last_byte_at
    for number, (command, prefix) in enumerate(_QUESTIONS * _ROUNDS):
        if number >= len(_QUESTIONS) and port.last_byte_at == before:
            break
        if not fitting:
            port.escape()
            port.wait_for_quiet()
        port.stale = False
        try:
            lines = port.execute(command, seconds)
            fits = len(lines) == 1 and lines[0].upper().startswith(prefix)
        except CommandError:
            continue  # a question that this modem does not know proves nothing
        except NoResponse:
            fits = False
        fitting = fitting + 1 if fits and not port.stale else 0
        if fitting == _IN_A_ROW:
            return
    port.stale = True
    raise ResyncFailed("every question of the resynchronisation")
