"""Alter bytes as a bad serial line does. No I/O."""

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
    """Probabilities per byte. `spare`: kinds of damage that skip hex digits."""

    direction: Literal["both", "out", "in"] = "both"  # out: from the modem
    lose: float = 0.0
    double: float = 0.0
    garble: float = 0.0
    split: float = 0.0  # the bytes after it arrive in a separate chunk
    delay: float = 0.0  # and this much later:
    delay_seconds: float = 0.005
    noise: float = 0.0  # a byte of 0x80 or more is inserted
    spare: tuple[Damage, ...] = ("garble",)

    @property
    def clean(self) -> bool:
        """Whether the line passes bytes unchanged."""
        return not (
            self.lose or self.double or self.garble or self.split or self.delay or self.noise
        )


CLEAN = Distortion()


def distort(data: bytes, line: Distortion, chance: random.Random) -> list[tuple[float, bytes]]:
    """Return the chunks that leave the line, each with its delay after the previous one (seconds)."""
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
