"""Samples and their statistics, in milliseconds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Figures(msgspec.Struct, frozen=True):
    """What is said of many samples."""

    n: int
    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Figures:
        ordered = sorted(samples)
        nearly_last = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
        return cls(len(ordered), statistics.median(ordered), nearly_last, ordered[-1])

    def __str__(self) -> str:
        return f"p50 {self.p50:7.2f}   p99 {self.p99:7.2f}   worst {self.worst:7.2f}   n {self.n}"


def sync_once(file: int) -> float:
    """One durable append of a page (4 KiB), as a commit of SQLite's WAL is."""
    page = os.urandom(4096)
    began = time.perf_counter()
    os.write(file, page)
    os.fdatasync(file)
    return (time.perf_counter() - began) * 1000


def syncs(folder: Path, n: int, every_seconds: float = 0.0) -> list[float]:
    """What the disk of this folder takes for a durable page, n times: one after the other, or with a pause
    before each, in which disk and processor may fall asleep as between two parts of a burst."""
    path = folder / "sync-probe"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        found = []
        for _ in range(n):
            time.sleep(every_seconds)  # the pause that is measured
            found.append(sync_once(file))
        return found
    finally:
        os.close(file)
        path.unlink()
