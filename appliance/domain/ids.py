"""Ids that grow with time, even when the clock steps back, and their written form."""

from __future__ import annotations

import re

# A message id is 63 bits: milliseconds in the upper 43, a count in the lower 20.
# The others have 48 (12 hex digits): milliseconds in the upper 42 (until 2109), a count in the lower 6.
LONG_SHIFT = 20
SHORT_SHIFT = 6

_WRITTEN = re.compile(r"(msg|batch|otp|evt|log|inbox)_([0-9a-f]{1,16})", re.ASCII)


_DECIMAL = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)


class Ids:
    """Allocates ids. A mark is the highest id ever allocated; the clock only raises it."""

    def __init__(self, long_mark: int, short_mark: int) -> None:
        self._long = long_mark
        self._short = short_mark

    def message(self, now_ms: int) -> int:
        self._long = max(self._long + 1, now_ms << LONG_SHIFT)
        return self._long

    def other(self, now_ms: int) -> int:
        """Allocate an id for a batch, a one-time password, an event or similar."""
        self._short = max(self._short + 1, now_ms << SHORT_SHIFT)
        return self._short

    @property
    def latest_ms(self) -> int:
        """When the latest message was accepted (ms), by the clock at that time."""
        return self._long >> LONG_SHIFT

    @property
    def marks(self) -> tuple[int, int]:
        return self._long, self._short


def message_id(number: int) -> str:
    return f"msg_{number:016x}"


def short_id(kind: str, number: int) -> str:
    return f"{kind}_{number:012x}"


def parse(kind: str, text: str) -> int | None:
    """Return the number of a written id of this kind, None for anything else."""
    match = _WRITTEN.fullmatch(text)
    digits = 16 if kind == "msg" else 12
    if not match or match[1] != kind or len(match[2]) != digits:
        return None
    number = int(match[2], 16)
    return number if number < 1 << 63 else None


def parse_decimal(kind: str, text: str) -> int | None:
    """Return the number of `client_1`, `device_2`, `wh_3`; None for anything else."""
    head, _, digits = text.partition("_")
    if head != kind or not _DECIMAL.fullmatch(digits):
        return None
    return int(digits)
