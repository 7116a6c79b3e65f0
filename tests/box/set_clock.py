"""Move the wall clock of a launched box, without code in the product."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from appliance.core.clock import SystemClock

VARIABLE = "TEST_CLOCK_FILE"
_FORMAT = struct.Struct("<q")  # milliseconds that the clock is ahead


class SetClock:
    """How far the clock of a box is ahead of the machine's. The box reads it at every look at its clock."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    @property
    def environment(self) -> dict[str, str]:
        """What a launched box needs to know of it."""
        return {VARIABLE: str(self._file)}

    def step(self, seconds: float) -> None:
        """Set the clock so many seconds ahead of the machine's; negative: behind it."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(_FORMAT.pack(round(seconds * 1000)))


def install(given: Mapping[str, str] = os.environ) -> None:
    """Make the box's clock follow the file that the environment names, if it names one."""
    if VARIABLE not in given:
        return
    with Path(given[VARIABLE]).open("rb") as file:
        offset = mmap.mmap(file.fileno(), _FORMAT.size, prot=mmap.PROT_READ)
    machine = SystemClock.now

    def now(clock: SystemClock) -> int:
        (ahead,) = _FORMAT.unpack_from(offset)
        return machine(clock) + int(ahead)

    setattr(SystemClock, "now", now)  # noqa: B010 - a method cannot be assigned to otherwise
