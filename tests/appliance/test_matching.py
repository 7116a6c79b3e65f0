"""Which part a report speaks of."""

from __future__ import annotations

import pytest

from appliance.matching import Candidate, Heard, match, same_number

T = 1_800_000_000_000
HOUR = 3_600_000


def part(
    message: int, reference: int | None, handed_at: int = T, to: str = "+33612345678"
) -> Candidate:
    return Candidate("part", (message, 1), to, reference, handed_at)


def heard(
    reference: int, submitted_at: int | None = T + 2000, recipient: str = "+33612345678"
) -> Heard:
    return Heard(reference, recipient, submitted_at, T + 10_000)


def test_a_report_finds_its_part_by_reference_and_number() -> None:
    wanted = part(2, 7)
    others = [part(1, 6), part(3, 7, to="+33698765432")]
    assert match(heard(7), [*others, wanted]) == wanted


def test_the_number_may_come_back_in_the_national_form() -> None:
    assert match(heard(7, recipient="0612345678"), [part(1, 7)]) == part(1, 7)


def test_when_the_reference_has_wrapped_the_newest_part_is_meant() -> None:
    old, new = part(1, 7, T - 2 * HOUR), part(2, 7)
    assert match(heard(7, T + 1000), [old, new]) == new


def test_the_time_tells_two_wraps_apart() -> None:
    old, new = part(1, 7, T - 25 * 60_000), part(2, 7)
    assert match(heard(7, T - 25 * 60_000 + 3000), [old, new]) == old


def test_a_network_in_the_wrong_time_zone_is_forgiven_whole_hours() -> None:
    assert match(heard(7, T + 2 * HOUR + 4000), [part(1, 7)]) == part(1, 7)


def test_a_part_that_was_never_answered_takes_a_report_that_nobody_else_does() -> None:
    doubtful, answered = part(1, None), part(2, 7)
    assert match(heard(8), [doubtful, answered]) == doubtful
    assert match(heard(7), [doubtful, answered]) == answered


def test_of_two_doubts_the_one_handed_over_at_that_moment_is_meant() -> None:
    first, second = part(1, None, T - 10_000), part(2, None, T)
    assert match(heard(8, T - 9000), [first, second]) == first
    assert match(heard(8, T + 1000), [first, second]) == second


def test_a_report_from_another_time_settles_no_doubt() -> None:
    assert match(heard(8, T + 30 * 60_000), [part(1, None)]) is None


def test_a_report_without_a_time_counts_by_reference_and_number() -> None:
    assert match(heard(7, None), [part(1, 7)]) == part(1, 7)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("+33612345678", "+33612345678", True),
        ("+33612345678", "0612345678", True),
        ("+33612345678", "+33612345679", False),
        ("8080", "8080", True),
        ("8080", "+33612348080", False),
    ],
)
def test_numbers_are_the_same_by_their_last_digits(one: str, other: str, same: bool) -> None:
    assert same_number(one, other) is same
