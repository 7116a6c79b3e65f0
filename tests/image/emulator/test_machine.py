"""What the emulation asks of the build machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from image.emulator import boards, machine, scenarios


def test_all_that_a_machine_lacks_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "ROM", tmp_path / "absent.rom")
    monkeypatch.setattr(machine, "BUILD", tmp_path)
    monkeypatch.setattr(machine, "find_tool", {"curl": "/usr/bin/curl"}.get)
    packages, uv, card = machine.missing()
    assert packages == (
        "apt-get install device-tree-compiler e2fsprogs ipxe-qemu mtools qemu-system-arm"
    )
    assert uv.startswith("uv ")
    assert card == "a card: scripts/image build"


@pytest.mark.process
def test_a_qemu_without_the_board_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = tmp_path / "qemu-system-aarch64"
    qemu.write_text(
        "#!/bin/sh\necho 'raspi3b    Raspberry Pi 3B'\necho 'virt    virtual machine'\n"
    )
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    lacks = [line for line in machine.missing(["raspi3b", "raspi4b"]) if "models" in line]
    assert lacks == [f"a QEMU that models raspi4b: {boards.WHERE_QEMU_IS}"]


@pytest.mark.process
def test_the_command_says_it_before_the_first_scenario(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "image", "test", "sms"],
        env={"PATH": "/usr/bin:/bin", "IMAGE_BUILD": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert "a card: scripts/image build" in asked.stderr
    assert "sms" not in asked.stdout


def test_only_the_boards_of_the_named_scenarios_are_asked_for() -> None:
    assert scenarios.boards_of(["sms", "wifi"]) == []
    assert scenarios.boards_of(["raspi4b"]) == ["raspi4b"]
    assert scenarios.boards_of([]) == ["raspi3b", "raspi4b"]
