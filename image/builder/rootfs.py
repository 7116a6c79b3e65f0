"""Set up Debian's packages in a tar: the only step that needs emulation."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINFMT = Path("/proc/sys/fs/binfmt_misc")
# Programs that package scripts would run. They are diverted while packages are set up: most are slow under
# emulation, and their results are made elsewhere (units by preset, byte code by the build machine) or must not be
# in an image that is copied (host keys).
DIVERTED = (
    "/usr/bin/python3.13",
    "/usr/bin/py3compile",
    "/usr/bin/ssh-keygen",
    "/usr/bin/deb-systemd-helper",
    "/usr/bin/deb-systemd-invoke",
    "/usr/bin/systemd-hwdb",
)
# Documentation and translations; the copyright files stay.
LEAVE_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def divert(program: str) -> str:
    """Return shell for an mmdebstrap hook that replaces `program` by a command that does nothing."""
    return (
        f'chroot "$1" dpkg-divert --quiet --local --rename --divert {program}.real --add {program}'
        f' && ln -sf /bin/true "$1{program}"'
    )


def undivert(program: str) -> str:
    return (
        f'rm "$1{program}" && chroot "$1" dpkg-divert --quiet --local --rename --remove {program}'
    )


def make(packages: list[str], repository: Path, target: Path, epoch: int) -> None:
    """Set up `packages` from the flat repository into the tar `target`. Needs root."""
    hooks = [f"--essential-hook={divert(program)}" for program in DIVERTED]
    hooks += [f"--customize-hook={undivert(program)}" for program in DIVERTED]
    dpkg = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEAVE_OUT]
    partial = target.with_suffix(".partial.tar")
    with arm64_programs():
        subprocess.run(
            [
                "mmdebstrap", "--mode=root", "--architectures=arm64", "--variant=essential", "--format=tar",
                # The locked list is complete: no dependencies are resolved.
                f"--include={','.join(packages)}",
                *dpkg, "--dpkgopt=path-include=/usr/share/doc/*/copyright", *hooks,
                "trixie", str(partial), f"deb [trusted=yes] copy://{repository.resolve()} ./",
            ],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(target.parent.resolve())},
            check=True,
        )  # fmt: skip
    partial.rename(target)


@contextmanager
def arm64_programs() -> Iterator[None]:
    """Let the kernel run arm64 programs inside the context."""
    if _runs_arm64():
        yield
        return
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True)
    line = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_text().strip()
    # The line has F, which opens the interpreter now, so that it need not be in the tree. C keeps setuid.
    (BINFMT / "register").write_text(line + "C")
    try:
        yield
    finally:
        (BINFMT / "qemu-aarch64").write_text("-1")


def _runs_arm64() -> bool:
    return subprocess.run(["arch-test", "arm64"], capture_output=True, check=False).returncode == 0
