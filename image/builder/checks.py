"""`scripts/image check`: what can be known of the card in seconds, without building it."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from image.builder import build, debs, device_tree, initramfs
from image.target import user_config

ROOT = build.HERE / "root"
UNITS = ROOT / "etc/systemd/system"


class CheckFailed(Exception):
    """A check failed; says what is wrong."""


BEYOND = "out of our hands"  # no package mends it


class Missing(Exception):
    """A check that cannot be done on this machine; says what it needs, or that it is `BEYOND` us."""


def tool(name: str, package: str) -> str:
    """Where a program is. Raises Missing."""
    if found := build.find_tool(name):
        return found
    raise Missing(f"{name} (apt-get install {package})")


def run(*command: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), input=text, text=True, capture_output=True, check=False
    )


def locks() -> str:
    """The list of packages and its lock fit; every wheel has a hash."""
    entries, locked = (
        debs.wanted(debs.WANTED.read_text()),
        debs.read_lock(debs.lock_file("debian").read_text()),
    )
    if missing := debs.missing_from_lock(entries, locked):
        raise CheckFailed(f"not locked: {', '.join(missing)}; run scripts/image lock")
    if len({(deb.kind, deb.name) for deb in locked}) != len(locked):
        raise CheckFailed("a package is locked twice")
    requirements = (build.PROJECT / "requirements/run.txt").read_text()
    pinned = re.findall(r"^([a-z0-9-]+)==", requirements, re.MULTILINE)
    for name, block in zip(
        pinned, re.split(r"^[a-z0-9-]+==", requirements, flags=re.MULTILINE)[1:], strict=True
    ):
        if "--hash=sha256:" not in block:
            raise CheckFailed(f"requirements/run.txt: {name} has no hash")
    return f"{len(locked)} packages, {len(pinned)} wheels"


def no_addresses() -> str:
    """No mirror or registry stands in the recipe: both are the build machine's own."""
    git = tool("git", "git")
    listed = run(git, "-C", build.PROJECT, "ls-files", "image", "scripts/image").stdout.split()
    if not listed:
        raise Missing("the project's git folder, of this user's own")
    for name in listed:
        for found in re.findall(
            r"https?://([A-Za-z0-9.-]+)", (build.PROJECT / name).read_text(errors="replace")
        ):
            if found not in ("127.0.0.1", "zimbox.local"):
                raise CheckFailed(f"{name} names the host {found}")
    return f"{len(listed)} files"


def scripts() -> str:
    """What the shell runs on the box is at least shell."""
    files = [build.HERE / "initramfs/init", *sorted((ROOT / "usr/lib/zimbox").iterdir())]
    for file in files:
        if (checked := run("sh", "-n", file)).returncode:
            raise CheckFailed(checked.stderr)
    return f"{len(files)} scripts"


def units() -> str:
    """systemd reads every unit without a complaint, with stand-ins for the programs they start."""
    analyze = tool("systemd-analyze", "systemd")
    system = Path("/usr/lib/systemd/system")
    if not (system / "basic.target").exists():
        raise Missing("systemd's own units (apt-get install systemd)")
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder)
        shutil.copytree(system, staged / "usr/lib/systemd/system", symlinks=True)
        (staged / "lib").symlink_to("usr/lib")
        shutil.copytree(ROOT, staged, dirs_exist_ok=True)
        for unit in ("avahi-daemon.service", "wpa_supplicant@.service", "ssh.service"):
            own = staged / "usr/lib/systemd/system" / unit
            if not own.exists():
                own.write_text("[Service]\nExecStart=/bin/sh\n")
        for program in (
            "bin/sh",
            "usr/bin/touch",
            "bin/touch",
            "usr/bin/python3",
            "usr/sbin/sshd",
            "usr/sbin/nft",
            "usr/sbin/iw",
        ):
            (staged / program).parent.mkdir(parents=True, exist_ok=True)
            (staged / program).write_text("#!/bin/sh\n")
            (staged / program).chmod(0o755)
        ours = sorted(unit.name for unit in UNITS.iterdir() if unit.is_file())
        checked = run(analyze, "verify", f"--root={staged}", "--man=no", "--generators=no", *ours)
    complaints = [
        line
        for line in checked.stderr.splitlines()
        if any(name in line for name in (*ours, "zimbox"))
    ]
    if complaints:
        raise CheckFailed("\n".join(complaints))
    return f"{len(ours)} units"


# Imports a module as a unit starts it, and prints where each of ours and of the libraries' modules lies.
IMPORT = """import importlib, json, sys
before = set(sys.modules)
module = importlib.import_module(sys.argv[1])
if hasattr(module, "__path__"):
    importlib.import_module(sys.argv[1] + ".__main__")
new = sys.modules.keys() - before
print(json.dumps({name: getattr(sys.modules[name], "__file__", None) or "" for name in new}))
"""
START_SECONDS = 300  # only a hang takes that long


def application() -> str:
    """Every module that a unit or a setting starts is among the card's files; the gateway starts from them."""
    tool("git", "git")
    sources = [*ROOT.rglob("*"), build.HERE / "target/user_config.py"]
    text = "".join(file.read_text() for file in sources if file.is_file())
    modules = sorted(set(re.findall(r"""-m[ "',]+([a-z_]+(?:\.[a-z_]+)*)""", text)))
    if not {"appliance", "image.target.prepare"} <= set(modules):
        raise CheckFailed(f"the units start {modules}")
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app"
        build.copy_project(app)
        for module in modules:
            _import(app, module)
        _serve(app, Path(folder))
    return f"{', '.join(modules)} imported; the gateway answers"


