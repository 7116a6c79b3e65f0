"""QEMU's options for each board, with the device tree that the Pi's firmware would hand to the kernel."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from image.builder.build import HERE

Board = Literal["virt", "raspi3b", "raspi4b"]


@dataclass(frozen=True)
class Pi:
    """A Pi that QEMU models. Its serial port is the modem's, its network card is on USB."""

    tree: str  # Debian's device tree
    card: str  # how the card is attached to the controller that the board's device tree names
    overlay: str = ""  # in this folder: takes out what QEMU's model lacks


PIS: dict[Board, Pi] = {
    "raspi3b": Pi("bcm2837-rpi-3-b.dtb", "if=sd,id=card"),
    # The first of its two SDHCI controllers, emmc2: if=sd takes the other, which is the Wi-Fi's on the board.
    "raspi4b": Pi("bcm2711-rpi-4-b.dtb", "if=none,id=card", "raspi4b.dtso"),
}

# raspi4b is modelled from QEMU 9.0 on.
WHERE_QEMU_IS = "9.0 or newer (Debian 12: apt-get install -t bookworm-backports qemu-system-arm)"


def drive_options(board: Board) -> str:
    """Return how a -drive is attached as the card."""
    return "if=none,id=card" if board == "virt" else PIS[board].card


def arguments(board: Board, folder: Path, boot: Path, memory_mb: int) -> list[str]:
    """Return QEMU's machine, card reader and network card. `boot` holds the files of the boot partition."""
    if board == "virt":
        return [
            "-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", str(memory_mb),
            "-device", "virtio-blk-pci,drive=card", "-device", "virtio-net-pci,netdev=net",
            "-chardev", f"file,id=console,path={folder}/console.log", "-device", "pci-serial,chardev=console",
        ]  # fmt: skip
    tree = device_tree(PIS[board], folder, boot)
    reader = ["-device", "sd-card,drive=card,bus=/generic-sdhci/sd-bus"]
    return [
        "-M", board, "-dtb", str(tree), "-device", "usb-net,netdev=net",
        *(reader if board == "raspi4b" else []),
    ]  # fmt: skip


def device_tree(pi: Pi, folder: Path, boot: Path) -> Path:
    """Apply the card's overlay for the UART, as the firmware does, and then the emulation's own."""
    overlays = [boot / "overlays/zimbox-uart.dtbo"]
    if pi.overlay:
        overlays.append(folder / "emulation.dtbo")
        subprocess.run(
            ["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", overlays[-1], HERE / "emulator" / pi.overlay],
            check=True,
        )  # fmt: skip
    tree = folder / "board.dtb"
    subprocess.run(["fdtoverlay", "-i", boot / pi.tree, "-o", tree, *overlays], check=True)
    return tree


def command_line(board: Board) -> list[str]:
    """Return words for the kernel."""
    if board == "virt":
        return ["console=ttyS0"]
    # QEMU's model of the Pi's power block restarts a guest whose watchdog is armed.
    return ["console=tty1", "module_blacklist=bcm2835_wdt"]


def is_modelled(board: Board) -> bool:
    """Return whether this machine's QEMU has the board."""
    known = subprocess.run(
        ["qemu-system-aarch64", "-M", "help"], capture_output=True, text=True, check=True
    ).stdout
    return any(line.split()[:1] == [board] for line in known.splitlines())
