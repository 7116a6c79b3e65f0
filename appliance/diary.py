"""The last lines of the log, for a support file: what happened, never a number or a text of a message."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import MutableMapping
from typing import Any

LINES = 2000
# What a line may tell: names, counts and codes. A name that is not here is left out.
TOLD = frozenset(
    {
        *("timestamp", "level", "event", "method", "route", "status", "milliseconds", "client"),
        *("key", "message", "part", "parts", "device", "verdict", "reference", "fault", "port"),
        *("state", "detail", "operator", "reason", "job", "works", "step", "modems", "tp_status"),
        *("outcome", "attempt", "webhook", "found", "wanted", "seconds"),
    }
)


_NUMBER = re.compile(
    r"(?<![0-9a-zA-Z_])\+?[0-9]{6,}(?![0-9a-zA-Z])"
)  # of a telephone, a SIM, a modem


class Diary:
    """A structlog processor that keeps what went by."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)

    def __call__(
        self, _: object, __: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        told = [f"{name}={_short(event[name])}" for name in event if name in TOLD]
        if event.get("exc_info"):
            told.append(f"exception={_kind(event['exc_info'])}")
        self._lines.append(" ".join(told))
        return event

    def text(self) -> str:
        return "\n".join(self._lines)


def _short(value: object) -> str:
    text = _NUMBER.sub("…", str(value).replace("\n", " ")[:200])
    return text if " " not in text else repr(text)


def _kind(info: object) -> str:
    """What kind of error it was; its words might quote a message."""
    if isinstance(info, BaseException):
        return type(info).__name__
    if isinstance(info, tuple) and info and isinstance(info[0], type):
        return info[0].__name__
    return "unknown"


DIARY = Diary()
