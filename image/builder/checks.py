"""`scripts/image check`: check the card in seconds, without building it."""

from __future__ import annotations

import re
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from image.builder import build, debs
from image.builder.application_check import application
from image.builder.checking import BEYOND as BEYOND
from image.builder.checking import ROOT, CheckFailed, Missing, run, tool
from image.builder.hardware_checks import hardware, overlay

UNITS = ROOT / "etc/systemd/system"


def locks() -> str:
    """Check that the list of packages and its lock agree, and that every wheel has a hash."""
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
    """Check that the recipe names no mirror and no registry: both are the build machine's own."""
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
    """Check the syntax of the shell scripts of the box."""
    files = [build.HERE / "initramfs/init", *sorted((ROOT / "usr/lib/zimbox").iterdir())]
    for file in files:
        if (checked := run("sh", "-n", file)).returncode:
            raise CheckFailed(checked.stderr)
    return f"{len(files)} scripts"


def units() -> str:
    """Let systemd verify every unit, with stand-ins for the programs they start."""
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


def firewall() -> str:
    """Let nftables verify the rules of the firewall."""
    nft = tool("nft", "nftables")
    checked = run(nft, "-c", "-f", ROOT / "etc/nftables.conf")
    if "Operation not permitted" in checked.stderr or "not supported" in checked.stderr:
        raise Missing(
            f"{BEYOND}: nftables in this kernel, and the right to use it: {checked.stderr.splitlines()[0]}"
        )
    if checked.returncode:
        raise CheckFailed(checked.stderr)
    return "loaded without a complaint"


def card() -> str:
    """Check that genimage.cfg, cmdline.txt, config.txt and the initramfs agree with each other."""
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
    """Run every check and print a line for each. Return 1 if one fails; name the checks that could not run."""
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
