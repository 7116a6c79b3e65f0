"""What a request costs, against the stored figures of tests/bench/baseline.json: SQLite's steps, bytes, commits.

None of them depends on the machine or its load. After a change that is meant, store new figures:
`ZIMBOX_STORE_BASELINE=1 python -m pytest tests/web/test_costs.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.bench import BASELINE
from tests.web.test_queue_length import SEND, Ask, Counted, counted

__all__ = ["counted"]

REQUESTS = 10


class Cost(msgspec.Struct, frozen=True):
    """One request, the cheapest of some: what the box does beside them only adds to it."""

    steps: int  # of SQLite's virtual machine
    log_bytes: int  # written to zimbox.db-wal
    commits: int


# SQLite's versions differ by some steps of a plan, and B-trees by a page.
MOST, LEAST, SLACK = 1.4, 0.6, Cost(steps=60, log_bytes=2_100, commits=0)


async def cost(box: Counted, ask: Ask, status: int) -> Cost:
    """What a request costs once its statements are compiled."""
    assert (await ask()).status_code == status
    log = Path(f"{box.box.box.db.path}-wal")
    commits = 0

    def commit(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await box.box.box.db.write(lambda db: db.set_trace_callback(commit))
    found = []
    for _ in range(REQUESTS):
        box.steps, commits, before = 0, 0, log.stat().st_size
        assert (await ask()).status_code == status
        found.append((box.steps, log.stat().st_size - before, commits))
    await box.box.box.db.write(lambda db: db.set_trace_callback(None))
    steps, written, committed = zip(*found, strict=True)
    return Cost(min(steps), min(written), min(committed))


# The page's handlers name their path parameters as Litestar 2 does.
@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
async def test_a_request_costs_what_it_did(counted: Counted) -> None:
    client = counted.client
    counted.box.housekeeping.stop()  # its jobs are not part of a request
    await counted.count()
    counted.box.box.db.read_now(counted.watch)
    sent = (await client.post("/v1/sms/send", json=SEND)).json()
    asked: dict[str, tuple[Ask, int]] = {
        "send": (lambda: client.post("/v1/sms/send", json=SEND), 202),
        "status": (lambda: client.get(f"/v1/sms/status/{sent['message_id']}"), 200),
        "history": (lambda: client.get("/v1/sms/history"), 200),
        "statistics": (lambda: client.get("/v1/sms/stats"), 200),
    }
    found = {name: await cost(counted, ask, status) for name, (ask, status) in asked.items()}
    if os.environ.get("ZIMBOX_STORE_BASELINE"):
        BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    baseline = msgspec.json.decode(BASELINE.read_bytes(), type=dict[str, Cost])
    assert found.keys() == baseline.keys()
    for name, cost_now in found.items():
        for figure in Cost.__struct_fields__:
            now, then = getattr(cost_now, figure), getattr(baseline[name], figure)
            slack = getattr(SLACK, figure)
            assert then * LEAST - slack <= now <= then * MOST + slack, (name, figure, now, then)
