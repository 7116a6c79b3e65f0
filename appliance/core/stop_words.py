"""The words that opt a sender out (STOP) or in again (START), and which texts are one of them. Pure."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Literal

from appliance.core.folding import fold

# The defaults of the settings `inbox.stop_words` and `inbox.start_words`.
STOP_WORDS = ("STOP", "STOPSMS", "ARRET", "DESABONNER", "UNSUBSCRIBE", "END", "QUIT")
START_WORDS = ("START", "UNSTOP", "REPRISE", "REABONNER")

# Polite and joining words that may stand beside a STOP word: "Stop svp", "STOP au 36180".
POLITE = frozenset(
    (
        *("svp", "stp", "s", "il", "vous", "te", "plait", "merci", "bonjour"),
        *("please", "pls", "thanks", "thank", "you", "hello"),
        *("au", "a", "to", "sms"),
    )
)
SHORT_CODE = re.compile(r"[0-9]{3,8}")  # as French law has it printed: "STOP au 36180"


def opt_keyword(
    text: str, stop: Sequence[str], start: Sequence[str]
) -> Literal["stop", "start"] | None:
    """Return which of the words the text is, ignoring case, accents and punctuation.

    The word may be repeated, followed by a short code, and stand among polite words. Any other word makes the
    text a sentence, which opts nobody out.
    """
    bare = _bare(text)
    tokens = [word for word in re.findall(r"[^\W_]+", fold(text)) if word not in POLITE]
    kinds: tuple[tuple[Literal["stop", "start"], set[str]], ...] = (
        ("stop", {_bare(w) for w in stop}),
        ("start", {_bare(w) for w in start}),
    )
    for wanted, words in kinds:
        if bare in words:
            return wanted
        if tokens and tokens[0] in words:
            rest = [word for word in tokens[1:] if word not in words]
            if not rest or (len(rest) == 1 and SHORT_CODE.fullmatch(rest[0])):
                return wanted
    return None


def _bare(text: str) -> str:
    return fold(text).strip(string.punctuation + string.whitespace + "«»\u00a0").replace(" ", "")
