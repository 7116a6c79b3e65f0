"""What a message writes to the card, in bytes: they depend on no machine and no load (`scripts/bench legs`)."""

from __future__ import annotations

from pathlib import Path

from tests.bench import legs

# KiB per message from its acceptance to the history, with some room: SQLite's versions differ by a page.
IDLE_KIB, BUSY_KIB = 30, 17
IDLE, BUSY = 40, 500


def kib(written: dict[str, legs.Written], count: int) -> float:
    total = legs.whole(written)
    return (total.log_bytes + total.database_bytes) / 1024 / count


def test_a_message_on_an_idle_line_writes_few_bytes(tmp_path: Path) -> None:
    written = legs.idle(tmp_path / "store.db", IDLE)
    assert kib(written, IDLE) <= IDLE_KIB
    commits = {leg: one.commits for leg, one in written.items()}
    assert [commits[leg] for leg in ("accept and claim", "sent", "report")] == [IDLE] * 3


def test_a_message_of_a_burst_writes_few_bytes_and_needs_one_commit(tmp_path: Path) -> None:
    written = legs.busy(tmp_path / "store.db", BUSY)
    assert kib(written, BUSY) <= BUSY_KIB
    assert legs.whole(written).commits <= 1.05 * BUSY
