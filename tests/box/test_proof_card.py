"""What a message writes to the card, by the growth of the write-ahead log: the short form of `scripts/bench card`.

Bytes, not times: they are the same on every machine. The log grows until SQLite's checkpoint at 1,000 pages.
"""

from __future__ import annotations

from pathlib import Path

from tests.box.running import Client, RunningBox

POSTS = 40
LIVES = 12
POST_KIB = 15  # 12 on the machine that wrote this; 41 with pages of 4 KiB
LIFE_KIB = 50  # 40; 150 with pages of 4 KiB


def _log_bytes(box: RunningBox) -> int:
    return (box.data / "zimbox.db-wal").stat().st_size


def test_accepting_a_message_writes_few_bytes(tmp_path: Path) -> None:
    box = RunningBox(tmp_path, modems=(str(tmp_path / "no-modem"),)).start()
    try:
        client = box.client()
        assert _per_message(box, client, POSTS, wait=False) < POST_KIB
    finally:
        box.stop()


def test_a_message_until_its_report_writes_few_bytes(tmp_path: Path) -> None:
    box = RunningBox(tmp_path).start()
    try:
        client = box.client()
        client.until(client.send("+33612345678"), "delivered")  # the modem is ready, its SIM known
        assert _per_message(box, client, LIVES, wait=True) < LIFE_KIB
    finally:
        box.stop()


def _per_message(box: RunningBox, client: Client, messages: int, *, wait: bool) -> float:
    before = _log_bytes(box)
    for _ in range(messages):
        message = client.send("+33612345678")
        if wait:
            client.until(message, "delivered")
    grown = _log_bytes(box) - before
    assert grown > 0, "no checkpoint began the log again"
    return grown / messages / 1024
