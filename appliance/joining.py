"""What a received text means: its parts joined, and the words that opt a sender out or in. Pure."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import Literal

from appliance.rules import fold

MISSING = "[…]"  # stands where a part never came


def join(parts: Iterable[tuple[int, str]], total: int) -> str:
    """The text of parts given as (number, text), with a mark for each that is missing."""
    known = dict(parts)
    return "".join(known.get(number, MISSING) for number in range(1, total + 1))


def wish(text: str, stop: Sequence[str], start: Sequence[str]) -> Literal["stop", "start"] | None:
    """Whether the text is one of those words, whatever its case, accents and punctuation."""
    word = _bare(text)
    if word in {_bare(w) for w in stop}:
        return "stop"
    if word in {_bare(w) for w in start}:
        return "start"
    return None


def _bare(text: str) -> str:
    return fold(text).strip(string.punctuation + string.whitespace + "«»\u00a0").replace(" ", "")
