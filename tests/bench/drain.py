"""Draining a long queue through a network that takes no time: as quick at its start as at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from appliance.store.database import beside
from tests.bench.api import queue
from tests.bench.figures import Figures, syncs
from tests.bench.line import Bench, cpu_ms, gaps

MESSAGES = 100_000
SHARES = 4  # of the queue, told apart


def measure(folder: Path, messages: int = MESSAGES) -> Iterator[str]:
    """Messages per second and processor time over the shares of a queue that is there when the box starts."""
    bench = Bench(folder)
    try:
        bench.client.send("+33612345678", "Bonjour")  # the first id and time of those below
        bench.until_taken(1)
        bench.box.stop()
        # One in ten is for tomorrow (tests/bench/api.py).
        beside(bench.box.data / "zimbox.db", lambda db: queue(db, bench.client, messages))
        due = messages - -(-messages // 10)
        bench.box.start()
        before = cpu_ms(bench.box.pid)
        bench.until_taken(1 + due)
        spent = cpu_ms(bench.box.pid) - before
        sent = bench.sent()[1:]
        yield f"A queue of {messages:,}, {due:,} of them due, 0 ms per part; sync {Figures.of(syncs(folder, 100))}"
        for share in range(SHARES):
            some = sent[share * due // SHARES : (share + 1) * due // SHARES]
            seconds = (some[-1].answered - some[0].asked) / 1e9
            yield (
                f"  {share + 1}/{SHARES} of it   {len(some) / seconds:6.0f} SMS/s, "
                f"OK to next AT+CMGS {Figures.of(gaps(some))}"
            )
        yield f"  processor time of the box per message {spent / due:.2f} ms"
    finally:
        bench.stop()
