"""What a bad line does to bytes. No I/O."""

from __future__ import annotations

import random
from typing import Literal

import msgspec

_HEX = frozenset(b"0123456789ABCDEFabcdef")

Damage = Literal["lose", "double", "garble"]


class Distortion(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="do",
    tag="line",
    forbid_unknown_fields=True,
):
    """Chances per byte. `spare`: the kinds of damage that leave hex digits alone."""

    direction: Literal["both", "out", "in"] = "both"  # out: from the modem
    lose: float = 0.0
    double: float = 0.0
    garble: float = 0.0
    split: float = 0.0  # the bytes behind it come in a chunk of their own
    delay: float = 0.0  # and so much later:
    delay_seconds: float = 0.005
    noise: float = 0.0  # a byte from 0x80 up comes between
    spare: tuple[Damage, ...] = ("garble",)

    @property
    def clean(self) -> bool:
        """The line does nothing to bytes."""
        return not (
            self.lose or self.double or self.garble or self.split or self.delay or self.noise
        )


CLEAN = Distortion()


def distort(data: bytes, line: Distortion, chance: random.Random) -> list[tuple[float, bytes]]:
    """Chunks as they come out of the line, each after so many seconds behind the one before."""
    chunks: list[tuple[float, bytes]] = []
    chunk = bytearray()
    wait = 0.0
    for byte in data:
        chunk += _damaged(byte, line, chance)
        late = line.delay and chance.random() < line.delay
        if late or (line.split and chance.random() < line.split):
            chunks.append((wait, bytes(chunk)))
            chunk.clear()
            wait = line.delay_seconds if late else 0.0
    chunks.append((wait, bytes(chunk)))
    return [(seconds, piece) for seconds, piece in chunks if piece or seconds]


def _damaged(byte: int, line: Distortion, chance: random.Random) -> bytes:
    out = bytes([byte])
    digit = byte in _HEX
    if line.lose and chance.random() < line.lose and not (digit and "lose" in line.spare):
        out = b""
    if line.double and chance.random() < line.double and not (digit and "double" in line.spare):
        out += out
    if line.garble and chance.random() < line.garble and not (digit and "garble" in line.spare):
        out = bytes([byte ^ 1 << chance.randrange(8)])
    if line.noise and chance.random() < line.noise:
        out += bytes([chance.randrange(0x80, 0x100)])
    return out
