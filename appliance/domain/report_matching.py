"""Match a delivery report to the submission that it is about. Pure.

TP-MR (23.040 9.2.3.6) is one octet that the modem counts. It wraps while reports are still out, and a
network may deliver a report twice, late, out of order or never. So every submission of the SIM competes,
including finished ones, by reference, recipient and TP-SCTS, which is the same in all reports on one
part and differs between parts. A report that fits two submissions waits until more is known.

Some networks rewrite the recipient (another number, a mask, nothing), write 0 for every reference, or set
TP-SCTS to a zone with half hours. Only where no submission has the report's number and reference, or its
time, the rest decides, and only if it leaves exactly one submission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

# Tolerance of TP-SCTS against our submission while the service centre's clock is unknown: minutes, and
# whole hours for a wrong time zone (none is more than 14 hours from UTC).
TOLERANCE_MS = 10 * 60_000
HOUR_MS = 3_600_000
QUARTER_MS = 15 * 60_000  # zones are whole quarters of an hour (23.040 9.2.3.11)
FURTHEST_MS = 14 * HOUR_MS + TOLERANCE_MS
# Tolerance once it is known: a centre is several machines with imperfect clocks. TP-MR cannot wrap in
# this time, because 256 parts take minutes.
JITTER_MS = 5_000
TAIL_DIGITS = 7  # TP-RA may be in national form
UNCOUNTED = 0  # the reference of modems and networks that do not count


class Candidate(msgspec.Struct, frozen=True):
    """A submission that a report may be about."""

    kind: Literal["part", "try", "air", "past"]  # air: not answered yet; past: finished
    key: tuple[int, int]  # message and number of the part
    recipient: str
    reference: int | None  # None: the modem never answered
    submitted_at: int
    taken_by: int  # the latest time at which the network can have accepted it
    scts: int | None = None  # TP-SCTS of an earlier report
    row: int = 0  # of an earlier attempt


class ReportFields(msgspec.Struct, frozen=True):
    """The contents of a report."""

    reference: int
    recipient: str
    scts: int | None  # TP-SCTS
    arrived_at: int
    believed: bool = True  # our clock is trusted, so TP-SCTS must be close to it


class Offset(msgspec.Struct, frozen=True):
    """Bounds on how far the service centre's clock is ahead of ours (ms)."""

    least: int
    most: int

    def away(self, scts: int, one: Candidate) -> int:
        """Return how far TP-SCTS is from the interval in which the centre can have accepted it (ms)."""
        first = one.submitted_at + self.least - 999  # TP-SCTS has whole seconds
        last = one.taken_by + self.most
        return max(first - scts, scts - last, 0)


TOLERANCE = Offset(-TOLERANCE_MS, TOLERANCE_MS)


def offset(known: Iterable[tuple[int, int, int]]) -> Offset | None:
    """Return the offset that reported submissions show: (submitted_at, taken_by, TP-SCTS), newest first.

    Older ones narrow it down while they agree; they stop where the centre's clock was set.
    """
    found: Offset | None = None
    for submitted_at, taken_by, scts in known:
        least, most = scts - taken_by, scts + 999 - submitted_at
        if found is not None:
            least, most = max(least, found.least), min(most, found.most)
        if least > most:
            break
        found = Offset(least, most)
    return found


def same_number(one: str, other: str) -> bool:
    """Return whether two numbers can be the same: equal last seven digits, or equal short numbers."""
    a, b = (n.lstrip("+") for n in (one, other))
    if min(len(a), len(b)) < TAIL_DIGITS:
        return a == b
    return a[-TAIL_DIGITS:] == b[-TAIL_DIGITS:]


