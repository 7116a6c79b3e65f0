"""`scripts/torture` in short: traffic, faults, and four books that agree; a power cut; a day of traffic."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from image.builder.checks import BEYOND
from tests.box.running import RunningBox
from tests.torture import day
from tests.torture.__main__ import kept_if_failed
from tests.torture.disk import small_disk
from tests.torture.run import Plan, torture

pytestmark = [pytest.mark.seconds(50), pytest.mark.timeout(1500)]

SECONDS = 25.0
SEED = 1


def test_the_four_books_agree_after_kills_and_faults_under_traffic(tmp_path: Path) -> None:
    outcome = torture(tmp_path, SEED, Plan(SECONDS))
    assert outcome.disagreements == []
    # It was torture: it was killed, other things happened, and traffic got through.
    assert outcome.faults["kill"] >= 2 and len(outcome.faults) >= 3, outcome.faults
    assert outcome.acknowledged >= 100 and outcome.statuses["delivered"] >= 30


def test_the_short_form_of_a_day_of_traffic_is_written_as_a_table_and_a_chart(
    tmp_path: Path,
) -> None:
    outcome = day.day(tmp_path, messages=40, seconds=4.0)
    assert outcome.messages >= 40 and sum(outcome.statuses.values()) == outcome.messages
    assert outcome.webhook_calls > 0
    assert {len(sample.values) for sample in outcome.samples} == {len(day.GAUGES)}
    assert outcome.samples[-1].hour == day.HOURS
    page = day.section(outcome, "0000000", datetime(2026, 1, 2, tzinfo=UTC))
    assert f"{outcome.messages:,} messages" in page and "| 24:00 |" in page
    assert day.chart(outcome).count("<polyline") == len(day.GAUGES)


def test_the_files_of_a_failed_run_are_kept(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with pytest.raises(SystemExit), kept_if_failed(kept) as folder:
        (folder / "box.log").write_text("what it said")
        (folder / "data").symlink_to(folder)
        (folder / "disk").mkdir()
        sys.exit(1)
    assert (kept / "box.log").read_text() == "what it said" and not folder.exists()


def test_the_files_of_a_run_whose_books_agree_are_removed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with kept_if_failed(kept) as folder:
        (folder / "box.log").write_text("what it said")
    assert not kept.exists() and not folder.exists()


def test_every_202_survives_a_power_cut(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        if disk is None:
            pytest.skip(f"NOT TESTED: {BEYOND}: mounting a disk needs root and a loop device")
        box = RunningBox(tmp_path)
        disk.hold_data_of(box)
        box.start()
        try:
            client = box.client()
            texts = {client.send("+4915112300002", text): text for text in map(str, range(20))}
            disk.cut_under(box)
            box.start()
            client.url = box.url
            assert {number: client.status(number)["message"] for number in texts} == texts
        finally:
            box.kill()
