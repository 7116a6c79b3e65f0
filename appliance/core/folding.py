"""Texts without case and accents, for searching and comparing. Pure."""

from __future__ import annotations

import unicodedata


def fold(text: str) -> str:
    """Return a text in lower case without accents, for searching."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))
