"""The locked libraries for every Python of a distribution in one folder, and the wheel of the project."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from image.builder.build import EPOCH, PROJECT

# Debian 12, Ubuntu 24.04, Debian 13.
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# glibc 2.28 and older, by all their names.
PLATFORMS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010",
             "manylinux_2_5", "manylinux1")  # fmt: skip
# Tells which wheel was installed: differs between Pythons, and nothing on the box reads it.
OF_ONE_WHEEL = ("RECORD", "WHEEL", "REQUESTED", "INSTALLER")


class Conflict(Exception):
    """Wheels of one library for two Pythons differ in a file that both would use; names the file."""


def libraries(target: Path, architecture: str, pythons: tuple[str, ...] = PYTHONS) -> None:
    """Install the locked wheels for all `pythons` into `target`, without byte code.

    The name of an extension module has the version of its Python, so that each finds its own, and the
    other files are the same for all. Raises CalledProcessError, Conflict.
    """
    target.mkdir(parents=True)
    for python in pythons:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            found = Path(folder) / "found"
            _install(found, architecture, python)
            for useless in ("bin", "share"):
                shutil.rmtree(found / useless, ignore_errors=True)
            for information in found.glob("*.dist-info"):
                for name in OF_ONE_WHEEL:
                    (information / name).unlink(missing_ok=True)
            merge(found, target)


def _install(target: Path, architecture: str, python: str) -> None:
    machine = MACHINES[architecture]
    platforms = [f"--platform={name}_{machine}" for name in PLATFORMS]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile",
         "--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation=cp",
         f"--python-version={python}", *platforms, f"--target={target}",
         f"--requirement={PROJECT / 'requirements/run.txt'}"],
        check=True,
    )  # fmt: skip


def merge(found: Path, target: Path) -> None:
    """Move the files of `found` into `target`; a file that is there already is the same. Raises Conflict."""
    for file in sorted(found.rglob("*")):
        if file.is_dir():
            continue
        place = target / file.relative_to(found)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, place)
        elif not filecmp.cmp(file, place, shallow=False):
            raise Conflict(str(file.relative_to(found)))


def wheel(folder: Path) -> Path:
    """Build the project's wheel into `folder`. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as copied:
        source = Path(copied) / "zimbox"  # setuptools leaves its own folders in the source
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "appliance", "modem", "web", "docs/page.md", "docs/page.fr.md",
             "pyproject.toml", "README.md", "LICENSE"],
            cwd=PROJECT, check=True, text=True, capture_output=True,
        ).stdout.splitlines()  # fmt: skip
        for name in listed:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, source / name, follow_symlinks=False)
        built = Path(copied) / "built"
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps",
             f"--wheel-dir={built}", str(source)],
            check=True, env=os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)},
        )  # fmt: skip
        (found,) = built.glob("zimbox-*.whl")
        return Path(shutil.move(found, folder / found.name))
