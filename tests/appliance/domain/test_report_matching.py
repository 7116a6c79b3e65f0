"""Which submission a report is about."""

from __future__ import annotations

from typing import Literal

import pytest

from appliance.domain.report_matching import (
    Candidate,
    Offset,
    ReportFields,
    match,
    near,
    offset,
    same_number,
)

T = 1_800_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NUMBER = "+33612345678"


def part(
    message: int,
    reference: int | None,
    submitted_at: int = T,
    to: str = NUMBER,
    kind: Literal["part", "try", "air", "past"] = "part",
    scts: int | None = None,
) -> Candidate:
    """A hand-over that was answered three seconds later."""
    return Candidate(
        kind, (message, 1), to, reference, submitted_at, submitted_at + 3 * SECOND, scts
    )


def heard(
    reference: int, scts: int | None = T + 2 * SECOND, recipient: str = NUMBER
) -> ReportFields:
    return ReportFields(reference, recipient, scts, T + HOUR)


def meant(
    report: ReportFields, candidates: list[Candidate], clock: Offset | None = None
) -> Candidate | None:
    return match(report, candidates, lambda: clock)


RIGHT = Offset(-500, 500)  # the centre's clock goes like ours


def test_a_report_finds_its_part_by_reference_and_number() -> None:
    wanted = part(2, 7)
    others = [part(1, 6), part(3, 7, to="+33698765432")]
    assert meant(heard(7), [*others, wanted]) == wanted


def test_the_number_may_come_back_in_the_national_form() -> None:
    assert meant(heard(7, recipient="0612345678"), [part(1, 7)]) == part(1, 7)


def test_a_part_submitted_after_the_report_does_not_match() -> None:
    assert meant(heard(7), [part(1, 7, T + 2 * HOUR)]) is None


def test_after_a_wrap_of_the_reference_the_time_decides() -> None:
    old, new = part(1, 7, T - 5 * MINUTE), part(2, 7)
    assert meant(heard(7, T + SECOND), [old, new], RIGHT) == new
    assert meant(heard(7, T - 5 * MINUTE + SECOND), [old, new], RIGHT) == old


def test_without_the_service_centre_s_clock_nothing_matches_by_time() -> None:
    old, new = part(1, 7, T - 5 * MINUTE), part(2, 7)
    assert meant(heard(7, T + SECOND), [old, new]) is None


def test_submissions_half_an_hour_apart_are_distinguished_by_any_clock() -> None:
    old, new = part(1, 7, T - 25 * MINUTE), part(2, 7)
    assert meant(heard(7, T - 25 * MINUTE + 3 * SECOND), [old, new]) == old


def test_an_offset_of_whole_hours_is_accepted() -> None:
    assert meant(heard(7, T + 2 * HOUR + 4 * SECOND), [part(1, 7)]) == part(1, 7)
    assert not near(T + 20 * HOUR, T), "no zone is so far away: it is an old part's"


def test_a_repeated_report_matches_the_same_part() -> None:
    over = part(1, 7, T - MINUTE, kind="past", scts=T - 58 * SECOND)
    new = part(2, 7)
    assert meant(heard(7, T - 58 * SECOND), [over, new]) == over
    assert meant(heard(7), [over, new]) == new


def test_a_reported_part_does_not_match_another_report() -> None:
    failed = part(1, 7, T - MINUTE, scts=T - 58 * SECOND)  # open: it may arrive after all
    new = part(2, 7)
    assert meant(heard(7), [failed, new]) == new
    assert meant(heard(7, T - 58 * SECOND), [failed, new]) == failed


def test_a_report_for_a_closed_submission_matches_no_other() -> None:
    over = part(1, 7, T - MINUTE, kind="past")  # closed without a report
    assert meant(heard(7, T - 58 * SECOND), [over, part(2, 7)], RIGHT) == over
    assert meant(heard(7, T - 58 * SECOND), [over, part(2, 7)]) is None


def test_an_unanswered_part_takes_a_report_that_matches_no_other() -> None:
    doubtful, answered = part(1, None), part(2, 7, T + MINUTE)
    assert meant(heard(8), [doubtful, answered]) == doubtful
    assert meant(heard(7, T + 61 * SECOND), [doubtful, answered], RIGHT) == answered
    assert meant(heard(7), [doubtful, answered], RIGHT) == doubtful, (
        "it may have had that reference"
    )


