"""Write the initramfs: busybox, e2fsck, a few kernel modules and our /init.

Written as a "newc" cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst in the
kernel) with all times and owners zero, so that the same input gives the same bytes.
"""

from __future__ import annotations

import lzma
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Modules needed to mount the root: the card readers of each Pi, QEMU's disk, the file systems; and
# the hardware watchdog, which guards the start itself. "fixed" and "gpio-regulator" supply the card
# reader of a Pi 4 and 400 (vmmc-supply and vqmmc-supply in bcm2711-rpi-4-b.dtb): without them its
# driver waits for ever. Supplies are not symbols, so modules.dep does not name them.
MODULES = (
    "bcm2835_wdt", "fixed", "gpio-regulator", "sdhci-iproc", "bcm2835", "virtio_mmio", "virtio_blk", "squashfs",
    "crc32c_generic", "ext4",  # ext4 asks for "crc32c" by a name that only modprobe resolves
)  # fmt: skip


# Raspberry Pi's own kernel has the rest built in, and no virtual machine to run in.
MODULES_RPI = ("squashfs",)


@dataclass(frozen=True)
class Entry:
    name: str
    mode: int
    content: bytes = b""


def directory(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def program(name: str, content: bytes) -> Entry:
    return Entry(name, stat.S_IFREG | 0o755, content)


def plain(name: str, content: bytes) -> Entry:
    return Entry(name, stat.S_IFREG | 0o644, content)


def cpio(entries: Iterable[Entry]) -> bytes:
    """Return the archive. Directories must come before their entries."""
    return b"".join(_records([*entries, Entry("TRAILER!!!", 0)]))


def _records(entries: Iterable[Entry]) -> Iterator[bytes]:
    for inode, entry in enumerate(entries, 1):
        name = entry.name.encode() + b"\0"
        fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield _padded(header + name) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def load_order(wanted: Iterable[str], dep: str, softdep: str, builtin: str) -> list[str]:
    """Return module files, named as in modules.dep, each after its dependencies.

    A soft "pre" dependency counts as one. Raises KeyError for a module that the kernel neither has
    as a file nor built in.
    """
    files = {
        module_name(line.partition(":")[0]): line.partition(":")[0] for line in dep.splitlines()
    }
    needs = {
        module_name(file): [module_name(need) for need in reversed(rest.split())]
        for file, _, rest in (line.partition(":") for line in dep.splitlines())
    }
    inside = {module_name(line) for line in builtin.split()}
    soft = _soft(softdep)
    order: list[str] = []

    def visit(name: str, *, optional: bool = False) -> None:
        if name in inside or (optional and name not in files):
            return
        if files[name] in order:
            return
        for need in soft.get(name, ()):
            visit(need, optional=True)
        for need in needs[name]:
            visit(need)
        order.append(files[name])

    for name in wanted:
        visit(module_name(name))
    return order


def _soft(text: str) -> dict[str, list[str]]:
    """Parse modules.softdep: `softdep NAME pre: A B post: C` gives NAME: A, B."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[0] == "softdep" and "pre:" in words:
            rest = words[words.index("pre:") + 1 :]
            stop = next((i for i, word in enumerate(rest) if word.endswith(":")), len(rest))
            found.setdefault(module_name(words[1]), []).extend(
                module_name(word) for word in rest[:stop]
            )
    return found


def module_name(file: str) -> str:
    """Return the name of a module from its file name or another spelling."""
    return Path(file).name.partition(".")[0].replace("-", "_")


def contents(
    modules: Path, busybox: Path, e2fsck: Path, init: Path, wanted: Iterable[str] = MODULES
) -> list[Entry]:
    """Return the entries of the initramfs. `modules` is /lib/modules/VERSION with depmod's tables."""
    dep, softdep, builtin = (
        (modules / name).read_text()
        for name in ("modules.dep", "modules.softdep", "modules.builtin")
    )
    order = load_order(wanted, dep, softdep, builtin)
    names = [Path(file).name.removesuffix(".xz") for file in order]
    entries = [directory(name) for name in ("bin", "dev", "proc", "sys", "run", "modules")]
    entries += [
        program("init", init.read_bytes()),
        program("bin/busybox", busybox.read_bytes()),
        program("bin/e2fsck.static", e2fsck.read_bytes()),
        plain("modules/order", "".join(f"{name}\n" for name in names).encode()),
    ]
    for file, name in zip(order, names, strict=True):
        entries.append(plain(f"modules/{name}", _unpacked(modules / file)))
    return entries


def _unpacked(file: Path) -> bytes:
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data
