"""Files that a power cut leaves whole: what was there before, or all of the new."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(
    file: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """On the disk when this returns. Whoever finds the file finds it with its mode and `owner`."""
    fresh = file.with_name(file.name + ".new")
    with fresh.open("wb") as stream:
        os.fchmod(stream.fileno(), mode)
        if owner is not None:
            os.fchown(stream.fileno(), *owner)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """A file, or a folder with the names in it, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
