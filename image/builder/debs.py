"""Resolve Debian's packages into packages.lock, and fetch them by hash.

The mirror is the one this machine's apt is configured with; no address stands in the project.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve().parents[1]  # image/
WANTED = HERE / "packages.txt"
# Label of the source in apt's configuration, suite, components.
DEBIAN = (
    ("Debian", "trixie", "main non-free-firmware"),
    (
        "Debian",
        "forky",
        "non-free-firmware",
    ),  # for packages that name it (packages.txt), and no other
    ("Debian", "trixie-updates", "main non-free-firmware"),
    ("Debian-Security", "trixie-security", "main non-free-firmware"),
)
# Raspberry Pi's own kernel, firmware and overlays, for the Pi 5; needs their archive in apt's sources.
SOURCES = {
    "debian": DEBIAN,
    "rpi": (*DEBIAN, ("Raspberry Pi Foundation", "trixie", "main")),
}
KERNELS = {"debian": "linux-image-arm64", "rpi": "linux-image-rpi-v8"}
# What dpkg needs to set anything up. apt counts itself in, but a read-only root has no use for it.
ESSENTIAL = "?and(?essential,?not(?name(^apt$)))"

Kind = Literal["install", "unpack"]


KEYRINGS = {
    "Debian": "debian-archive-keyring.gpg",
    "Debian-Security": "debian-archive-keyring.gpg",
    "Raspberry Pi Foundation": "raspberrypi-archive-keyring.gpg",
}


def lock_file(kernel: str) -> Path:
    """Return the lock file for a kernel. Raises LockError for an unknown kernel."""
    if kernel not in SOURCES:
        raise LockError(f"KERNEL={kernel}: there are {', '.join(SOURCES)}")
    return HERE / ("packages.lock" if kernel == "debian" else f"packages-{kernel}.lock")


class LockError(Exception):
    """The lock, the list and what Debian offers do not agree; names the package."""


@dataclass(frozen=True)
class Deb:
    kind: Kind
    name: str
    version: str
    sha256: str

    @property
    def line(self) -> str:
        return f"{self.kind} {self.name}={self.version} sha256:{self.sha256}"


def wanted(text: str) -> list[tuple[Kind, str]]:
    """Return the list as (kind, package). Raises LockError on a line that is neither."""
    return [(kind, name.partition("/")[0]) for kind, name in _listed(text)]


def _listed(text: str) -> list[tuple[Kind, str]]:
    """Return the list as (kind, package or package/suite)."""
    entries: list[tuple[Kind, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        match line.split("#")[0].split():
            case []:
                continue
            case ["install" | "unpack" as kind, name]:
                entries.append((kind, name))
            case _:
                raise LockError(
                    f"{WANTED.name}:{number}: {line!r} is not 'install NAME' or 'unpack NAME'"
                )
    return entries


def read_lock(text: str) -> list[Deb]:
    """Parse packages.lock. Raises LockError on a line that is not KIND NAME=VERSION with a hash."""
    debs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        found = re.fullmatch(
            r"(install|unpack) ([a-z0-9][a-z0-9.+-]+)=(\S+) sha256:([0-9a-f]{64})", line
        )
        if not found:
            raise LockError(
                f"packages.lock:{number}: {line!r} is not 'KIND NAME=VERSION sha256:HASH'"
            )
        kind: Kind = "install" if found[1] == "install" else "unpack"
        debs.append(Deb(kind, found[2], found[3], found[4]))
    return debs


def missing_from_lock(entries: list[tuple[Kind, str]], debs: list[Deb]) -> list[str]:
    """Return the names on the list that are not locked. The kernel's package name contains its version."""
    held = {(deb.kind, deb.name) for deb in debs}
    kernels = [deb for deb in debs if deb.kind == "unpack" and deb.name.startswith("linux-image-")]
    return [
        name
        for kind, name in entries
        if (kind, name) not in held and not (name in KERNELS.values() and len(kernels) == 1)
    ]


