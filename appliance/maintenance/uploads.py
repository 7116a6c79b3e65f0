"""Uploaded files: where they are stored, and whether there is room for them."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = "incoming"
# Fixed names: a new upload replaces an abandoned one.
UPDATE, BACKUP = "page.zimbox", "page.backup"


class NoRoom(Exception):
    """The card has not enough space; `mib` is how much must be free."""

    def __init__(self, mib: int) -> None:
        super().__init__(f"{mib} MiB must be free")
        self.mib = mib


class UploadFolder:
    """The upload folder of a box. Files found in it at a start were abandoned, and are removed."""

    def __init__(self, data: Path, reserve_mib: int) -> None:
        self._data = data
        self._reserve = reserve_mib << 20

    def clear(self) -> None:
        for name in (UPDATE, BACKUP):
            (self._data / FOLDER / name).unlink(missing_ok=True)

    def place(self, name: str) -> Path:
        """Return the path for an upload of this name."""
        folder = self._data / FOLDER
        folder.mkdir(mode=0o750, exist_ok=True)
        return folder / name

    @property
    def room(self) -> int:
        """How many bytes may be written without using the reserve for the box's own results."""
        return max(0, shutil.disk_usage(self._data).free - self._reserve)

    def make_sure(self, size: int, copies: int) -> None:
        """Raise NoRoom unless this many copies of a file of this size fit."""
        if copies * size > self.room:
            raise NoRoom((copies * size + self._reserve >> 20) + 1)
