"""The lock that prevents two processes from using one data folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class DataInUse(Exception):
    """Another process uses this data folder."""


class DataLock:
    """An exclusive lock on a data folder, held from `take` until `release` or the end of the process.

    It is on the folder itself: a lock file that somebody deletes would let a second process lock a new one.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data
        self._descriptor = -1

    def take(self) -> None:
        """Take the lock. Raises DataInUse at once if another process holds it."""
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise DataInUse(f"{self._folder} is in use by a running box; stop it first") from None

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
