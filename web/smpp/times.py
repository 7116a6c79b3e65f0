"""Times of SMPP (7.1.1): YYMMDDhhmmsstnnp, absolute or relative. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d)(\d\d)([+\-R])", re.ASCII)


def moment(written: str, now_ms: int) -> int | None:
    """Return a time in epoch milliseconds, None for what is not one. Relative times count from `now_ms`.

    A relative year has 365 days and a month 30, as no engine says otherwise.
    """
    found = _TIME.fullmatch(written)
    if found is None:
        return None
    year, month, day, hour, minute, second, tenth, quarters = (
        int(each) for each in found.groups()[:8]
    )
    if found[9] == "R":
        span = timedelta(
            days=year * 365 + month * 30 + day, hours=hour, minutes=minute, seconds=second
        )
        return now_ms + span // timedelta(milliseconds=1)
    if quarters > 48:
        return None
    offset = timedelta(minutes=15 * quarters)
    zone = timezone(-offset if found[9] == "-" else offset)
    try:
        when = datetime(2000 + year, month, day, hour, minute, second, tenth * 100_000, zone)
    except ValueError:
        return None
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def written(moment_ms: int | None) -> str:
    """Return an absolute time in UTC; empty without one."""
    if moment_ms is None:
        return ""
    when = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return f"{when:%y%m%d%H%M%S}{when.microsecond // 100_000}00+"
