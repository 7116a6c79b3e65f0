"""Read a board's device tree, and find the drivers that it asks for.

The format is that of the Devicetree Specification 0.4, chapter 5.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Properties that name other nodes, with the property of that node that counts the cells after it.
LISTS = {
    "clocks": "#clock-cells",
    "dmas": "#dma-cells",
    "resets": "#reset-cells",
    "power-domains": "#power-domain-cells",
    "phys": "#phy-cells",
}
SINGLE = re.compile(r".+-supply|mmc-pwrseq|phy-handle|pinctrl-0")
GPIOS = re.compile(r"(.+-)?gpios?")


@dataclass
class Node:
    path: str
    parent: Node | None
    properties: dict[str, bytes] = field(default_factory=dict)

    @property
    def compatible(self) -> list[str]:
        return self.properties.get("compatible", b"").decode().rstrip("\0").split("\0")

    @property
    def enabled(self) -> bool:
        return self.properties.get("status", b"okay\0") in (b"okay\0", b"ok\0")

    def cells(self, name: str) -> list[int]:
        data = self.properties.get(name, b"")
        return list(struct.unpack(f">{len(data) // 4}I", data[: len(data) // 4 * 4]))


class DeviceTree:
    """A compiled tree. Raises ValueError if the file is none."""

    def __init__(self, file: Path) -> None:
        self.nodes = list(_nodes(file.read_bytes()))
        self._by_phandle = {
            node.cells("phandle")[0]: node for node in self.nodes if "phandle" in node.properties
        }

    def find(self, *compatible: str) -> list[Node]:
        """Return the enabled nodes with one of these `compatible` strings."""
        return [n for n in self.nodes if n.enabled and set(compatible) & set(n.compatible)]

    def suppliers(self, node: Node) -> Iterator[Node]:
        """Yield the nodes whose drivers this node's driver waits for."""
        for name in node.properties:
            if SINGLE.fullmatch(name):
                for phandle in node.cells(name):
                    yield self._by_phandle[phandle]
            elif counter := LISTS.get(name) or (GPIOS.fullmatch(name) and "#gpio-cells"):
                yield from self._listed(node.cells(name), counter)
        if node.parent is not None:
            yield node.parent

    def _listed(self, cells: list[int], counter: str) -> Iterator[Node]:
        position = 0
        while position < len(cells):
            supplier = self._by_phandle.get(cells[position])
            position += 1
            if supplier is not None:  # 0 is a gap in the list
                yield supplier
                position += supplier.cells(counter)[0]

    def chain(self, node: Node) -> list[Node]:
        """Return the node and all that it waits for, directly or not."""
        found: dict[str, Node] = {}
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if here.path not in found and not OPTIONAL.fullmatch(here.compatible[0]):
                found[here.path] = here
                waiting.extend(self.suppliers(here))
        return list(found.values())


def _nodes(data: bytes) -> Iterator[Node]:
    magic, _, offset, strings = struct.unpack(">IIII", data[:16])
    if magic != 0xD00DFEED:
        raise ValueError("not a flattened device tree")
    node: Node | None = None
    while True:
        (token,) = struct.unpack_from(">I", data, offset)
        offset += 4
        if token == 1:  # FDT_BEGIN_NODE
            end = data.index(b"\0", offset)
            name = data[offset:end].decode()
            above = node.path.rstrip("/") if node else ""
            node = Node(f"{above}/{name}" if node else "/", node)
            yield node
            offset = end + 1 + -(end + 1) % 4
        elif token == 2:  # FDT_END_NODE
            assert node is not None
            node = node.parent
        elif token == 3:  # FDT_PROP
            assert node is not None
            length, name_at = struct.unpack_from(">II", data, offset)
            start = strings + name_at
            name = data[start : data.index(b"\0", start)].decode()
            node.properties[name] = data[offset + 8 : offset + 8 + length]
            offset += 8 + length + -length % 4
        elif token == 9:  # FDT_END
            return


# Drivers on the AMBA bus match by an ID register, not by `compatible`.
AMBA = {"arm,pl011": "amba-pl011"}
# The clock manager lists the clocks of both display outputs and starts without them (clk-bcm2835.c).
OPTIONAL = re.compile(r"brcm,bcm2(835|711)-dsi[01]")
# Buses and groups that the kernel's core creates, without a driver of their own.
GROUPS = ("simple-bus", "simple-mfd")


@dataclass
class Drivers:
    """What the locked kernel drives: built in, by modules of the initramfs, by modules of the root."""

    image: bytes  # the kernel, uncompressed
    builtin: set[str]
    aliases: dict[str, set[str]]  # `compatible` → modules
    initramfs: set[str]
    root: set[str]

    def missing(self, node: Node, *, early: bool) -> str:
        """Return the driver that this node lacks, in words; "" if it has one. `early`: in the initramfs."""
        names = [name for name in node.compatible if name]
        if not names or any(name in GROUPS for name in names) or node.parent is None:
            return ""
        if any(self._built_in(name) for name in names):
            return ""
        modules = set().union(*(self.aliases.get(name, set()) for name in names))
        if modules & (self.initramfs if early else self.root):
            return ""
        where = "the initramfs" if early else "the root"
        return (
            f"{node.path} ({names[0]}): {', '.join(sorted(modules)) or 'no driver'} not in {where}"
        )

    def _built_in(self, compatible: str) -> bool:
        if compatible in AMBA:
            return AMBA[compatible].replace("-", "_") in self.builtin
        # struct of_device_id: name[32] and type[32], both empty, then compatible[128].
        return b"\0" * 64 + compatible.encode() + b"\0" in self.image


def of_aliases(text: str) -> dict[str, set[str]]:
    """Return the modules for each `compatible` in modules.alias ("alias of:N*T*Cregulator-fixedC* fixed")."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"alias of:N\*T\*C([^*]+?)(?:C\*)? (\S+)", line):
            found.setdefault(match[1], set()).add(match[2].replace("-", "_"))
    return found
