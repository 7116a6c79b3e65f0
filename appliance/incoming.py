"""Files that the owner's browser sends: where they lie, and whether there is room for them."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = "incoming"
# Fixed names: a new one takes the place of one that nobody took further.
UPDATE, BACKUP = "page.zimbox", "page.backup"


class NoRoom(Exception):
    """The card has not enough space; `mib` is how much must be free."""

    def __init__(self, mib: int) -> None:
        super().__init__(f"{mib} MiB must be free")
        self.mib = mib


class Incoming:
    """The folder of one box. What lies in it at a start was not taken further, and goes."""

    def __init__(self, data: Path, reserve_mib: int) -> None:
        self._data = data
        self._reserve = reserve_mib << 20

    def clear(self) -> None:
        for name in (UPDATE, BACKUP):
            (self._data / FOLDER / name).unlink(missing_ok=True)

    def place(self, name: str) -> Path:
        """Where the file of this name goes."""
        folder = self._data / FOLDER
        folder.mkdir(mode=0o750, exist_ok=True)
        return folder / name

    @property
    def room(self) -> int:
        """Bytes that may be written without touching what the box keeps for its own results."""
        return max(0, shutil.disk_usage(self._data).free - self._reserve)

    def make_sure(self, size: int, copies: int) -> None:
        """Raises NoRoom unless so many copies of a file of this size fit."""
        if copies * size > self.room:
            raise NoRoom((copies * size + self._reserve >> 20) + 1)
