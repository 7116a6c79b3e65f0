"""Concurrency limits of webhook calls, so that slow receivers cannot starve the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

SLOW_KEPT = 1000  # receivers remembered as slow; beyond this the oldest is forgotten


class ConcurrencyLimits(Struct, frozen=True):
    """How many calls may be open at once. A slow call occupies its place for the whole time-out."""

    total: int = 64
    of_receiver: int = 4
    of_host: int = 16
    slow: int = 24  # of all, to receivers that were slow the last time
    slow_of_host: int = 12  # of these, to one host, so that its other receivers find a place


PLACES = ConcurrencyLimits()


class ConcurrencyLimiter:
    """Counts open calls. Call `free`, then `take`, then `give_back`."""

    def __init__(self, places: ConcurrencyLimits = PLACES) -> None:
        self._places = places
        self._open: list[tuple[str, str]] = []
        self._slow: dict[str, None] = {}
        self._served: dict[str, int] = {}
        self._count = 0

    def in_order(self, receivers: Iterable[str]) -> list[str]:
        """Return the receivers, least recently served first; forget those without due calls."""
        wanting = set(receivers)
        self._served = {name: when for name, when in self._served.items() if name in wanting}
        return sorted(wanting, key=lambda name: (self._served.get(name, 0), name))

    def free(self, receiver: str, host: str) -> bool:
        """Return whether one more call to this receiver may begin."""
        places, calls = self._places, self._open
        if len(calls) >= places.total:
            return False
        if sum(name == receiver for name, _ in calls) >= places.of_receiver:
            return False
        if sum(at == host for _, at in calls) >= places.of_host:
            return False
        if receiver not in self._slow:
            return True
        slow_at = [at for name, at in calls if name in self._slow]
        return len(slow_at) < places.slow and slow_at.count(host) < places.slow_of_host

    def take(self, receiver: str, host: str) -> None:
        """Count a call that begins."""
        self._count += 1
        self._served[receiver] = self._count
        self._open.append((receiver, host))

    def give_back(self, receiver: str, host: str, *, slow: bool) -> None:
        """Count a call that has ended. `slow`: it occupied its place for a large part of the time-out."""
        self._open.remove((receiver, host))
        self._slow.pop(receiver, None)
        if slow:
            self._slow[receiver] = None
            if len(self._slow) > SLOW_KEPT:
                del self._slow[next(iter(self._slow))]

    @property
    def open(self) -> int:
        """The number of open calls."""
        return len(self._open)
