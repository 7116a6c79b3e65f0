"""`scripts/image compare`: the card built twice, each time from the packages on, and every piece byte for byte."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from image.builder import build

# In the order in which they are made: the first that differs is the one to look at.
PIECES = ("initrd.cpio", "root.squashfs", "boot.vfat", "data.ext4", "zimbox.img")
TREES = ("loose", "root", "card")
NAMED = 20


def compare() -> int:
    """Build the last commit twice. Return 0 if both cards are the same; else name what differs and return 1."""
    folders = [build.PROJECT / "build/compare" / name for name in ("first", "the-second")]
    asked = ["git", "-C", str(build.PROJECT), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, check=True, text=True, capture_output=True).stdout.strip()
    for folder in folders:
        print(f"{folder.name}: {commit}", flush=True)
        _build(build.fresh(folder), commit)
    return report(*folders)


def report(first: Path, second: Path) -> int:
    """Print every piece of two builds with its hash; return 1 if any differs."""
    unequal = [name for name in PIECES if not _same(first / name, second / name)]
    for name in TREES:
        unequal += [f"{name}/{path}" for path in differences(first / name, second / name)[:NAMED]]
    print(f"{len(unequal)} differences", *unequal, sep="\n  ")
    return 1 if unequal else 0


def _build(folder: Path, commit: str) -> None:
    """Build from a clone of its own. Commit, date and key are given; folder, moment and order of the work are not."""
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", "--shared", build.PROJECT, source], check=True)
    subprocess.run(["git", "-C", source, "checkout", "--quiet", commit], check=True)
    (folder / "pool").symlink_to(build.BUILD / "pool")
    given = {
        "IMAGE_BUILD": str(folder),
        "SOURCE_DATE_EPOCH": str(build.EPOCH),
        "UPDATE_KEY": str(build.update_key()),
    }
    subprocess.run(
        [sys.executable, "-m", "image", "build"], env=os.environ | given, cwd=source, check=True
    )


def _same(first: Path, second: Path) -> bool:
    one, other = digest(first), digest(second)
    print(f"{first.name}: {one}" + ("" if one == other else f"\n  NOT EQUAL: {other}"))
    return one == other


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def differences(first: Path, second: Path) -> list[str]:
    """Return the paths that are not in both, or differ in content, mode or owner."""
    one, other = _tree(first), _tree(second)
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def _tree(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = digest(path)
        found[str(path.relative_to(folder))] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            content,
        )
    return found
