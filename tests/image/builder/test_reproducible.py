"""The same input gives the same bytes: the pieces of the card made in seconds. All of it: `scripts/image compare`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from image.builder import build, compare

pytestmark = pytest.mark.process

EPOCH = 1_700_000_000  # 14 November 2023: no date of the day these tests run
DATE = "2023-11-14"
FILES = ("config.txt", "overlays/zimbox-uart.dtbo", "vmlinuz", "overlays/README", "a.dtb")


@pytest.fixture(autouse=True)
def dated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "EPOCH", EPOCH)
    monkeypatch.setattr(
        build, "FAT_MIB", 16
    )  # as small as each may be: it is bytes that are compared
    monkeypatch.setattr(build, "DATA_MIB", 128)


def needs(*tools: str) -> None:
    if lacking := [tool for tool in tools if build.find_tool(tool) is None]:
        pytest.skip(f"NOT CHECKED: {', '.join(lacking)}")


def tree(folder: Path, names: tuple[str, ...], moment: int) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name * 5000)
        os.utime(folder / name, (moment, moment))
    return folder


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """The same files, made in another order and at another time."""
    return tree(tmp_path / "one", FILES, EPOCH + 86_400), tree(tmp_path / "two", FILES[::-1], 1)


def output(*command: object) -> str:
    return subprocess.run(
        [build.find_tool(str(command[0])) or "", *map(str, command[1:])],
        env=os.environ | {"TZ": "UTC", "LC_ALL": "C"},
        text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip


def test_the_boot_partition_knows_neither_order_nor_day(
    trees: tuple[Path, Path], tmp_path: Path
) -> None:
    needs("mkfs.vfat", "mcopy", "mmd", "mdir")
    images = [tmp_path / "one.vfat", tmp_path / "two.vfat"]
    for files, image in zip(trees, images, strict=True):
        build.fat(files, image)
    assert compare.digest(images[0]) == compare.digest(images[1])
    listed = output("mdir", "-/", "-a", "-i", images[0], "::")
    dates = [word for word in listed.split() if word.count("-") == 2 and word[:2] == "20"]
    assert len(dates) >= len(FILES) + 1
    assert set(dates) == {DATE}


def test_the_data_partition_knows_no_day(tmp_path: Path) -> None:
    needs("mke2fs", "dumpe2fs", "debugfs")
    images = [tmp_path / "one.ext4", tmp_path / "two.ext4"]
    for image in images:
        build.ext4(image)
    assert compare.digest(images[0]) == compare.digest(images[1])
    listing = output("dumpe2fs", "-h", images[0])
    dates = [line for line in listing.splitlines() if ("created" in line or "time:" in line)]
    assert all("Nov 14" in line and "2023" in line for line in dates if "n/a" not in line), dates
    root = output("debugfs", "-R", "stat <2>", images[0])
    assert root.count("Nov 14") == 4
    assert "User:     0   Group:     0" in root


def test_the_root_knows_neither_order_nor_day(trees: tuple[Path, Path], tmp_path: Path) -> None:
    needs("mksquashfs")
    images = [tmp_path / "one.squashfs", tmp_path / "two.squashfs"]
    for files, image in zip(trees, images, strict=True):
        build.squash(files, image, 1)
    assert compare.digest(images[0]) == compare.digest(images[1])


def test_byte_code_names_no_folder_of_the_build(tmp_path: Path) -> None:
    trees = [tmp_path / "one", tmp_path / "the other"]
    for folder in trees:
        folder.mkdir()
        (folder / "module.py").write_text("WORDS = {'a', 'b'}\n\ndef f(): return {'a', 'b'}\n")
        build.compile_python(folder, "/usr/lib/zimbox/app", by=sys.executable)
    assert compare.differences(*trees) == []


def test_what_differs_is_named(trees: tuple[Path, Path]) -> None:
    assert compare.differences(*trees) == []
    (trees[1] / "config.txt").chmod(0o600)
    (trees[1] / "more").symlink_to("nowhere")
    assert compare.differences(*trees) == ["config.txt", "more"]
