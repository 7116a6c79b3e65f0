"""How many client connections may be open, and which one gives way to a new one."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

# A request in progress holds 30 to 100 kB: all of these together stay well below the memory of a small board.
MOST_CONNECTIONS = 256
# One address: a pool, or a reverse proxy with many clients behind it; never all there are.
MOST_OF_ONE_ADDRESS = 128
# A body that takes longer than this gives way when no connection is idle.
RECEIVING_SECONDS = 5.0
# Files, serial lines, webhooks and what is accepted only to be refused need descriptors too.
SHARE_OF_DESCRIPTORS = 0.5


class Occupation(IntEnum):
    """What a connection is busy with; the lower, the sooner it gives way."""

    WAITING = 0  # for a request, or for the rest of its head
    RECEIVING = 1  # the body of a request
    ANSWERING = 2


class Connection(Protocol):
    """What can be closed to make room."""

    def give_way(self) -> None:
        """Close now."""


class ConnectionLimiter:
    """The open connections of every listener, in the order in which they give way."""

    def __init__(
        self, total: int, of_one_address: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._total = total
        self._of_one_address = of_one_address
        self._addresses: dict[Connection, str] = {}
        self._count: Counter[str] = Counter()
        # Longest in its occupation first: a dict keeps the order of insertion.
        self._occupied: dict[Occupation, dict[Connection, float]] = {
            occupation: {} for occupation in Occupation
        }
        self._occupations: dict[Connection, Occupation] = {}
        self._refused: set[Connection] = set()

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a new connection and close another where there are too many. False: none gives way."""
        if self._count[address] >= self._of_one_address:
            admitted = self._make_room(address)
        else:
            admitted = len(self._addresses) < self._total or self._make_room(None)
        if not admitted:
            if not self._count[address]:
                del self._count[address]
            return False
        self._addresses[connection] = address
        self._count[address] += 1
        self._occupations[connection] = Occupation.WAITING
        self._occupied[Occupation.WAITING][connection] = self._clock()
        return True

    def may_explain(self, connection: Connection) -> bool:
        """Whether a refused connection may stay until its client has read why."""
        if len(self._refused) >= self._total // 4:
            return False
        self._refused.add(connection)
        return True

    def occupy(self, connection: Connection, occupation: Occupation) -> None:
        """Note what an admitted connection does from now on."""
        before = self._occupations.get(connection)
        if before is None or before is occupation:
            return
        del self._occupied[before][connection]
        self._occupied[occupation][connection] = self._clock()
        self._occupations[connection] = occupation

    def release(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._refused.discard(connection)
        occupation = self._occupations.pop(connection, None)
        if occupation is None:
            return
        del self._occupied[occupation][connection]
        address = self._addresses.pop(connection)
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]

    def _make_room(self, address: str | None) -> bool:
        """Close the connection that gives way first, of one address or of any."""
        now = self._clock()
        for occupation, least in (
            (Occupation.WAITING, 0.0),
            (Occupation.RECEIVING, RECEIVING_SECONDS),
        ):
            for connection, since in self._occupied[occupation].items():
                if now - since < least:
                    break
                if address is None or self._addresses[connection] == address:
                    self.release(connection)
                    connection.give_way()
                    return True
        return False


def for_this_process() -> ConnectionLimiter:
    """Limits that leave descriptors for the store, the modems and the webhooks."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    total = min(MOST_CONNECTIONS, int(descriptors * SHARE_OF_DESCRIPTORS))
    return ConnectionLimiter(total, min(MOST_OF_ONE_ADDRESS, max(1, total // 2)))
