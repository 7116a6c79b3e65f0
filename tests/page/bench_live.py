"""What ten open status pages cost the sending line: `scripts/bench-page`."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from tests.box.running import RunningBox
from tests.page.conftest import ready
from tests.page.listening import Listener
from tests.page.test_live import bulk

MESSAGES = 200
LATENCY_SECONDS = 0.05  # of the simulated network: about a thousand messages a minute
STREAMS = 10
ROUNDS = 3


def gaps(box: RunningBox, begun: int) -> list[float]:
    """Milliseconds from one part the network took to the next, from that part on."""
    lines = [line["mono"] for line in box.received()[begun:]]
    return [1000 * (later - sooner) for sooner, later in pairwise(lines)]


def run(box: RunningBox, streams: int) -> dict[str, float]:
    """Send all messages with so many pages open."""
    client = box.client()
    begun = len(box.received())
    with ExitStack() as stack:
        listeners = [stack.enter_context(Listener(box.url)) for _ in range(streams)]
        for listener in listeners:
            listener.opened.wait(10)
        started = time.monotonic()
        ids = bulk(client, MESSAGES)
        client.until(ids[-1], "delivered", "sent", seconds=600)
        took = time.monotonic() - started
        events = [len(listener.events) for listener in listeners]
    found = sorted(gaps(box, begun))
    return {
        "streams": streams,
        "messages_a_minute": round(60 * len(found) / took),
        "gap_median_ms": round(statistics.median(found), 2),
        "gap_95_ms": round(found[int(len(found) * 0.95)], 2),
        "gap_longest_ms": round(found[-1], 1),
        "events_a_stream": round(statistics.mean(events)) if events else 0,
    }


def main() -> None:
    """Without and with pages, in turn, on one box."""
    latency = {"ZIMBOX_SIMULATOR_LATENCY_SECONDS": str(LATENCY_SECONDS)}
    box = RunningBox(Path(tempfile.mkdtemp(prefix="zimbox-bench-")), latency).start()
    try:
        ready(box)
        run(box, 0)  # what is slow only the first time
        for _ in range(ROUNDS):
            for streams in (0, STREAMS):
                sys.stdout.write(json.dumps(run(box, streams)) + "\n")
                sys.stdout.flush()
    finally:
        box.stop()


if __name__ == "__main__":
    main()