class Apt:
    """Run apt for arm64 trixie in its own folder, separate from the machine's packages."""

    def __init__(self, folder: Path, kernel: str) -> None:
        self.folder = folder = folder.resolve()
        for name in ("lists/partial", "archives/partial", "etc"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        sources = SOURCES[kernel]
        mirrors = _mirrors({label for label, _, _ in sources})
        lines = [
            f"deb [signed-by=/usr/share/keyrings/{KEYRINGS[label]}] {mirrors[label]} {suite} {components}"
            for label, suite, components in sources
        ]
        (folder / "etc/sources.list").write_text("\n".join(lines) + "\n")
        # Lower than any other source: only what is asked for as NAME/forky or by its version comes from it.
        (folder / "etc/preferences").write_text(
            "Package: *\nPin: release n=forky\nPin-Priority: 50\n"
        )
        (folder / "etc/apt.conf").write_text(
            f"""
            Dir::State::Lists "{folder}/lists"; Dir::State::status "{folder}/status";
            Dir::Cache "{folder}"; Dir::Cache::archives "{folder}/archives";
            Dir::Etc::SourceList "{folder}/etc/sources.list"; Dir::Etc::SourceParts "/dev/null";
            Dir::Etc::Preferences "{folder}/etc/preferences"; Dir::Etc::PreferencesParts "/dev/null";
            APT::Architecture "arm64"; APT::Architectures {{ "arm64"; }};
            APT::Install-Recommends "false"; APT::Sandbox::User "root"; Acquire::Languages "none";
            """
        )

    def run(self, tool: str, *arguments: str, cwd: Path | None = None) -> str:
        environment = os.environ | {"APT_CONFIG": str(self.folder / "etc/apt.conf"), "LC_ALL": "C"}
        done = subprocess.run(
            [tool, *arguments],
            env=environment,
            cwd=cwd,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise LockError(f"{tool} {' '.join(arguments[:3])} …: {done.stderr.strip()[:500]}")
        return done.stdout


def _mirrors(labels: set[str]) -> dict[str, str]:
    """Return the mirrors of this machine's apt by label. Raises LockError for a source it does not have."""
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"],
        text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    found = dict(line.split("|") for line in shown.splitlines())
    if missing := sorted(labels - found.keys()):
        raise LockError(
            f"apt on this machine has no source {', '.join(missing)}; try apt-get update"
        )
    return {label: found[label] for label in labels}


def resolve(folder: Path, kernel: str) -> list[Deb]:
    """Resolve the list today, with dependencies and essential packages. Raises LockError."""
    apt = Apt(folder, kernel)
    apt.run("apt-get", "update")
    # Raspberry Pi's archive has newer firmware than Debian.
    entries = _listed(WANTED.read_text()) if kernel == "debian" else wanted(WANTED.read_text())
    install = [name for kind, name in entries if kind == "install"]
    planned = apt.run("apt-get", "install", "--print-uris", "-qq", "-y", ESSENTIAL, *install)
    unpack = [name for kind, name in entries if kind == "unpack" and name not in KERNELS.values()]
    unpack.append(_kernel_of_the_day(apt, KERNELS[kernel]))
    debs = _hashed(apt, "install", [f"{name}={version}" for name, version in _files(planned)])
    return sorted(debs + _hashed(apt, "unpack", unpack), key=lambda deb: (deb.kind, deb.name))


def _kernel_of_the_day(apt: Apt, name: str) -> str:
    """Return the kernel package that a meta package depends on."""
    found = re.search(
        r"Depends: (linux-image-\S+)", apt.run("apt-cache", "depends", "--important", name)
    )
    if not found:
        raise LockError(f"{name} depends on no kernel")
    return found[1]


def _hashed(apt: Apt, kind: Kind, names: list[str]) -> list[Deb]:
    shown = apt.run("apt-get", "download", "--print-uris", "-qq", *names)
    hashes = re.findall(r" SHA256:([0-9a-f]{64})$", shown, re.MULTILINE)
    return [Deb(kind, *file, sha256) for file, sha256 in zip(_files(shown), hashes, strict=True)]


def _files(shown: str) -> list[tuple[str, str]]:
    """Return (name, version) of each line `'URI' FILE SIZE HASH`."""
    return [
        (found[1], found[2].replace("%3a", ":"))
        for found in re.finditer(
            r"^'[^']+' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb \d+ ", shown, re.MULTILINE
        )
    ]


def write_lock(debs: list[Deb]) -> str:
    head = (
        "# Made by `scripts/image lock` from packages.txt: what a build takes, and nothing else.\n"
    )
    return head + "".join(f"{deb.line}\n" for deb in debs)


def fetch(debs: list[Deb], pool: Path, folder: Path, kernel: str) -> None:
    """Fetch the locked .debs that `pool` lacks, and check their hashes.

    Keep the pool with a release: Debian drops old versions. Raises LockError for one it no longer has.
    """
    pool.mkdir(parents=True, exist_ok=True)
    absent = [deb for deb in debs if not _is(pool / f"{deb.sha256}.deb", deb.sha256)]
    if not absent:
        return
    apt = Apt(folder, kernel)
    apt.run("apt-get", "update")
    incoming = apt.folder / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir()
    apt.run(
        "apt-get", "download", "-qq", *(f"{deb.name}={deb.version}" for deb in absent), cwd=incoming
    )
    for file in incoming.glob("*.deb"):
        file.rename(pool / f"{_sha256(file)}.deb")
    if lost := [deb.name for deb in absent if not _is(pool / f"{deb.sha256}.deb", deb.sha256)]:
        raise LockError(f"fetched, but not with the locked hash: {', '.join(lost)}")


def repository(debs: list[Deb], pool: Path, folder: Path) -> None:
    """Make a flat apt repository of exactly these files for mmdebstrap."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    entries = []
    for deb in debs:
        source = pool / f"{deb.sha256}.deb"
        target = folder / f"{deb.name}_{deb.sha256[:12]}.deb"
        os.link(source, target)
        control = subprocess.run(
            ["dpkg-deb", "-f", target], text=True, capture_output=True, check=True
        ).stdout
        entries.append(
            f"{control.strip()}\nFilename: ./{target.name}\nSize: {target.stat().st_size}\nSHA256: {deb.sha256}\n"
        )
    packages = folder / "Packages"
    packages.write_text("\n".join(entries))
    # mmdebstrap takes essential packages only from a repository that names the suite.
    (folder / "Release").write_text(
        "Suite: trixie\nCodename: trixie\n"
        f"SHA256:\n {_sha256(packages)} {packages.stat().st_size} Packages\n"
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is(file: Path, sha256: str) -> bool:
    return file.exists() and _sha256(file) == sha256
