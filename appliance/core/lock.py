"""The lock that keeps two boxes off one data folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

LOCK = "lock"


class DataInUse(Exception):
    """Another process uses this data folder."""


class DataLock:
    """An exclusive lock on a data folder, held from `take` until `release` or the end of the process."""

    def __init__(self, data: Path) -> None:
        self._file = data / LOCK
        self._descriptor = -1

    def take(self) -> None:
        """Take the lock. Raises DataInUse at once if another process holds it."""
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
        """Hold the lock in a `with` block. Raises DataInUse."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        os.close(self._descriptor)
