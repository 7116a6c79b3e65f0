"""The short form of `scripts/bench`: ratios and bounds that hold on a busy machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bench import line, million, peers
from tests.bench.million import Stored

pytestmark = [pytest.mark.seconds(25), pytest.mark.measure]

# Medians against the disk's own median in the same run; the bench prints the real ones.
FIRST_BYTE_MS, GAP_MS = 25.0, 40.0


def test_the_serial_line_is_used_without_pauses(tmp_path: Path) -> None:
    found = line.measure(tmp_path / "line", singles=20, bursts=100, latency_ms=10)
    syncs = 4 * found.sync.p50
    assert found.to_first_byte.p50 < syncs + FIRST_BYTE_MS, line.tell(found, 10)
    assert found.gap.p50 < syncs + GAP_MS, line.tell(found, 10)


@pytest.mark.skipif(
    shutil.which("smsd") is None, reason="NOT TESTED: needs smstools (Debian: smstools)"
)
def test_the_line_idles_far_less_than_with_smstools(tmp_path: Path) -> None:
    ours = peers.pace(peers.Box, tmp_path / "box", 20, 40)
    theirs = peers.pace(peers.Smstools, tmp_path / "smstools", 20, 4)
    assert ours.idle * 5 < theirs.idle, (ours, theirs)


def test_a_store_of_many_answers_like_one_of_few(tmp_path: Path) -> None:
    """Twenty times the messages; a scan would take many times as long."""
    few, many = (Stored(tmp_path / str(n), n) for n in (1000, 20_000))
    try:
        for found in million.compare(few, many, rounds=7):
            assert found.large < 3 * found.most * found.small + 10, found
        assert all(stored.export() > 500 for stored in (few, many))
    finally:
        few.stop()
        many.stop()
