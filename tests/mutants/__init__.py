"""Planted defects: each is put into a copy of the project, where a named test must find it.

A defect is a text of the product (found in exactly one place, wherever that file lies) and what stands there
instead. A test is named by its function, wherever that lies: moving files changes nothing here.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PRODUCT = ("appliance", "modem", "web", "image")
COPIED = (*PRODUCT, "tests", "docs", "scripts", "requirements", "pyproject.toml")
TEST_SECONDS = 300.0  # a defect that makes its test hang is found, too


class Defect(msgspec.Struct, frozen=True):
    """One planted defect."""

    name: str
    old: str
    new: str
    test: str  # name of the function that finds it


class Misplaced(Exception):
    """The text of a defect, or its test, is not in exactly one place."""


def defects() -> list[Defect]:
    """All of them, in the order of their files."""
    found: list[Defect] = []
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        table = tomllib.loads(file.read_text("utf-8"))
        found += msgspec.convert(table["defect"], list[Defect])
    return found


@cache
def _sources() -> dict[Path, str]:
    return {
        file.relative_to(ROOT): file.read_text("utf-8")
        for package in PRODUCT
        for file in sorted((ROOT / package).rglob("*"))
        if file.suffix in (".py", ".sql")
    }


@cache
def _tests() -> dict[str, list[Path]]:
    """The files that define each test."""
    found: dict[str, list[Path]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append(file.relative_to(ROOT))
    return found


def place(defect: Defect) -> Path:
    """The file that the defect is in, relative to the project. Raises Misplaced."""
    places = [file for file, text in _sources().items() for _ in range(text.count(defect.old))]
    if len(places) != 1:
        raise Misplaced(f"{defect.name}: its text is in {len(places)} places: {places}")
    return places[0]


def finder(defect: Defect) -> str:
    """The test that must find it, as pytest names it. Raises Misplaced."""
    files = _tests().get(defect.test, [])
    if len(files) != 1:
        raise Misplaced(f"{defect.name}: {defect.test} is in {len(files)} files")
    return f"{files[0]}::{defect.test}"


class Copy:
    """A copy of the project to plant defects in, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(source, folder / name, ignore=ignored, symlinks=True)
            else:
                shutil.copy(source, folder / name)

        if (ROOT / ".git").exists():  # the day of the last commit is asked of git
            (folder / ".git").symlink_to(ROOT / ".git")

    def finds(self, defect: Defect, tests: Sequence[str] = ()) -> tuple[bool, str]:
        """Whether a test fails with the defect in, and what pytest said."""
        file = self.folder / place(defect)
        whole = file.read_text("utf-8")
        file.write_text(whole.replace(defect.old, defect.new), "utf-8")
        try:
            return self.fails(tests or [finder(defect)])
        finally:
            file.write_text(whole, "utf-8")

    def fails(self, tests: Sequence[str]) -> tuple[bool, str]:
        """Whether one of these tests fails in here as it stands."""
        command = [
            *(sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"),
            *("-p", "no:schemathesis", *tests),  # which takes a second to import
        ]
        environment = {
            # Of the launched boxes, too: the copy comes before the installed project.
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COVERAGE_"))},
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TEST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return True, "it hangs"
        # 1: tests failed. 2 is an interrupted collection: a defect that no test can even import.
        if done.returncode not in (0, 1, 2):
            raise RuntimeError(f"pytest could not run {tests}: {done.stdout}{done.stderr}")
        return done.returncode != 0, done.stdout
