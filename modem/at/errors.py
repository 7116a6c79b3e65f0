"""The errors of the serial line, one class for each reaction."""

from __future__ import annotations

import re

import structlog

Log = structlog.stdlib.BoundLogger

_SHOWN = 60
_QUOTED = re.compile(r'"[^"]*("|$)')
_DIGITS = re.compile(r"\+?[0-9A-Fa-f]{6,}")  # of a PDU, of a telephone, of a SIM


class PortError(Exception):
    """An error of the serial line. Each subclass calls for another reaction."""


def loggable_command(command: str) -> str:
    """Return `command` for logs: without PIN or PUK, and only the beginning of a text."""
    command = command.strip()
    if command.upper().startswith("AT+CPIN="):
        return "AT+CPIN=…"
    return command if len(command) <= _SHOWN else f"{command[:_SHOWN]}…"


def loggable_line(line: str) -> str:
    """Return a line of the modem for logs, without PDU, number, name or text."""
    return loggable_command(_DIGITS.sub("…", _QUOTED.sub('"…"', line)))


class PortLost(PortError):
    """There is no port, or it has failed, or it accepts no bytes."""


class NoResponse(PortError):
    """A command timed out; `lines` had arrived. The next command resynchronises."""

    def __init__(self, command: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"no answer to {loggable_command(command)}")
        self.lines = lines


class ResyncFailed(NoResponse):
    """Resynchronisation failed: answers do not match their questions."""


class CommandError(PortError):
    """The modem answered with an error; `line` is its final result code."""

    def __init__(self, command: str, line: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{loggable_command(command)}: {line}")
        self.line = line
        self.lines = lines


class Restarted(PortError):
    """The modem restarted during a command: no answer will come, and all settings are lost."""


class ProbeRequired(PortError):
    """The modem must be probed first: it may have lost its settings. Nothing was sent."""


class Corrupted(PortError):
    """The line altered what was written. It was discarded: nothing was carried out or sent."""
