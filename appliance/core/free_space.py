"""Free disk space, read at most every few seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

from appliance.core.clock import Clock

MIB = 1 << 20
# A busy box writes some ten MiB in this time, a fraction of the smallest sensible reserve.
FRESH_SECONDS = 2.0


class FreeSpace:
    """The free space of the disk that holds a folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._bytes = 0
        self._fresh_until = float("-inf")

    @property
    def mib(self) -> int:
        """Whole MiB, at most two seconds old."""
        now = self._clock.monotonic()
        if now >= self._fresh_until:
            self._bytes = shutil.disk_usage(self._folder).free
            self._fresh_until = now + FRESH_SECONDS
        return self._bytes // MIB