def near(scts: int | None, submitted_at: int) -> bool:
    """Return whether TP-SCTS can be the time of a submission, apart from whole hours of a wrong zone."""
    if scts is None:
        return True
    off = scts - submitted_at
    beside_hour = abs((off + HOUR_MS // 2) % HOUR_MS - HOUR_MS // 2)
    return beside_hour <= TOLERANCE_MS and abs(off) <= FURTHEST_MS


def match(
    report: ReportFields,
    candidates: Iterable[Candidate],
    centre: Callable[[], Offset | None],
    uncounted: Callable[[], Iterable[Candidate]] = tuple,
) -> Candidate | None:
    """Return the submission that the report is about, None if that is not known (yet).

    `centre` is called only where its clock decides, `uncounted` (the submissions whose reference cannot be compared)
    only where no submission has number and reference of the report.
    """
    candidates = list(candidates)
    conceivable = _conceivable(report, candidates)
    named = any(c.reference == report.reference for c in conceivable)
    if not conceivable or (
        report.reference == UNCOUNTED and not named and _may_be_uncounted(report, uncounted())
    ):
        return _rewritten(report, candidates, centre, uncounted)
    if report.scts is not None:
        for one in conceivable:
            if one.scts == report.scts:
                return one  # another report on it, or a copy
    fitting = _fitting(report, conceivable)
    only = _only(fitting)
    if report.scts is None or (only is not None and only.reference is not None):
        return only
    # In a zone with half an hour, or with a clock that is wrong by days, it may be about one that does not fit.
    unreported = [c for c in conceivable if c.scts is None]
    clock = centre()
    if clock is not None:
        found = _closest(report.scts, unreported, clock)
        return found if found or fitting else _in_another_zone(report.scts, unreported, clock)
    if only is not None:
        return only if _only(_in_any_zone(report.scts, unreported)) else None
    return None if fitting else _in_another_zone(report.scts, unreported, None)


def _may_be_uncounted(report: ReportFields, same_recipient: Iterable[Candidate]) -> bool:
    """Return whether the 0 of a report may stand for the reference of a counted submission to its number.

    Otherwise 0 is a reference like any other: the first of a modem that has just started.
    """
    rivals = [
        c
        for c in same_recipient
        if c.submitted_at <= report.arrived_at
        and same_number(c.recipient, report.recipient)
        and c.scts in (None, report.scts)
    ]
    return bool(rivals if report.scts is None else _in_any_zone(report.scts, rivals))


def _in_any_zone(scts: int, these: Iterable[Candidate]) -> list[Candidate]:
    return [c for c in these if abs(scts - c.submitted_at) <= FURTHEST_MS]


def _in_another_zone(
    scts: int, unreported: Iterable[Candidate], clock: Offset | None
) -> Candidate | None:
    """Return the only submission with this number and reference, in a zone with a half or quarter of an hour."""

    def fits(one: Candidate) -> bool:
        if clock is None:
            return True
        off = scts - one.submitted_at - clock.least
        quarters = (off + QUARTER_MS // 2) // QUARTER_MS * QUARTER_MS
        return clock.away(scts - quarters, one) <= JITTER_MS

    found = _only([c for c in _in_any_zone(scts, unreported) if fits(c)])
    return found if found is not None and found.reference is not None else None


def _rewritten(
    report: ReportFields,
    candidates: Sequence[Candidate],
    centre: Callable[[], Offset | None],
    uncounted: Callable[[], Iterable[Candidate]],
) -> Candidate | None:
    """Return the only submission that a report with a rewritten number, or without a reference, can be about.

    The other one must agree: the reference, or the number beside a reference that does not count. Everything
    without a known reference competes.
    """
    if report.scts is None or not report.believed:
        return None
    earlier = [c for c in candidates if c.submitted_at <= report.arrived_at]
    doubts = [c for c in earlier if c.reference is None]
    named = [c for c in earlier if c.reference == report.reference]
    same = [
        c
        for c in uncounted()
        if c.submitted_at <= report.arrived_at and same_number(c.recipient, report.recipient)
    ]
    agreeing = same or named
    clock = centre()
    rivals = [c for c in (*agreeing, *doubts) if c.scts in (None, report.scts)]
    if clock is not None:
        found = _only([c for c in rivals if clock.away(report.scts, c) <= JITTER_MS])
    else:
        found = _only(_in_any_zone(report.scts, rivals))
        if found is not None and TOLERANCE.away(report.scts, found):
            return None
    return found if found is not None and found.reference is not None else None


def _conceivable(report: ReportFields, candidates: Iterable[Candidate]) -> list[Candidate]:
    return [
        c
        for c in candidates
        if c.reference in (None, report.reference)
        and same_number(c.recipient, report.recipient)
        and c.submitted_at <= report.arrived_at
    ]


def _fitting(report: ReportFields, conceivable: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates without a report whose time fits TP-SCTS."""
    return [
        c
        for c in conceivable
        if c.scts is None and (not report.believed or near(report.scts, c.submitted_at))
    ]


def agreement(kept: Iterable[tuple[ReportFields, Sequence[Candidate]]]) -> Offset | None:
    """Return the centre's clock from unmatched reports, each with its candidates.

    A report is about the part that its reference names, or about a part without a known reference, and
    each of those has one report at most. So if more reports agree, read by their reference, than there are
    parts without one, at least one is read correctly, and all that agree with it show the same clock.
    """
    doubts: set[tuple[tuple[int, int], int]] = set()
    readings: dict[tuple[int, int], Offset] = {}
    for report, candidates in kept:
        unreported = [c for c in _conceivable(report, candidates) if c.scts is None]
        if report.believed and report.scts is not None:
            unreported = _in_any_zone(report.scts, unreported)
        doubts |= {(c.key, c.submitted_at) for c in unreported if c.reference is None}
        named = [c for c in unreported if c.reference is not None]
        if len(named) == 1 and report.scts is not None:
            only = named[0]
            read = offset([(only.submitted_at, only.taken_by, report.scts)])
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
    """Return the only candidate. Of several submissions of one part, the one that the report names."""
    if len({c.key for c in these}) != 1:
        return None
    return max(these, key=lambda c: (c.reference is not None, c.submitted_at))


def _closest(scts: int, these: Sequence[Candidate], clock: Offset) -> Candidate | None:
    """Return the candidate that was under way at TP-SCTS, if there is exactly one."""
    for allowed in (0, JITTER_MS):
        there = [c for c in these if clock.away(scts, c) <= allowed]
        if there:
            # Prefer the one with this reference: another one so close has another reference (see above).
            return _only(there) or _only([c for c in there if c.reference is not None])
    return None
