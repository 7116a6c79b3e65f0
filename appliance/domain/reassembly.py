"""Reassembly of received parts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

MISSING = "[…]"  # replaces a missing part


def join(parts: Iterable[tuple[int, str]], total: int) -> str:
    """Join parts given as (number, text), with a mark for each missing part."""
    known = dict(parts)
    return "".join(known.get(number, MISSING) for number in range(1, total + 1))
