"""One box, one data folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

LOCK = "lock"


class DataInUse(Exception):
    """Another box (or a restore) works on this data folder."""


class DataLock:
    """One box, one data folder: held from `take` until the process ends or `release`."""

    def __init__(self, data: Path) -> None:
        self._file = data / LOCK
        self._descriptor = -1

    def take(self) -> None:
        """Raises DataInUse at once if somebody has it."""
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise DataInUse(
                f"{self._file.parent} is in use by a running box; stop it first"
            ) from None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For a moment. Raises DataInUse."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        os.close(self._descriptor)
