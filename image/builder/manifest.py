"""`scripts/image manifest`: the list from which Raspberry Pi Imager 2 offers its settings for this card.

Imager 2 shows its customisation only for an image that a list describes: rpi-imager v2.0.11.1,
`doc/os_customisation_formats.md`; the form is `doc/json-schema/os-list-schema.json` of the same tag.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Imager's own tags for boards. The Zero 2 W has that of the Pi 3, as in the list of Raspberry Pi OS.
BOARDS = (
    ("Raspberry Pi 4", "4 B, 400", "pi4-64bit"),
    ("Raspberry Pi 3", "3 B, 3 B+, 3 A+", "pi3-64bit"),
    ("Raspberry Pi Zero 2 W", "Zero 2 W", "pi3-64bit"),
)
BOARDS_RPI = (("Raspberry Pi 5", "experimental", "pi5-64bit"), *BOARDS)


def manifest(
    image: Path, compressed: Path, url: str, *, version: str, epoch: int, kernel: str
) -> dict[str, Any]:
    """Describe a built card. `url` is where Imager fetches `compressed` from; file:// for a local one."""
    boards = BOARDS if kernel == "debian" else BOARDS_RPI
    return {
        "imager": {
            "devices": [
                {"name": name, "description": words, "tags": [tag], "architecture": "armv8"}
                for name, words, tag in boards
            ]
        },
        "os_list": [
            {
                "name": f"ZimBox {version}",
                "description": "SMS gateway for a Raspberry Pi with a GSM modem",
                "icon": "icons/use_custom.png",
                "url": url,
                "extract_size": image.stat().st_size,
                "extract_sha256": _sha256(image),
                "image_download_size": compressed.stat().st_size,
                "image_download_sha256": _sha256(compressed),
                "release_date": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d"),
                "devices": list(dict.fromkeys(tag for _, _, tag in boards)),
                "architecture": "armv8",
                # One TOML file on the boot partition, read by image/target/imager.py. Imager since 2.0.11.
                "init_format": "rpi-preseed",
            }
        ],
    }  # fmt: skip


def write(
    image: Path, compressed: Path, folder_url: str, *, version: str, epoch: int, kernel: str
) -> Path:
    """Write the manifest beside the compressed image. Without a `folder_url` it names the local file."""
    url = f"{folder_url.rstrip('/')}/{compressed.name}" if folder_url else compressed.as_uri()
    target = compressed.with_name(compressed.name.removesuffix(".img.zst") + ".rpi-imager-manifest")
    described = manifest(image, compressed, url, version=version, epoch=epoch, kernel=kernel)
    target.write_text(json.dumps(described, indent=2) + "\n")
    return target


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
