"""What is switched off is not even imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
OPTIONAL = ("appliance.mqtt", "appliance.alarms", "appliance.smpp", "web.smpp", "smtplib")
PROGRAM = f"""
import sys
import appliance.assembly, appliance.cli.main, web.server
print([name for name in {OPTIONAL!r} if name in sys.modules])
"""


def test_the_box_is_built_without_its_optional_parts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
