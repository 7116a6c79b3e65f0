"""Which hand-over a delivery report speaks of. Pure.

TP-MR is one octet, counted by the modem: it wraps while reports are still out, and a network may bring
a report twice, late, out of order or never. So every hand-over that could be meant competes, also those
that are over (23.040 9.2.3.6): by SIM (the caller asks only for that SIM's), reference, recipient and
TP-SCTS, which is the same in all reports on one part and another in every other part's. What fits two
of them is not guessed at: it waits until more is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

# TP-SCTS against our own hand-over, as long as the service centre's clock is not known: minutes of
# difference, and whole hours where a time zone is wrong (none is further than 14 hours from UTC).
TOLERANCE_MS = 10 * 60_000
HOUR_MS = 3_600_000
FURTHEST_MS = 14 * HOUR_MS + TOLERANCE_MS
# … and once it is: a centre is several machines, and none of their clocks is perfect. In so short a
# time TP-MR does not wrap on the air: 256 parts take minutes.
JITTER_MS = 5_000
TAIL_DIGITS = 7  # TP-RA may come in the national form


class Candidate(msgspec.Struct, frozen=True):
    """A hand-over that a report may speak of."""

    kind: Literal[
        "part", "try", "air", "past"
    ]  # air: its answer is still to come; past: it is over
    key: tuple[int, int]  # message and number of the part
    recipient: str
    reference: int | None  # None: handed over, and never told
    handed_at: int
    taken_by: int  # by then the network had it, if ever
    submitted_at: int | None = None  # TP-SCTS, as an earlier report said
    row: int = 0  # of an earlier try


class Heard(msgspec.Struct, frozen=True):
    """What a report says."""

    reference: int
    recipient: str
    submitted_at: int | None  # TP-SCTS
    arrived_at: int
    believed: bool = True  # our own clock can be trusted, so that TP-SCTS cannot be far from it


class Offset(msgspec.Struct, frozen=True):
    """How far the service centre's clock is ahead of ours: between these two (ms)."""

    least: int
    most: int

    def away(self, submitted_at: int, one: Candidate) -> int:
        """How far TP-SCTS is from any moment at which the centre can have taken this hand-over."""
        first = one.handed_at + self.least - 999  # TP-SCTS has whole seconds
        last = one.taken_by + self.most
        return max(first - submitted_at, submitted_at - last, 0)


def offset(known: Iterable[tuple[int, int, int]]) -> Offset | None:
    """What the hand-overs whose report has come say, newest first: handed_at, taken_by, TP-SCTS.

    The older ones narrow it down as long as they agree; a clock that was set ends that.
    """
    found: Offset | None = None
    for handed_at, taken_by, submitted_at in known:
        least, most = submitted_at - taken_by, submitted_at + 999 - handed_at
        if found is not None:
            least, most = max(least, found.least), min(most, found.most)
        if least > most:
            break
        found = Offset(least, most)
    return found


def same_number(one: str, other: str) -> bool:
    """Whether two written numbers can be the same: their last seven digits, or all of a short one."""
    a, b = (n.lstrip("+") for n in (one, other))
    if min(len(a), len(b)) < TAIL_DIGITS:
        return a == b
    return a[-TAIL_DIGITS:] == b[-TAIL_DIGITS:]


def near(submitted_at: int | None, handed_at: int) -> bool:
    """Whether TP-SCTS can be the time of this hand-over, give or take whole hours of a wrong zone."""
    if submitted_at is None:
        return True
    off = submitted_at - handed_at
    beside_hour = abs((off + HOUR_MS // 2) % HOUR_MS - HOUR_MS // 2)
    return beside_hour <= TOLERANCE_MS and abs(off) <= FURTHEST_MS


def match(
    heard: Heard, candidates: Iterable[Candidate], centre: Callable[[], Offset | None]
) -> Candidate | None:
    """The hand-over this report speaks of, None if that cannot be said (yet).

    `centre` is asked for its clock only where something hangs on it.
    """
    conceivable = _conceivable(heard, candidates)
    if heard.submitted_at is not None:
        for one in conceivable:
            if one.submitted_at == heard.submitted_at:
                return one  # one more report on it, or a copy
    fitting = _fitting(heard, conceivable)
    if not fitting and heard.submitted_at is not None and (clock := centre()) is not None:
        # A clock that is wrong by days is known by the reports before.
        unheard = [c for c in conceivable if c.submitted_at is None]
        return _closest(heard.submitted_at, unheard, clock)
    if found := _only(fitting):
        if found.reference is not None:
            return found
        clock = centre()
        if clock is None or heard.submitted_at is None:
            return found
        return found if clock.away(heard.submitted_at, found) <= JITTER_MS else None
    if not fitting or heard.submitted_at is None or (clock := centre()) is None:
        return None
    return _closest(heard.submitted_at, fitting, clock)


def _conceivable(heard: Heard, candidates: Iterable[Candidate]) -> list[Candidate]:
    return [
        c
        for c in candidates
        if c.reference in (None, heard.reference)
        and same_number(c.recipient, heard.recipient)
        and c.handed_at <= heard.arrived_at
    ]


def _fitting(heard: Heard, conceivable: Iterable[Candidate]) -> list[Candidate]:
    """Those of which no report has come yet, and whose moment can be that of TP-SCTS."""
    return [
        c
        for c in conceivable
        if c.submitted_at is None and (not heard.believed or near(heard.submitted_at, c.handed_at))
    ]


def agreement(kept: Iterable[tuple[Heard, Sequence[Candidate]]]) -> Offset | None:
    """The centre's clock out of reports that cannot be told yet, each with its candidates.

    Each is of the one part that it names, or of one that nobody can name: and of each of those one
    report at the most. So where more of them agree, read as named, than there are such parts,
    one at least is read right, and all that agree with it say the same clock.
    """
    doubts: set[tuple[tuple[int, int], int]] = set()
    readings: dict[tuple[int, int], Offset] = {}
    for heard, candidates in kept:
        fitting = _fitting(heard, _conceivable(heard, candidates))
        doubts |= {(c.key, c.handed_at) for c in fitting if c.reference is None}
        named = [c for c in fitting if c.reference is not None]
        if len(named) == 1 and heard.submitted_at is not None:
            only = named[0]
            read = offset([(only.handed_at, only.taken_by, heard.submitted_at)])
            if read is not None:
                readings[only.key] = read
    agreeing = max(
        (
            [r for r in readings.values() if r.least <= at.least <= r.most]
            for at in readings.values()
        ),
        key=len,
        default=[],
    )
    if len(agreeing) <= max(len(doubts), 1):
        return None
    return Offset(min(r.least for r in agreeing), max(r.most for r in agreeing))


def _only(these: Sequence[Candidate]) -> Candidate | None:
    """The one there is. Of hand-overs of one and the same part the one that the report names."""
    if len({c.key for c in these}) != 1:
        return None
    return max(these, key=lambda c: (c.reference is not None, c.handed_at))


def _closest(submitted_at: int, these: Sequence[Candidate], clock: Offset) -> Candidate | None:
    """The one that was on its way at TP-SCTS, if it is one."""
    for allowed in (0, JITTER_MS):
        there = [c for c in these if clock.away(submitted_at, c) <= allowed]
        if there:
            # The one that bears this reference: another one so close to it has another (above).
            return _only(there) or _only([c for c in there if c.reference is not None])
    return None
