"""Keep the last log lines for a support file, without phone numbers and texts."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import MutableMapping
from typing import Any

LINES = 2000
# The fields that a line may contain: names, counts and codes. Others are left out.
KEPT_FIELDS = frozenset(
    {
        *("timestamp", "level", "event", "method", "route", "status", "milliseconds", "client"),
        *("key", "message", "part", "parts", "device", "verdict", "reference", "fault", "port"),
        *("state", "detail", "operator", "reason", "job", "works", "step", "modems", "tp_status"),
        *("outcome", "attempt", "webhook", "found", "wanted", "seconds"),
    }
)


_NUMBER = re.compile(r"(?<![0-9a-zA-Z_])\+?[0-9]{6,}(?![0-9a-zA-Z])")  # of a phone, a SIM, a modem


class LogBuffer:
    """A structlog processor that keeps the last events."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)

    def __call__(
        self, _: object, __: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        fields = [f"{name}={_short(event[name])}" for name in event if name in KEPT_FIELDS]
        if event.get("exc_info"):
            fields.append(f"exception={_kind(event['exc_info'])}")
        self._lines.append(" ".join(fields))
        return event

    def text(self) -> str:
        return "\n".join(self._lines)


def _short(value: object) -> str:
    text = _NUMBER.sub("…", str(value).replace("\n", " ")[:200])
    return text if " " not in text else repr(text)


def _kind(info: object) -> str:
    """Return the type of an error; its text might quote a message."""
    if isinstance(info, BaseException):
        return type(info).__name__
    if isinstance(info, tuple) and info and isinstance(info[0], type):
        return info[0].__name__
    return "unknown"


LOG_BUFFER = LogBuffer()
