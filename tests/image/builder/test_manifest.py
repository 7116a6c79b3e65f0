"""The list for Raspberry Pi Imager."""

import hashlib
import json
from pathlib import Path

import pytest

from image.builder import manifest


@pytest.mark.parametrize(
    ("folder", "url"),
    [("", None), ("https://example.org/zimbox/", "https://example.org/zimbox/zimbox-1.img.zst")],
)
def test_the_list_describes_the_image_and_asks_for_the_form_that_the_card_reads(
    tmp_path: Path, folder: str, url: str | None
) -> None:
    image, compressed = tmp_path / "zimbox.img", tmp_path / "zimbox-1.img.zst"
    image.write_bytes(b"card" * 1000)
    compressed.write_bytes(b"card")
    made = manifest.write(image, compressed, folder, version="1", epoch=0, kernel="debian")
    assert made.name == "zimbox-1.rpi-imager-manifest"
    described = json.loads(made.read_text())
    (entry,) = described["os_list"]
    assert entry["url"] == url or entry["url"] == compressed.as_uri()
    assert entry["extract_size"] == 4000
    assert entry["extract_sha256"] == hashlib.sha256(b"card" * 1000).hexdigest()
    assert entry["image_download_sha256"] == hashlib.sha256(b"card").hexdigest()
    assert entry["init_format"] == "rpi-preseed"
    offered = {tag for board in described["imager"]["devices"] for tag in board["tags"]}
    assert offered == set(entry["devices"])
