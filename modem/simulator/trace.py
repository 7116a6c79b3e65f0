"""Every byte that passed over the line, with its moment: what a client's pace is measured by."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import msgspec


class Passed(msgspec.Struct, frozen=True):
    """Some bytes in one direction, as seen by the modem. `mono`: nanoseconds of the system's clock."""

    mono: int
    way: Literal["in", "out"]
    data: str  # latin-1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Passed)


class Trace:
    """Appends a JSON line for each piece, one write each."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def note(self, way: Literal["in", "out"], data: bytes) -> None:
        """The moment is taken first."""
        passed = Passed(time.monotonic_ns(), way, data.decode("latin-1"))
        os.write(self._file, _encoder.encode(passed) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> list[Passed]:
    """All that was noted so far."""
    return [_decoder.decode(line) for line in path.read_bytes().splitlines()]
