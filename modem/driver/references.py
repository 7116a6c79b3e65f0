"""Which reference the modem most likely meant, over a line that spoils digits. Pure."""

from __future__ import annotations

_KNOWN_AHEAD = 8  # so many parts of unknown outcome may have moved the counter


class References:
    """TP-MR counts up by one with each part that the network takes (23.040 9.2.3.6).

    A lost or doubled digit of `+CMGS: 117` cannot be seen by itself; that it does not follow the
    one before can.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._in_doubt = 0  # parts since then that may have counted too

    def doubt(self) -> None:
        """A part may have been taken, under a reference that nobody told."""
        self._in_doubt = min(self._in_doubt + 1, _KNOWN_AHEAD)

    def taken(self, said: int | None, *, careful: bool) -> int | None:
        """The reference of a part that was taken: as said, or as it must have been meant."""
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
    """Whether `said` is `true` with one digit lost or doubled."""
    a, b = str(said), str(true)
    lost = {b[:i] + b[i + 1 :] for i in range(len(b))}
    doubled = {b[: i + 1] + b[i:] for i in range(len(b))}
    return a in {one.lstrip("0") or "0" for one in lost | doubled}
