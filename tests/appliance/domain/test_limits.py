"""Order, limits and back-off, as tables with the time passed in."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from appliance.core.config import Limits
from appliance.domain import limits as limit_rules
from appliance.domain.limits import Usage

PARIS = ZoneInfo("Europe/Paris")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp() * 1000)


NOON = ms("2026-03-10T12:00")


def test_priority_one_goes_before_everything_however_old() -> None:
    year_ago = NOON - 365 * 86_400_000
    assert limit_rules.rank(1, NOON, 10) < limit_rules.rank(2, year_ago, 10)


def test_an_old_bulk_message_overtakes_newer_normal_ones() -> None:
    bulk = limit_rules.rank(5, NOON, 10)
    assert bulk > limit_rules.rank(3, NOON + 19 * 60_000, 10)
    assert bulk < limit_rules.rank(3, NOON + 21 * 60_000, 10)


def test_the_backoff_doubles_to_its_longest_with_jitter() -> None:
    for attempts, seconds in ((1, 5), (2, 10), (3, 20), (20, 600)):
        for _ in range(20):
            assert 0.8 * seconds <= limit_rules.backoff_ms(attempts, 5, 600) / 1000 <= 1.2 * seconds


@pytest.mark.parametrize(
    ("limits", "used", "reason", "again_at"),
    [
        (Limits(), Usage(minute=99), "", None),
        (Limits(per_minute=6), Usage(minute=5), "", None),
        (Limits(per_minute=6), Usage(minute=6), "per_minute", NOON + 60_000),
        (Limits(per_hour=60), Usage(hour=60), "per_hour", NOON + 3_600_000),
        (Limits(per_day=100), Usage(day=100), "per_day", ms("2026-03-11T00:00")),
        (Limits(per_month=100), Usage(month=100), "per_month", ms("2026-04-01T00:00")),
        (Limits(per_month=9, billing_day=15), Usage(month=9), "per_month", ms("2026-03-15T00:00")),
    ],
)
def test_a_used_up_limit_holds_until_its_window_ends(
    limits: Limits, used: Usage, reason: str, again_at: int | None
) -> None:
    may = limit_rules.allowance(limits, used, NOON, PARIS)
    assert (may.reason, may.again_at, may.ordinary) == (reason, again_at, not reason)


@pytest.mark.parametrize(
    ("span", "now", "until"),
    [
        ("21:30-07:00", "2026-03-10T22:00", "2026-03-11T07:00"),
        ("21:30-07:00", "2026-03-10T06:59", "2026-03-10T07:00"),
        ("21:30-07:00", "2026-03-10T07:00", None),
        ("21:30-07:00", "2026-03-10T12:00", None),
        ("12:00-14:00", "2026-03-10T12:00", "2026-03-10T14:00"),
        # the clocks go forward that night: seven o'clock stays seven o'clock
        ("21:30-07:00", "2026-03-28T23:00", "2026-03-29T07:00"),
    ],
)
def test_quiet_hours_end_by_local_time(span: str, now: str, until: str | None) -> None:
    assert limit_rules.quiet([span], ms(now), PARIS) == (ms(until) if until else None)


def test_priority_one_passes_quiet_hours_only_if_the_owner_allows() -> None:
    night = ms("2026-03-10T23:00")
    for allows in (True, False):
        limits = Limits(quiet_hours=("21:30-07:00",), urgent_passes=allows)
        may = limit_rules.allowance(limits, Usage(), night, PARIS)
        assert (may.ordinary, may.urgent) == (False, allows)


def test_at_the_recipient_cap_only_known_recipients_pass() -> None:
    may = limit_rules.allowance(Limits(recipients_per_month=50), Usage(recipients=50), NOON, PARIS)
    assert (may.ordinary, may.new_recipients) == (True, False)
    assert may.again_at == ms("2026-04-01T00:00")


def test_the_room_until_a_time_includes_the_days_in_between() -> None:
    limits = Limits(per_day=100)
    assert limit_rules.room(limits, Usage(day=30), NOON, ms("2026-03-10T23:59"), PARIS) == 70
    assert limit_rules.room(limits, Usage(day=30), NOON, ms("2026-03-11T12:00"), PARIS) == 170
    assert limit_rules.room(Limits(), Usage(), NOON, NOON, PARIS) is None


@pytest.mark.parametrize(
    ("limits", "used", "now", "expected"),
    [
        (Limits(), Usage(), NOON, (True, True, None, None, ms("2026-04-01T00:00"))),
        (Limits(per_day=9), Usage(day=4), NOON, (True, True, 5, None, ms("2026-03-11T00:00"))),
        (Limits(per_month=9), Usage(month=9), NOON, (True, True, 0, None, ms("2026-04-01T00:00"))),
        (
            Limits(per_day=9, per_month=9),
            Usage(day=1, month=8),
            NOON,
            (True, True, 1, None, ms("2026-04-01T00:00")),
        ),
        (
            Limits(quiet_hours=("11:00-13:00",), urgent_passes=True),
            Usage(),
            NOON,
            (False, True, None, None, ms("2026-03-10T13:00")),
        ),
        (
            Limits(recipients_per_month=5),
            Usage(recipients=4),
            NOON,
            (True, True, None, 1, ms("2026-04-01T00:00")),
        ),
    ],
)
def test_the_windows_that_run_now(
    limits: Limits, used: Usage, now: int, expected: tuple[object, ...]
) -> None:
    found = limit_rules.window(limits, used, now, PARIS)
    assert (found.ordinary, found.urgent, found.room, found.fresh, found.ends_at) == expected


def _window(
    ordinary: bool = True, urgent: bool = True, room: int | None = None, fresh: int | None = None
) -> limit_rules.Window:
    return limit_rules.Window(ordinary, urgent, room, fresh, 0)


@pytest.mark.parametrize(
    ("windows", "ahead", "batch", "count"),
    [
        ([_window()], 99, [(3, 1, True)] * 4, 4),
        ([_window(room=3)], 0, [(3, 1, True)] * 4, 3),
        ([_window(room=3)], 2, [(3, 1, True)] * 4, 1),
        ([_window(room=3)], 0, [(3, 2, True)] * 4, 1),  # a message goes whole
        ([_window(room=3), _window(room=2)], 0, [(3, 1, True)] * 9, 5),
        ([_window(room=3), _window()], 0, [(3, 1, True)] * 9, 9),
        ([_window(ordinary=False)], 0, [(3, 1, True), (1, 1, True)], 1),  # the urgent one passes
        ([_window(ordinary=False, urgent=False)], 0, [(1, 1, True)], 0),
        ([_window(room=2)], 9, [(3, 1, True), (1, 1, True)], 1),  # … before all that waits
        ([_window(fresh=1)], 0, [(3, 1, True), (3, 1, True), (3, 1, False)], 2),
    ],
)
def test_how_many_messages_of_a_batch_fit_into_the_windows(
    windows: list[limit_rules.Window], ahead: int, batch: list[tuple[int, int, bool]], count: int
) -> None:
    assert limit_rules.going(windows, ahead, batch) == count


@pytest.mark.parametrize(
    ("then", "left"),
    [
        (NOON, Usage(1, 2, 3, 4, 5)),
        (NOON + 60_000, Usage(0, 2, 3, 4, 5)),
        (NOON + 3_600_000, Usage(0, 0, 3, 4, 5)),
        (ms("2026-03-10T23:59"), Usage(0, 0, 3, 4, 5)),
        (ms("2026-03-11T00:00"), Usage(0, 0, 0, 4, 5)),
        (ms("2026-04-01T00:00"), Usage()),
    ],
)
def test_sent_parts_count_until_their_window_ends(then: int, left: Usage) -> None:
    assert limit_rules.still_counts(Limits(), Usage(1, 2, 3, 4, 5), NOON, then, PARIS) == left


@pytest.mark.parametrize(
    ("limits", "used", "parts", "start", "done"),
    [
        (Limits(), Usage(), 3, NOON, NOON + 12_000),
        (Limits(per_minute=6), Usage(), 6, NOON, NOON + 24_000),
        (Limits(per_minute=6), Usage(), 7, NOON, NOON + 60_000 + 4000),
        (Limits(per_minute=6), Usage(minute=6), 7, NOON, NOON + 120_000 + 4000),
        (Limits(per_minute=6), Usage(minute=6), 1, NOON + 60_000, NOON + 64_000),
        (Limits(per_hour=10), Usage(hour=5), 15, NOON, NOON + 3_600_000 + 40_000),
        (Limits(per_day=10), Usage(day=9), 2, NOON, ms("2026-03-11T00:00") + 4000),
        (Limits(per_day=10), Usage(day=9), 12, NOON, ms("2026-03-12T00:00") + 4000),
        (Limits(per_month=10), Usage(month=10), 1, NOON, ms("2026-04-01T00:00") + 4000),
        (Limits(quiet_hours=("11:00-13:00",)), Usage(), 1, NOON, ms("2026-03-10T13:00") + 4000),
    ],
)
def test_when_a_number_of_parts_will_have_been_sent(
    limits: Limits, used: Usage, parts: int, start: int, done: int
) -> None:
    assert limit_rules.expected(limits, used, 4000, parts, start, NOON, PARIS) == done


def test_the_forecast_lets_priority_one_pass_quiet_hours() -> None:
    for passes, done in ((True, NOON + 4000), (False, ms("2026-03-10T13:00") + 4000)):
        limits = Limits(quiet_hours=("11:00-13:00",), urgent_passes=passes)
        result = limit_rules.expected(limits, Usage(), 4000, 1, NOON, NOON, PARIS, urgent=True)
        assert result == done


def test_quiet_hours_never_end_in_the_past() -> None:
    paris = ZoneInfo("Europe/Paris")
    now = int(
        datetime(2026, 10, 25, 1, 15, tzinfo=UTC).timestamp() * 1000
    )  # 02:15, the second time
    until = limit_rules.quiet(("22:00-02:30",), now, paris)
    assert until is None or until > now
