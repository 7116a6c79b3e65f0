"""What can go wrong on the line of a modem: each error says what may be concluded from it."""

from __future__ import annotations

import re

import structlog

Log = structlog.stdlib.BoundLogger

_SHOWN = 60
_QUOTED = re.compile(r'"[^"]*("|$)')
_DIGITS = re.compile(r"\+?[0-9A-Fa-f]{6,}")  # of a PDU, of a telephone, of a SIM


class PortError(Exception):
    """Something on the line. The subclasses say what may be concluded from it."""


def shown(command: str) -> str:
    """`command` for eyes: without PIN or PUK, and a text only with its beginning."""
    command = command.strip()
    if command.upper().startswith("AT+CPIN="):
        return "AT+CPIN=…"
    return command if len(command) <= _SHOWN else f"{command[:_SHOWN]}…"


def said(line: str) -> str:
    """What a modem said, for the log: its kind, without the PDU, number, name or text in it."""
    return shown(_DIGITS.sub("…", _QUOTED.sub('"…"', line)))


class PortLost(PortError):
    """There is no port, or it died, or it takes no more bytes."""


class NoResponse(PortError):
    """The time-out of a command. `lines` had come by then. The next command resynchronises."""

    def __init__(self, command: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"no answer to {shown(command)}")
        self.lines = lines


class OutOfStep(NoResponse):
    """Not even a resynchronisation brings an answer that fits its question."""


class CommandError(PortError):
    """The modem's answer is an error: `line` in its own words."""

    def __init__(self, command: str, line: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{shown(command)}: {line}")
        self.line = line
        self.lines = lines


class Restarted(PortError):
    """The modem restarted while a command was open: no answer will come, all settings are gone."""


class Doubtful(PortError):
    """Nobody has looked yet whether the modem kept its settings through a silence. Nothing was said."""


class Spoilt(PortError):
    """The line changed what was written. It was taken back: nothing was carried out or sent."""
