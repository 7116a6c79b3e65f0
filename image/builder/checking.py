"""Outcomes of a check of the card, and the tools that it runs."""

from __future__ import annotations

import subprocess

from image.builder import build

ROOT = build.HERE / "root"


class CheckFailed(Exception):
    """A check failed; says what is wrong."""


BEYOND = "out of our hands"  # no package mends it


class Missing(Exception):
    """A check that cannot be done on this machine; says what it needs, or that it is `BEYOND` us."""


def tool(name: str, package: str) -> str:
    """Return the path of a program. Raises Missing."""
    if found := build.find_tool(name):
        return found
    raise Missing(f"{name} (apt-get install {package})")


def run(*command: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), input=text, text=True, capture_output=True, check=False
    )
