"""The probable TP-MR on a line that alters digits. Pure."""

from __future__ import annotations

_KNOWN_AHEAD = 8  # this many parts of unknown outcome may have advanced the counter


class References:
    """Checks TP-MR, which counts up by one with each accepted part (23.040 9.2.3.6).

    A lost or doubled digit in `+CMGS: 117` is not visible by itself, but it breaks the sequence.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._in_doubt = 0  # parts since then that may have been counted

    def doubt(self) -> None:
        """Note a part that may have been accepted under an unknown reference."""
        self._in_doubt = min(self._in_doubt + 1, _KNOWN_AHEAD)

    def taken(self, said: int | None, *, careful: bool) -> int | None:
        """Return the reference of an accepted part, corrected if a digit was altered."""
        meant = said
        if careful and self._last is not None:
            expected = [(self._last + 1 + n) % 256 for n in range(self._in_doubt + 1)]
            near = [one for one in expected if said is None or spoilt_from(said, one)]
            if said not in expected and len(near) == 1:
                meant = near[0]
        if meant is None:
            self.doubt()
        else:
            self._last, self._in_doubt = meant, 0
        return meant


def spoilt_from(said: int, true: int) -> bool:
    """Return whether `said` is `true` with one digit lost or doubled."""
    a, b = str(said), str(true)
    lost = {b[:i] + b[i + 1 :] for i in range(len(b))}
    doubled = {b[: i + 1] + b[i:] for i in range(len(b))}
    return a in {one.lstrip("0") or "0" for one in lost | doubled}
