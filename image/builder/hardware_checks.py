"""The checks `overlay` and `hardware`: the boards' device trees, and the drivers that they ask for.

Both look at Debian's kernel, or with KERNEL=rpi at Raspberry Pi's, once that is locked.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from image.builder import build, debs, device_tree, initramfs
from image.builder.checking import BEYOND, CheckFailed, Missing, run, tool

# What Raspberry Pi's own kernel calls the trees of the boards; it has the Pi 5's, in two steppings of its chip.
BOARDS_RPI = (
    "bcm2710-rpi-zero-2-w",
    "bcm2710-rpi-3-b",
    "bcm2710-rpi-3-b-plus",
    "bcm2711-rpi-4-b",
    "bcm2711-rpi-400",
    "bcm2712-rpi-5-b",
    "bcm2712-d-rpi-5-b",
)


def boards() -> tuple[str, ...]:
    """Return the names of the boards' trees in the kernel that is looked at."""
    return BOARDS_RPI if _kernel() == "rpi" else build.BOARDS


def _kernel() -> str:
    return os.environ.get("KERNEL", "debian")


def overlay() -> str:
    """Check that the overlays fit the boards' device trees and do there what they are for."""
    tool("dtc", "device-tree-compiler")
    trees = device_trees()
    # The firmware of a Pi 5 reads its own overlay, and sets its UART by a parameter (config-rpi.txt).
    looked_at = [board for board in boards() if not board.startswith("bcm2712")]
    with tempfile.TemporaryDirectory() as folder:
        for board in looked_at:
            merged = Path(folder) / f"{board}.dtb"
            overlays = _overlays(board, trees, Path(folder))
            applied = run("fdtoverlay", "-i", trees / f"{board}.dtb", "-o", merged, *overlays)
            if applied.returncode:
                raise CheckFailed(f"{board}: {applied.stderr}")
            _uart_is_free(board, merged)
            if _kernel() == "debian":
                _usb_is_host(board, merged)
    return f"{len(looked_at)} boards"


def _overlays(board: str, trees: Path, folder: Path) -> list[Path]:
    """Return the compiled overlays that config.txt, or config-rpi.txt, loads for this board."""
    if _kernel() == "rpi":
        return [trees.parent / "overlays/disable-bt.dtbo"]
    names = [name for name, its_boards in build.OVERLAYS.items() if board in its_boards]
    for name in names:
        build.overlay(name, folder / f"{name}.dtbo")
    return [folder / f"{name}.dtbo" for name in names]


def kernel_files() -> Path:
    """Unpack the locked kernel (trees, image, depmod's tables), fetched in CI; return its folder. Raises Missing."""
    lock = debs.lock_file(_kernel())
    if not lock.exists():
        raise Missing(f"{lock.name} (KERNEL={_kernel()} scripts/image lock)")
    wanted = [deb for deb in debs.read_lock(lock.read_text()) if "linux-image" in deb.name]
    folder = build.BUILD / f"kernel-{wanted[0].sha256[:12]}"
    build.BUILD.mkdir(parents=True, exist_ok=True)
    with (build.BUILD / "kernel.lock").open(
        "w"
    ) as lock_held:  # one process fetches, the others wait for it
        fcntl.flock(lock_held, fcntl.LOCK_EX)
        if not folder.exists():
            _unpack_kernel(wanted, folder)
    return folder


def _unpack_kernel(wanted: list[debs.Deb], folder: Path) -> None:
    depmod = tool("depmod", "kmod")
    deb = build.BUILD / "pool" / f"{wanted[0].sha256}.deb"
    if not deb.exists() and not os.environ.get("CI"):
        raise Missing("the kernel's device trees; scripts/image build fetches them")
    try:
        debs.fetch(wanted, build.BUILD / "pool", build.BUILD / "apt", _kernel())
    except debs.LockError as error:
        raise Missing(f"{BEYOND}: the locked kernel's package: {error}") from None
    partial = build.BUILD / "kernel.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    subprocess.run(["dpkg-deb", "-x", deb, partial], check=True)
    modules = next(partial.glob("usr/lib/modules/*"))
    (partial / "lib").symlink_to("usr/lib")
    subprocess.run([depmod, "-b", partial, modules.name], check=True)
    shutil.rmtree(modules / "kernel")
    partial.rename(folder)


def device_trees() -> Path:
    """Return the folder with every board's tree. Raises Missing."""
    return next(kernel_files().glob("usr/lib/linux-image-*/broadcom"))


