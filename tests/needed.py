"""Tools that a test needs. A missing one skips the test with a message; on CI it fails."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from image.builder.checks import BEYOND


def needed(*programs: str) -> None:
    """Skips the test unless all are there. `php` is php with its curl, as its examples want it."""
    missing = [program for program in programs if not _there(program)]
    if missing:
        pytest.skip(f"NOT TESTED: needs {', '.join(missing)}")


def ipv6_needed() -> None:
    """Skips the test where the machine has no IPv6, not even to itself."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip(f"NOT TESTED: {BEYOND}: no IPv6 here")


def _there(program: str) -> bool:
    if shutil.which(program) is None:
        return False
    if program != "php":
        return True
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True, check=True).stdout
    return "curl" in modules.split()