def test_of_two_submissions_in_the_same_seconds_the_recipient_decides() -> None:
    doubtful, answered = part(1, None), part(2, 7, T + SECOND)
    assert meant(heard(7), [doubtful, answered], RIGHT) == answered


def test_of_two_uncertain_parts_the_submission_time_decides() -> None:
    first, second = part(1, None, T - MINUTE), part(2, None, T)
    assert meant(heard(8, T - 59 * SECOND), [first, second], RIGHT) == first
    assert meant(heard(8, T + SECOND), [first, second], RIGHT) == second
    assert meant(heard(8, T + SECOND), [first, second]) is None


def test_a_report_from_another_time_settles_no_uncertain_part() -> None:
    assert meant(heard(8, T + 30 * MINUTE), [part(1, None)]) is None
    assert meant(heard(8, T + MINUTE), [part(1, None)], RIGHT) is None


def test_matching_continues_after_the_centre_s_clock_was_set() -> None:
    """Nothing else bears this reference: the part is meant, and its report teaches the new offset."""
    assert meant(heard(7, T + 4 * MINUTE), [part(1, 7)], RIGHT) == part(1, 7)


def test_matching_works_with_a_box_clock_wrong_by_days() -> None:
    days = 40 * 24 * HOUR
    part_one, part_two = part(1, 7), part(2, 8)
    late = heard(7, T + days + 2 * SECOND)
    assert meant(late, [part_one]) is None
    doubted = ReportFields(7, NUMBER, T + days + 2 * SECOND, T + HOUR, believed=False)
    assert meant(doubted, [part_one]) == part_one
    # … which tells how the clocks go: from then on no trust is needed.
    known = offset([(part_one.submitted_at, part_one.taken_by, T + days + 2 * SECOND)])
    assert meant(heard(8, T + days + 2 * SECOND), [part_two], known) == part_two


def test_a_report_without_a_time_matches_by_reference_and_number() -> None:
    assert meant(heard(7, None), [part(1, 7)]) == part(1, 7)
    assert meant(heard(7, None), [part(1, 7, T - HOUR), part(2, 7)], RIGHT) is None


def test_a_report_on_the_part_being_sent_is_recognised() -> None:
    on_air = part(2, None, kind="air")
    assert meant(heard(7), [part(1, None, T - MINUTE), on_air], RIGHT) == on_air


def test_of_two_attempts_of_one_part_the_reference_decides() -> None:
    earlier, later = part(1, None, T - MINUTE, kind="try"), part(1, 7)
    assert meant(heard(7), [earlier, later]) == later


def test_some_reports_determine_the_centre_s_clock_to_a_second() -> None:
    ahead = 90 * SECOND
    known = []
    for n in range(8):
        submitted_at = T - n * 10_377
        scts = (submitted_at + 1_500 + ahead) // SECOND * SECOND
        known.append((submitted_at, submitted_at + 3 * SECOND, scts))
    found = offset(known)
    assert found is not None
    assert found.least <= ahead <= found.most
    assert found.most - found.least < 4 * SECOND


def test_reports_from_before_a_clock_change_are_ignored() -> None:
    before = (T - MINUTE, T - 57 * SECOND, T - 58 * SECOND + HOUR)
    after = (T, T + 3 * SECOND, T + 2 * SECOND)
    assert offset([after, before]) == offset([after]) != offset([before])
    assert offset([]) is None


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


def test_a_first_reference_of_0_settles_a_send_without_an_answer() -> None:
    """A modem that has just started counts from 0; nothing else went to this number."""
    unanswered = part(1, None)
    assert match(heard(0), [unanswered], lambda: None, tuple) == unanswered
    elsewhere = part(2, 1, to="+33698765432")
    assert match(heard(0), [unanswered], lambda: None, lambda: [elsewhere]) == unanswered


def test_a_reference_of_0_settles_no_doubt_beside_a_counted_send_to_the_number() -> None:
    """A network that writes 0 for every reference may mean the counted one."""
    unanswered, counted = part(1, None), part(2, 1)
    assert match(heard(0), [unanswered], lambda: None, lambda: [counted]) is None