def drivers() -> device_tree.Drivers:
    """Return what drives the boards on this card. Raises Missing."""
    kernel = kernel_files()
    modules = next(kernel.glob("usr/lib/modules/*"))
    dep, softdep, builtin, alias = (
        (modules / f"modules.{name}").read_text() for name in ("dep", "softdep", "builtin", "alias")
    )
    useless = tuple(f"kernel/{folder}/" for folder in build.USELESS_MODULES)
    files = (line.partition(":")[0] for line in dep.splitlines())
    wanted = initramfs.MODULES_RPI if _kernel() == "rpi" else initramfs.MODULES
    early = initramfs.load_order(wanted, dep, softdep, builtin)
    return device_tree.Drivers(
        image=_uncompressed(next(kernel.glob("boot/vmlinuz-*")).read_bytes()),
        builtin={initramfs.module_name(line) for line in builtin.split()},
        aliases=device_tree.of_aliases(alias),
        initramfs={initramfs.module_name(file) for file in early},
        root={initramfs.module_name(f) for f in files if not f.startswith(useless)},
    )


def _uncompressed(image: bytes) -> bytes:
    """Return the kernel's image; Raspberry Pi's is compressed with gzip."""
    return gzip.decompress(image) if image.startswith(b"\x1f\x8b") else image


# `compatible` of what a board cannot do without; the card reader must work before there is a root.
CARD_READERS = ("brcm,bcm2835-sdhost", "brcm,bcm2711-emmc2", "brcm,sdhci-brcmstb")
DEVICES = {
    "Wi-Fi's bus": ("brcm,bcm2835-sdhci", "brcm,bcm2835-mmc", "brcm,bcm2712-sdhci"),
    "Ethernet": ("brcm,bcm2711-genet-v5", "raspberrypi,rp1-gem"),
    "MDIO": ("brcm,genet-mdio-v5",),
    "UART": ("arm,pl011",),
    "USB": ("brcm,bcm2835-usb", "brcm,bcm2708-usb", "brcm,bcm2711-pcie", "snps,dwc3"),
    "GPIO": ("brcm,bcm2835-gpio", "brcm,bcm2711-gpio", "raspberrypi,rp1-gpio"),
    "watchdog": ("brcm,bcm2835-pm",),
}
# Drivers of what is found on a bus and not in the tree: Ethernet of the 3B and 3B+, Wi-Fi, the Pi 4's USB.
FOUND_ON_BUSES = (
    "smsc95xx",
    "lan78xx",
    "brcmfmac",
    "brcmfmac_wcc",
    "xhci_pci",
    "option",
    "cdc_acm",
)


def hardware() -> str:
    """Check that every device a board needs has its driver, and so has all that this driver waits for."""
    trees, have = device_trees(), drivers()
    lacking = [
        f"{name}: not in the root"
        for name in FOUND_ON_BUSES
        if name not in have.root and name not in have.builtin
    ]
    followed = 0
    for board in boards():
        tree = device_tree.DeviceTree(trees / f"{board}.dtb")
        wanted = {"card reader": tree.find(*CARD_READERS)}
        wanted |= {what: tree.find(*names) for what, names in DEVICES.items()}
        always = ("card reader", "UART", "USB", "GPIO")
        lacking += [f"{board}: no {what} in its tree" for what in always if not wanted[what]]
        for what, nodes in wanted.items():
            for node in nodes:
                chain = tree.chain(node)
                followed += len(chain)
                found = (have.missing(needed, early=what == "card reader") for needed in chain)
                lacking += [f"{board}: {what}: {words}" for words in found if words]
    if lacking:
        raise CheckFailed("\n".join(lacking))
    return f"{len(boards())} boards, {followed} nodes followed"


def _uart_is_free(board: str, tree: Path) -> None:
    """Check that the PL011 is on, on GPIO14/15 alone, and mini-UART and Bluetooth are off.

    In Raspberry Pi's trees the pins are an empty group, which the firmware fills in.
    """
    group = "uart0_pins" if _kernel() == "rpi" else "uart0_gpio14"

    def value(path: str, name: str, kind: str = "s") -> str:
        return run("fdtget", "-t", kind, tree, path, name).stdout.strip()

    uart0, uart1, pins = (value("/__symbols__", label) for label in ("uart0", "uart1", group))
    seen = {
        "uart0": (value(uart0, "status"), "okay"),
        "uart1": (value(uart1, "status"), "disabled"),
        "pins of uart0": (value(uart0, "pinctrl-0", "x"), value(pins, "phandle", "x")),
    }
    if "bluetooth" in run("fdtget", "-l", tree, uart0).stdout.split():
        seen["bluetooth"] = (value(f"{uart0}/bluetooth", "status"), "disabled")
    for what, (is_, should) in seen.items():
        if is_ != should:
            raise CheckFailed(f"{board}: {what} is {is_!r}, not {should!r}")


def _usb_is_host(board: str, tree: Path) -> None:
    """Check for host mode: otherwise a hub or an Ethernet HAT that does not ground the ID pin is not found."""
    path = run("fdtget", "-t", "s", tree, "/__symbols__", "usb").stdout.strip()
    mode = run("fdtget", "-t", "s", tree, path, "dr_mode").stdout.strip()
    if board.startswith("bcm2837") and mode != "host":
        raise CheckFailed(f"{board}: USB is {mode!r}, not 'host'")
