"""The units of package and wheel have the card's sandbox."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from image.package import unit
from tests.needed import needed

# What a place differs in; every other line is the card's.
OF_THE_PLACE = (
    *("After", "Requires", "ConditionPathExists", "OnFailure", "StartLimitIntervalSec"),
    *("StartLimitBurst", "Environment", "ExecStart", "ExecStartPost", "WorkingDirectory"),
    *("ReadWritePaths", "InaccessiblePaths", "StateDirectory", "StateDirectoryMode"),
)


def settings(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return [line for line in lines if line.partition("=")[0] not in OF_THE_PLACE]


@pytest.mark.parametrize("made", [unit.of_the_package, unit.of_the_command])
def test_the_sandbox_is_the_cards(made: object) -> None:
    assert callable(made)
    card = unit.CARD.read_text("utf-8")
    assert settings(made()) == settings(card)
    assert "ProtectSystem=strict" in settings(card)
    assert "/data" not in made()


def test_a_line_that_the_cards_unit_has_no_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unit.CHANGES, "Gone=yes", "")
    with pytest.raises(unit.UnitChanged, match="Gone=yes"):
        unit.of_the_package()


def test_the_unit_of_the_manual_is_the_one_that_is_made() -> None:
    shown = Path(__file__).parents[3] / "docs/zimbox.service"
    assert shown.read_text("utf-8") == unit.of_the_command(), "scripts/package unit command"


@pytest.mark.process
@pytest.mark.parametrize("made", [unit.of_the_package, unit.of_the_command])
def test_systemd_reads_the_unit_without_a_complaint(made: object) -> None:
    needed("systemd-analyze")
    assert callable(made)
    text = made().replace("/usr/local/bin/zimbox", "/bin/sh")  # not on this machine
    text = text.replace("User=zimbox", "User=root").replace("Group=zimbox", "Group=root")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "zimbox.service"
        file.write_text(text)
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--generators=no", file],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert [line for line in checked.stderr.splitlines() if "zimbox" in line] == []


def test_a_modem_whose_driver_comes_after_the_start_can_be_opened() -> None:
    """systemd looks names up in /proc/devices once, at the start; a number needs no driver."""
    allowed = set(
        re.findall(r"^DeviceAllow=char-(\S+) rw$", unit.CARD.read_text("utf-8"), re.MULTILINE)
    )
    assert allowed >= {"188", "166"}, "the majors of ttyUSB and ttyACM (Linux devices.txt)"
    assert not {name for name in allowed if name in ("ttyUSB", "ttyACM")}
