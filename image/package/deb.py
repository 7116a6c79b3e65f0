"""`scripts/package deb`: build zimbox_VERSION_ARCH.deb, the same bytes from the same commit."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from image.builder.build import EPOCH, HERE, PROJECT, copy_project, version
from image.builder.checking import ROOT
from image.package import unit, wheels

DEBIAN = HERE / "package/debian"
BUILD = Path(os.environ.get("PACKAGE_BUILD", PROJECT / "build" / "package")).resolve()
SCRIPTS = ("postinst", "prerm", "postrm")
CONFFILES = (unit.CONFIG,)
# ModemManager would open the port as well.
IGNORED_BY_MODEM_MANAGER = 'SYMLINK=="modem-usb", ENV{ID_MM_PORT_IGNORE}="1"'


def build(
    architecture: str,
    *,
    named: str = "",
    pythons: tuple[str, ...] = wheels.PYTHONS,
    folder: Path = BUILD,
) -> Path:
    """Build the package in `folder` and return it; `named` is another version than the project's.

    Raises CalledProcessError, Conflict, UnitChanged.
    """
    os.umask(0o022)  # modes are part of the package
    shown = named or version()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        root = Path(work) / "root"
        app = root / unit.APP.lstrip("/")
        wheels.libraries(app, architecture, pythons)
        copy_project(app)
        shutil.rmtree(app / "image")  # runs on the card only
        if named:
            _rename(app, named)
        _system_files(root)
        _documentation(root, shown)
        _control(root, shown, architecture)
        _modes(root)
        target = folder / f"zimbox_{shown}_{architecture}.deb"
        pack(root, target)
    return target


def pack(root: Path, target: Path) -> None:
    """Pack the tree; xz takes minutes for little less."""
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z12", "--build", root, target],
        check=True, env=os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _rename(app: Path, version: str) -> None:
    file = app / "appliance/__init__.py"
    text, count = re.subn(
        r'^__version__ = "[^"]+"',
        f'__version__ = "{version}"',
        file.read_text("utf-8"),
        flags=re.MULTILINE,
    )
    if count != 1:
        raise ValueError(f"{file.name} has no version")
    file.write_text(text, "utf-8")


def _system_files(root: Path) -> None:
    """Write what lies outside the application's folder: command, unit, udev rules, settings."""
    _write(root / "usr/bin/zimbox", (DEBIAN / "zimbox").read_text("utf-8"), 0o755)
    _write(root / "usr/lib/systemd/system/zimbox.service", unit.of_the_package())
    _write(root / "usr/lib/udev/rules.d/70-zimbox.rules", udev_rules())
    _write(
        root / "usr/share/python3/runtime.d/zimbox.rtupdate",
        (DEBIAN / "zimbox.rtupdate").read_text("utf-8"),
        0o755,
    )
    _write(root / unit.CONFIG.lstrip("/"), (DEBIAN / "zimbox.toml").read_text("utf-8"))


def udev_rules() -> str:
    """Return the card's rules that give the AT port of a USB modem the name /dev/modem-usb."""
    card = (ROOT / "etc/udev/rules.d/70-zimbox.rules").read_text("utf-8").splitlines()
    rules = [line for line in card if 'SYMLINK+="modem-usb"' in line]
    notes = [line for line in card if line.startswith("#") and "ModemManager" in line]
    return "\n".join([*notes, *rules, IGNORED_BY_MODEM_MANAGER]) + "\n"


def _documentation(root: Path, shown: str) -> None:
    folder = root / "usr/share/doc/zimbox"
    for name in ("settings.md", "operations.md", "command-line.md"):
        _write(folder / name, (PROJECT / "docs" / name).read_text("utf-8"))
    licence = (PROJECT / "LICENSE").read_text("utf-8")
    _write(folder / "copyright", f"{licence}\n{_licences(root / unit.APP.lstrip('/'))}")
    changes = (PROJECT / "CHANGELOG.md").read_bytes()
    (folder / "changelog.gz").write_bytes(gzip.compress(changes, 9, mtime=0))
    # The form that Debian's tools read.
    date = subprocess.run(
        ["date", "--utc", "--rfc-email", f"--date=@{EPOCH}"],
        check=True, text=True, capture_output=True, env=os.environ | {"LC_ALL": "C"},
    ).stdout.strip()  # fmt: skip
    entry = (
        f"zimbox ({shown}) stable; urgency=medium\n\n  * See changelog.gz.\n\n"
        f" -- ZimBox <zimbox@localhost>  {date}\n"
    )
    (folder / "changelog.Debian.gz").write_bytes(gzip.compress(entry.encode(), 9, mtime=0))


def _licences(app: Path) -> str:
    """Return where the licence of each library is."""
    lines = ["Libraries in /usr/lib/zimbox/app, with the licences in their folders:", ""]
    for information in sorted(app.glob("*.dist-info")):
        metadata = (information / "METADATA").read_text("utf-8")
        found = re.search(r"^License(?:-Expression)?: (.+)$", metadata, re.MULTILINE)
        lines.append(
            f"  {information.name.removesuffix('.dist-info')}: {found[1] if found else 'see its METADATA'}"
        )
    return "\n".join(lines) + "\n"


def _control(root: Path, shown: str, architecture: str) -> None:
    folder = root / "DEBIAN"
    folder.mkdir()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    size = sum(path.stat().st_size + 1023 >> 10 for path in files)
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
        for path in files
        if f"/{path.relative_to(root)}" not in CONFFILES
    ]
    control = (DEBIAN / "control").read_text("utf-8")
    for name, value in (("VERSION", shown), ("ARCHITECTURE", architecture), ("SIZE", str(size))):
        control = control.replace(f"@{name}@", value)
    _write(folder / "control", control)
    _write(folder / "md5sums", "".join(sums))
    _write(folder / "conffiles", "".join(f"{name}\n" for name in CONFFILES))
    for name in SCRIPTS:
        shutil.copyfile(DEBIAN / name, folder / name)


def _modes(root: Path) -> None:
    """Give every file its mode, whatever the wheels and this machine say."""
    programs = {"usr/bin/zimbox", "usr/share/python3/runtime.d/zimbox.rtupdate"}
    programs |= {f"DEBIAN/{name}" for name in SCRIPTS}
    for path in root.rglob("*"):
        executable = path.is_dir() or str(path.relative_to(root)) in programs
        path.chmod(0o755 if executable else 0o644)


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    file.chmod(mode)
