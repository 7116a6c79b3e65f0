"""`scripts/torture` in short: traffic, every kind of fault that is quick, and four books that agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.run import torture

pytestmark = pytest.mark.seconds(50)

SECONDS = 25.0
SEED = 1


def test_the_four_books_agree_after_kills_and_faults_under_traffic(tmp_path: Path) -> None:
    outcome = torture(tmp_path, SECONDS, SEED)
    assert outcome.disagreements == []
    # It was torture: it was killed, other things happened, and traffic got through.
    assert outcome.faults["kill"] >= 2 and len(outcome.faults) >= 3, outcome.faults
    assert outcome.acknowledged >= 50 and outcome.statuses["delivered"] >= 50
