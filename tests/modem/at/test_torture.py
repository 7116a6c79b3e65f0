"""A line that damages bytes: `scripts/torture line` in short. The long form sends ten thousand messages."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from modem.at.line_quality import LineQuality, has_foreign_characters, is_corrupted_ok
from modem.driver.references import References, is_misread_of
from tests.modem.torture import BAD_LINE, Damage, torture

pytestmark = pytest.mark.seconds(15)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_bad_line_alters_no_text_and_hides_no_outcome(tmp_path: Path, seed: int) -> None:
    result = await torture(tmp_path, 150, seed, BAD_LINE)
    assert result.faultless, result
    assert sum(result.verdicts.values()) == 150
    assert set(result.verdicts) <= {"taken", "unknown"}
    assert result.wrong_references <= 2  # a digit lost before the line was known to be bad


async def test_a_very_bad_line_is_slow_but_reports_true_outcomes(tmp_path: Path) -> None:
    dreadful = Damage(lose=0.002, double=0.002, garble=0.002, noise=0.001)
    result = await torture(tmp_path, 30, 3, dreadful)
    assert not (result.wrong_texts or result.duplicates or result.untrue or result.stuck), result


async def test_undetectable_garbled_digits_do_not_stop_the_driver(tmp_path: Path) -> None:
    result = await torture(tmp_path, 100, 4, msgspec.structs.replace(BAD_LINE, digits=True))
    assert not result.stuck
    assert sum(result.verdicts.values()) == 100


async def test_a_line_that_only_delays_and_splits_costs_nothing(tmp_path: Path) -> None:
    result = await torture(tmp_path, 200, 5, Damage(split=0.2, delay=0.01))
    assert result.verdicts == {"taken": 200}
    assert (result.lost_reports, result.wrong_references) == (0, 0)
    assert result.faultless


def test_line_quality_recovers_after_a_time_without_damage() -> None:
    now = 0.0
    trust = LineQuality(60, lambda: now)
    assert not trust.degraded
    assert trust.note_damage()
    assert not trust.note_damage()  # known already
    now = 59.0
    before, now = trust.degraded, 61.0
    assert (before, trust.degraded) == (True, False)
    assert trust.note_damage()


@pytest.mark.parametrize(
    ("line", "bad"),
    [("OK", False), ("K", True), ("OOK", True), ("OKK", True), ("O", True), ("OJ", True), ("O\x80K", True),
     ("ERROR", False), ("RDY", False), ("+CSQ: 20,0", False), ("", True)],
)  # fmt: skip
def test_a_damaged_ok_degrades_the_line(line: str, bad: bool) -> None:
    assert is_corrupted_ok(line) is bad


@pytest.mark.parametrize(
    ("line", "strange"),
    [("+CSQ: 2\x80,0", True), ("+CS\x11Q: 20,0", True), ('+CIEV: 10,"Téléphonie"', False), ("+CSQ: 20,0", False),
     ('+CUSD: 0,"Crédit épuisé', False), ("+COPS: 0,0,Télécom", False)],
)  # fmt: skip
def test_impossible_characters_degrade_the_line(line: str, strange: bool) -> None:
    assert has_foreign_characters(line) is strange


@pytest.mark.parametrize(
    ("received", "true", "likely"),
    [(17, 117, True), (1117, 117, True), (11, 117, True), (117, 117, False), (118, 117, False),
     (5, 105, True), (0, 10, True), (10, 100, True)],
)  # fmt: skip
def test_a_reference_with_a_digit_lost_or_doubled(received: int, true: int, likely: bool) -> None:
    assert is_misread_of(received, true) is likely


def test_consecutive_references_are_recognised_on_a_bad_line() -> None:
    references = References()
    assert references.accepted(116, degraded=True) == 116
    assert references.accepted(17, degraded=True) == 117
    references.note_uncertain()
    assert references.accepted(119, degraded=True) == 119  # the one in doubt had counted
    assert references.accepted(None, degraded=True) == 120
    assert references.accepted(200, degraded=True) == 200  # somebody else sends as well
    assert references.accepted(20, degraded=False) == 20  # a good line is believed
