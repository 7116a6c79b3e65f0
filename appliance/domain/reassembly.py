"""Reassembly of received parts, and the words that opt a sender out or in. Pure."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import Literal

from appliance.domain.validation import fold

MISSING = "[…]"  # replaces a missing part


def join(parts: Iterable[tuple[int, str]], total: int) -> str:
    """Join parts given as (number, text), with a mark for each missing part."""
    known = dict(parts)
    return "".join(known.get(number, MISSING) for number in range(1, total + 1))


def wish(text: str, stop: Sequence[str], start: Sequence[str]) -> Literal["stop", "start"] | None:
    """Return which of the words the text is, ignoring case, accents and punctuation."""
    word = _bare(text)
    if word in {_bare(w) for w in stop}:
        return "stop"
    if word in {_bare(w) for w in start}:
        return "start"
    return None


def _bare(text: str) -> str:
    return fold(text).strip(string.punctuation + string.whitespace + "«»\u00a0").replace(" ", "")
