"""Which part a delivery report speaks of. Pure.

TP-MR is one octet, counted by the modem: it wraps while reports are still out. So a report must fit
by SIM (the caller asks only for that SIM's parts), reference, recipient and time (23.040 9.2.3.6).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

# TP-SCTS against our own hand-over: network and box clock may differ by minutes, and by whole hours
# where a time zone is wrong.
TOLERANCE_MS = 10 * 60_000
HOUR_MS = 3_600_000
TAIL_DIGITS = 7  # TP-RA may come in the national form


class Candidate(msgspec.Struct, frozen=True):
    """A hand-over that a report may speak of."""

    kind: Literal["part", "try"]
    key: tuple[int, int]  # message and number, or the try's id and 0
    recipient: str
    reference: int | None  # None: handed over, never answered
    handed_at: int


class Heard(msgspec.Struct, frozen=True):
    """What a report says."""

    reference: int
    recipient: str
    submitted_at: int | None  # TP-SCTS
    arrived_at: int


def same_number(one: str, other: str) -> bool:
    """Whether two written numbers can be the same: their last seven digits, or all of a short one."""
    a, b = (n.lstrip("+") for n in (one, other))
    if min(len(a), len(b)) < TAIL_DIGITS:
        return a == b
    return a[-TAIL_DIGITS:] == b[-TAIL_DIGITS:]


def near(submitted_at: int | None, handed_at: int) -> bool:
    """Whether TP-SCTS can be the time of this hand-over, give or take whole hours."""
    if submitted_at is None:
        return True
    return _off(submitted_at, handed_at) <= TOLERANCE_MS


def _off(submitted_at: int, handed_at: int) -> int:
    """How far apart the two are, whole hours aside."""
    return abs((submitted_at - handed_at + HOUR_MS // 2) % HOUR_MS - HOUR_MS // 2)


def match(heard: Heard, candidates: Iterable[Candidate]) -> Candidate | None:
    """The hand-over this report speaks of: by its reference, else one that was never answered.

    Of several with this reference the newest: an older one has had its report, or never will. Of
    several never answered the one whose hand-over is nearest to TP-SCTS: each may have left.
    """
    fitting = [
        c
        for c in candidates
        if same_number(c.recipient, heard.recipient)
        and near(heard.submitted_at, c.handed_at)
        and c.handed_at <= heard.arrived_at + TOLERANCE_MS
    ]
    named = [c for c in fitting if c.reference == heard.reference]
    if named:
        return max(named, key=lambda c: c.handed_at)
    doubtful = [c for c in fitting if c.reference is None]
    moment = heard.submitted_at
    if moment is None:
        return max(doubtful, key=lambda c: c.handed_at, default=None)
    return min(doubtful, key=lambda c: (_off(moment, c.handed_at), -c.handed_at), default=None)
