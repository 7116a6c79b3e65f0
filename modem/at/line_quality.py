"""Whether a line is degraded. AT has no checksum, so only visible damage shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

# What is left of an OK that lost, doubled or changed a byte.
_CORRUPTED_OK = re.compile(r"(?!OK$)(O?O?K?K?|.K|O.|O.K|.OK|OK.)$")


class LineQuality:
    """The quality of a line. While it is degraded, every command and text is checked by its echo."""

    def __init__(
        self, degraded_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._degraded_seconds = degraded_seconds
        self._clock = clock
        self._damaged_at: float | None = None

    def note_damage(self) -> bool:
        """Note damage. Return True if the line was not degraded before."""
        first = not self.degraded
        self._damaged_at = self._clock()
        return first

    @property
    def degraded(self) -> bool:
        """Whether the line is degraded: damage was seen recently."""
        since = self._damaged_at
        return since is not None and self._clock() - since < self._degraded_seconds


# Names and USSD texts may be written in any alphabet, mostly between quotes; nothing else is.
_ANY_ALPHABET = ("+COPS:", "+CUSD:")
_QUOTED = re.compile(r'"[^"]*"')


def has_foreign_characters(line: str) -> bool:
    """Return whether `line` has characters that no modem sends in such a line."""
    bare = _QUOTED.sub("", line)
    return not (bare.isascii() and bare.isprintable()) and not line.startswith(_ANY_ALPHABET)


def is_corrupted_ok(line: str) -> bool:
    """Return whether `line` is probably the rest of an OK."""
    return bool(_CORRUPTED_OK.match(line))
