"""`scripts/bench [NAME …]`: each measurement in one run, with what the disk costs beside it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import api, card, drain, legs, line, memory, million, peers

LATENCY_MS = 20.0
WHERE = Path(
    ".bench"
).resolve()  # on the disk that the checkout is on; /tmp is memory on some machines


def bench_line(folder: Path) -> Iterator[str]:
    yield line.tell(line.measure(folder, latency_ms=LATENCY_MS), LATENCY_MS)


def bench_million(folder: Path) -> Iterator[str]:
    yield million.measure(folder)


def bench_ten_million(folder: Path) -> Iterator[str]:
    yield million.ten_million(folder)


BENCHES: dict[str, Callable[[Path], Iterator[str]]] = {
    "line": bench_line,
    "peers": peers.measure,
    "api": api.measure,
    "drain": drain.measure,
    "million": bench_million,
    "ten-million": bench_ten_million,
    "memory": memory.measure,
    "legs": legs.measure,
    "card": card.measure,
}


def _machine() -> str:
    """What else goes on here while it measures: figures of a busy machine are worse."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} processors, load {load}"


def main(words: list[str]) -> None:
    unknown = set(words) - set(BENCHES)
    if unknown:
        raise SystemExit(
            f"no such measurement: {', '.join(unknown)}; there are {', '.join(BENCHES)}"
        )
    for name in words or BENCHES:
        WHERE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WHERE) as folder:
            print(_machine())  # noqa: T201
            for result in BENCHES[name](Path(folder)):
                print(result, flush=True)  # noqa: T201 - that is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
