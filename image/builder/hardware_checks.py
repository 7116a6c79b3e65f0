"""The checks `overlay` and `hardware`: the boards' device trees, and the drivers that they ask for."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from image.builder import build, debs, device_tree, initramfs
from image.builder.checking import BEYOND, CheckFailed, Missing, run, tool


def overlay() -> str:
    """The overlays fit the boards' device trees and do there what they are for."""
    tool("dtc", "device-tree-compiler")
    trees = device_trees()
    with tempfile.TemporaryDirectory() as folder:
        compiled = {name: Path(folder) / f"{name}.dtbo" for name in build.OVERLAYS}
        for name, target in compiled.items():
            build.overlay(name, target)
        for board in build.BOARDS:
            merged = Path(folder) / f"{board}.dtb"
            names = [n for n, boards in build.OVERLAYS.items() if board in boards]
            applied = run(
                "fdtoverlay",
                "-i",
                trees / f"{board}.dtb",
                "-o",
                merged,
                *(compiled[n] for n in names),
            )
            if applied.returncode:
                raise CheckFailed(f"{board}: {applied.stderr}")
            _uart_is_free(board, merged)
            _usb_is_host(board, merged)
    return f"{len(build.BOARDS)} boards"


def kernel_files() -> Path:
    """The locked kernel: trees, image and depmod's tables, out of its package, fetched in CI. Raises Missing."""
    wanted = [
        deb
        for deb in debs.read_lock(debs.lock_file("debian").read_text())
        if "linux-image" in deb.name
    ]
    folder = build.BUILD / f"kernel-{wanted[0].sha256[:12]}"
    build.BUILD.mkdir(parents=True, exist_ok=True)
    with (build.BUILD / "kernel.lock").open(
        "w"
    ) as lock:  # one process fetches, the others wait for it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _unpack_kernel(wanted, folder)
    return folder


def _unpack_kernel(wanted: list[debs.Deb], folder: Path) -> None:
    depmod = tool("depmod", "kmod")
    deb = build.BUILD / "pool" / f"{wanted[0].sha256}.deb"
    if not deb.exists() and not os.environ.get("CI"):
        raise Missing("the kernel's device trees; scripts/image build fetches them")
    try:
        debs.fetch(wanted, build.BUILD / "pool", build.BUILD / "apt", "debian")
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
    """The folder with every board's tree. Raises Missing."""
    return next(kernel_files().glob("usr/lib/linux-image-*/broadcom"))


def drivers() -> device_tree.Drivers:
    """What drives the boards on this card. Raises Missing."""
    kernel = kernel_files()
    modules = next(kernel.glob("usr/lib/modules/*"))
    dep, softdep, builtin, alias = (
        (modules / f"modules.{name}").read_text() for name in ("dep", "softdep", "builtin", "alias")
    )
    useless = tuple(f"kernel/{folder}/" for folder in build.USELESS_MODULES)
    files = (line.partition(":")[0] for line in dep.splitlines())
    early = initramfs.load_order(initramfs.MODULES, dep, softdep, builtin)
    return device_tree.Drivers(
        image=next(kernel.glob("boot/vmlinuz-*")).read_bytes(),
        builtin={initramfs.module_name(line) for line in builtin.split()},
        aliases=device_tree.of_aliases(alias),
        initramfs={initramfs.module_name(file) for file in early},
        root={initramfs.module_name(f) for f in files if not f.startswith(useless)},
    )


# `compatible` of what a board cannot do without; the card reader must work before there is a root.
CARD_READERS = ("brcm,bcm2835-sdhost", "brcm,bcm2711-emmc2")
DEVICES = {
    "Wi-Fi's bus": ("brcm,bcm2835-sdhci", "brcm,bcm2835-mmc"),
    "Ethernet": ("brcm,bcm2711-genet-v5",),
    "MDIO": ("brcm,genet-mdio-v5",),
    "UART": ("arm,pl011",),
    "USB": ("brcm,bcm2835-usb", "brcm,bcm2708-usb", "brcm,bcm2711-pcie"),
    "GPIO": ("brcm,bcm2835-gpio", "brcm,bcm2711-gpio"),
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
    """Every device a board needs has its driver, and so has all that this driver waits for."""
    trees, have = device_trees(), drivers()
    lacking = [
        f"{name}: not in the root"
        for name in FOUND_ON_BUSES
        if name not in have.root and name not in have.builtin
    ]
    followed = 0
    for board in build.BOARDS:
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
    return f"{len(build.BOARDS)} boards, {followed} nodes followed"


def _uart_is_free(board: str, tree: Path) -> None:
    """PL011 on, on GPIO14/15 alone; mini-UART and Bluetooth off."""

    def value(path: str, name: str, kind: str = "s") -> str:
        return run("fdtget", "-t", kind, tree, path, name).stdout.strip()

    uart0, uart1, pins = (
        value("/__symbols__", label) for label in ("uart0", "uart1", "uart0_gpio14")
    )
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
    """A hub or an Ethernet HAT that does not ground the ID pin is found in host mode only."""
    path = run("fdtget", "-t", "s", tree, "/__symbols__", "usb").stdout.strip()
    mode = run("fdtget", "-t", "s", tree, path, "dr_mode").stdout.strip()
    if board.startswith("bcm2837") and mode != "host":
        raise CheckFailed(f"{board}: USB is {mode!r}, not 'host'")