def _python(app: Path, *arguments: object, **more: str) -> subprocess.Popen[str]:
    """Run Python as the units do: ours from the copied files, libraries from this environment.

    Without `site`, which would find the project itself, installed for development.
    """
    environment = {k: value for k, value in os.environ.items() if not k.startswith("ZIMBOX_")}
    environment["PYTHONPATH"] = f"{app}:{sysconfig.get_path('purelib')}"
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-S", *map(str, arguments)],
        cwd="/", text=True, env=environment | more, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _import(app: Path, module: str) -> None:
    process = _python(app, "-c", IMPORT, module)
    out, errors = process.communicate()
    if process.returncode:
        raise CheckFailed(f"-m {module}: {errors.strip().splitlines()[-1]}")
    own = tuple(f"{Path(package).parts[0]}." for package in build.PACKAGES)
    locked = _locked_modules()
    for name, file in json.loads(out).items():
        if name.startswith(own) and not file.startswith(str(app)):
            raise CheckFailed(f"-m {module}: {name} is not among the card's files, but {file}")
        top = name.partition(".")[0]
        if "site-packages" in file and not name.startswith(own) and top not in locked:
            raise CheckFailed(f"-m {module} needs {top}, which is not in requirements/run.txt")


def _locked_modules() -> set[str]:
    """Return the import names of the distributions in requirements/run.txt."""
    text = (build.PROJECT / "requirements/run.txt").read_text()
    pinned = {name.lower() for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if {owner.lower().replace("_", "-") for owner in owners} & pinned
    }


def _serve(app: Path, folder: Path) -> None:
    """Start the gateway as zimbox.service does, up to its READY=1, and ask for its health and its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "data").mkdir()
    settings = user_config.read(f'[server]\nlisten = "{address}"\n')
    (folder / "zimbox.toml").write_text(user_config.gateway_config(settings))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(folder / "notify"))
        ready.settimeout(START_SECONDS)
        process = _python(
            app, "-m", "appliance", "serve", ZIMBOX_DATA=str(folder / "data"),
            ZIMBOX_CONFIG=str(folder / "zimbox.toml"), NOTIFY_SOCKET=str(folder / "notify"),
        )  # fmt: skip
        try:
            _wait_until_ready(ready, process)
            for path in ("/health", "/"):
                with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
                    answer.read()
        except OSError as error:
            raise CheckFailed(f"the gateway: {error}") from None
        finally:
            process.terminate()
            process.communicate()


def _wait_until_ready(ready: socket.socket, process: subprocess.Popen[str]) -> None:
    with os.fdopen(os.pidfd_open(process.pid)) as ended:
        while True:
            waited_for = [ready.fileno(), ended.fileno()]
            readable, _, _ = select.select(waited_for, [], [], START_SECONDS)
            if ready.fileno() in readable and b"READY=1" in ready.recv(4096):
                return
            if ended.fileno() in readable:
                said = (process.communicate()[1] or "").strip().splitlines()
                raise CheckFailed(f"the gateway ended: {said[-1] if said else 'no word'}")
            if not readable:
                raise CheckFailed(f"the gateway is not ready after {START_SECONDS} s")


def firewall() -> str:
    """nftables takes the rules."""
    nft = tool("nft", "nftables")
    checked = run(nft, "-c", "-f", ROOT / "etc/nftables.conf")
    if "Operation not permitted" in checked.stderr or "not supported" in checked.stderr:
        raise Missing(
            f"{BEYOND}: nftables in this kernel, and the right to use it: {checked.stderr.splitlines()[0]}"
        )
    if checked.returncode:
        raise CheckFailed(checked.stderr)
    return "loaded without a complaint"


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


def card() -> str:
    """The partitions leave no gap in what the files say of each other."""
    config = (build.HERE / "genimage.cfg").read_text()
    cmdline = (build.HERE / "boot/cmdline.txt").read_text()
    for name, text in (("genimage.cfg", config), ("cmdline.txt", cmdline)):
        if "@SIGNATURE@" not in text:
            raise CheckFailed(f"{name} does not take the disk's signature")
    if re.findall(r"partition ([a-z-]+) \{", config) != ["boot", "root-a", "root-b", "data"]:
        raise CheckFailed("the initramfs counts on boot, root-a, root-b, data in this order")
    if len(cmdline.splitlines()) != 1:
        raise CheckFailed("cmdline.txt: the firmware reads one line")
    if "serial0" in cmdline or "ttyAMA0" in cmdline:
        raise CheckFailed("cmdline.txt puts a console on the modem's line")
    for name in re.findall(r"dtoverlay=(\S+)", (build.HERE / "boot/config.txt").read_text()):
        if not (build.HERE / f"boot/{name}.dtso").exists():
            raise CheckFailed(f"config.txt loads {name}, which is not there")
    ElementTree.parse(ROOT / "etc/avahi/services/zimbox.service")
    return "4 partitions"


CHECKS: dict[str, Callable[[], str]] = {
    "locks": locks,
    "no addresses": no_addresses,
    "scripts": scripts,
    "units": units,
    "application": application,
    "firewall": firewall,
    "overlay": overlay,
    "hardware": hardware,
    "card": card,
}


def main() -> int:
    """Every check, a line each. 1 if one does not hold; what could not be looked at is said loudly."""
    wrong = skipped = 0
    for name, look in CHECKS.items():
        try:
            print(f"{name}: {look()}")
        except Missing as error:
            skipped += 1
            print(f"{name}: NOT CHECKED, this machine lacks {error}")
        except CheckFailed as error:
            wrong += 1
            print(f"{name}: WRONG\n{error}")
    print(f"{len(CHECKS) - wrong - skipped} passed, {wrong} failed, {skipped} skipped")
    return 1 if wrong else 0
