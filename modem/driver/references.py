"""The probable TP-MR on a line that alters digits. Pure."""

from __future__ import annotations

_KNOWN_AHEAD = 8  # this many parts of unknown outcome may have advanced the counter


class References:
    """Checks TP-MR, which counts up by one with each accepted part (23.040 9.2.3.6).

    A lost or doubled digit in `+CMGS: 117` is not visible by itself, but it breaks the sequence.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._uncertain = 0  # parts since then that may have been counted

    def note_uncertain(self) -> None:
        """Note a part that may have been accepted under an unknown reference."""
        self._uncertain = min(self._uncertain + 1, _KNOWN_AHEAD)

    def accepted(self, received: int | None, *, degraded: bool) -> int | None:
        """Return the reference of an accepted part, corrected if a digit was altered."""
        corrected = received
        if degraded and self._last is not None:
            expected = [(self._last + 1 + n) % 256 for n in range(self._uncertain + 1)]
            near = [one for one in expected if received is None or is_misread_of(received, one)]
            if received not in expected and len(near) == 1:
                corrected = near[0]
        if corrected is None:
            self.note_uncertain()
        else:
            self._last, self._uncertain = corrected, 0
        return corrected


def is_misread_of(received: int, true: int) -> bool:
    """Return whether `received` is `true` with one digit lost or doubled."""
    a, b = str(received), str(true)
    lost = {b[:i] + b[i + 1 :] for i in range(len(b))}
    doubled = {b[: i + 1] + b[i:] for i in range(len(b))}
    return a in {one.lstrip("0") or "0" for one in lost | doubled}
