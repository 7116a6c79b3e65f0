"""Atomic, durable file writes: after a power cut a file has its old or its new content."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(
    file: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Write a file atomically; it is on disk, with its mode and `owner`, when this returns."""
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
    """Sync a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
