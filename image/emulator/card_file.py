"""The card's file for an emulation: its partitions, and files on the boot partition."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from image.builder.build import BUILD

SECTOR = 512


def fresh_card(folder: Path, size_mb: int = 2048) -> Path:
    """Copy the image to a card of this size in MiB; for SD, QEMU requires a power of two."""
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / "card.img"
    shutil.copyfile(BUILD / "zimbox.img", card)
    os.truncate(card, size_mb << 20)
    return card


def data_offset(card: Path) -> int:
    """Return the offset of partition 4 in bytes (fourth entry of the MBR)."""
    with card.open("rb") as stream:
        stream.seek(446 + 3 * 16 + 8)
        return int.from_bytes(stream.read(4), "little") * SECTOR


def fill_card(card: Path) -> None:
    """Extend partition 4 to the end of the card, as the first start does."""
    sectors = (card.stat().st_size - data_offset(card)) // SECTOR
    with card.open("r+b") as stream:
        stream.seek(446 + 3 * 16 + 12)
        stream.write(sectors.to_bytes(4, "little"))


def boot_file(card: Path, name: str, content: str | None = None) -> str | None:
    """Write a file on the FAT partition, or read it; None if it is absent."""
    where = f"{card}@@{8192 * SECTOR}"
    if content is not None:
        subprocess.run(
            ["mcopy", "-o", "-i", where, "-", f"::{name}"], input=content.encode(), check=True
        )
        return content
    shown = subprocess.run(["mtype", "-i", where, f"::{name}"], capture_output=True, check=False)
    return shown.stdout.decode() if shown.returncode == 0 else None
