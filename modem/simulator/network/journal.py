"""The journal of what the network received and sent, as JSON lines, for tests to compare with."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_encoder = msgspec.json.Encoder()


class Journal:
    """Appends each line with one write, so that it survives `kill -9`."""

    def __init__(self, path: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self._file = -1
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, event: str, **values: object) -> None:
        """Write one line: `event`, wall time, monotonic seconds and the caller's fields."""
        self.counts[event] += 1
        if self._file < 0:
            return
        line = {
            "event": event,
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "mono": round(time.monotonic(), 6),
            **values,
        }
        os.write(self._file, _encoder.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
