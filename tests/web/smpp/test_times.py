"""Times of SMPP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.smpp import times

NOW = 1_736_937_000_000  # 2025-01-15T10:30:00Z
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("250115103000000+", NOW),
        ("250115113000004+", NOW),  # 4 quarters of an hour ahead of UTC
        ("250115093000004-", NOW),
        ("250115103000500+", NOW + 500),
        ("000000010000000R", NOW + HOUR),
        ("000002000000000R", NOW + 48 * HOUR),
        ("250231000000000+", None),
        ("250115103000049+", None),
        ("250115103000000", None),
        ("250115103000000Z", None),
        ("", None),
        ("٢50115103000000+", None),
    ],
)
def test_absolute_and_relative_times(written: str, moment: int | None) -> None:
    assert times.moment(written, NOW) == moment


@given(st.integers(946_684_800_000, 4_102_444_799_000))
def test_a_written_time_is_read_back_to_a_tenth_of_a_second(moment: int) -> None:
    assert times.moment(times.written(moment), NOW) == moment // 100 * 100
