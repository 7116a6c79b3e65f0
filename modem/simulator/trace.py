"""Trace the bytes on the line with their times, to measure a client."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import msgspec


class TraceEntry(msgspec.Struct, frozen=True):
    """Bytes in one direction, as seen by the modem. `mono`: nanoseconds of the monotonic clock."""

    mono: int
    way: Literal["in", "out"]
    data: str  # latin-1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TraceEntry)


class Trace:
    """Appends a JSON line for each entry, with one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def note(self, way: Literal["in", "out"], data: bytes) -> None:
        """Write an entry with the present time."""
        passed = TraceEntry(time.monotonic_ns(), way, data.decode("latin-1"))
        os.write(self._file, _encoder.encode(passed) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> list[TraceEntry]:
    """Return all entries of a trace file."""
    return [_decoder.decode(line) for line in path.read_bytes().splitlines()]
