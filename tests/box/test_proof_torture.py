"""`scripts/torture` in short: traffic, every kind of fault that is quick, and four books that agree; a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from image.builder.checks import BEYOND
from tests.box.running import RunningBox
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
