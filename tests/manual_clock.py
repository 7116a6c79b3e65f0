"""The clock that tests set."""

from __future__ import annotations

import asyncio


class ManualClock:
    """A clock that stands still until it is told to move; for tests."""

    def __init__(self, start_ms: int = 1_767_225_600_000, *, trusted: bool = True) -> None:
        self._now = start_ms
        self._monotonic = 0.0
        self.trusted = trusted
        self.kept = trusted
        self.heard: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    @property
    def sleepers(self) -> int:
        """The number of waits that the clock has not ended yet."""
        return len(self._sleepers)

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def compare_network_time(self, epoch: float) -> None:
        self.heard.append(epoch)

    def step(self, milliseconds: int) -> None:
        """The wall clock jumps; no time passes."""
        self._now += milliseconds

    def advance(self, seconds: float) -> None:
        """Time passes: who waits for this moment wakes."""
        self._now += round(seconds * 1000)
        self._monotonic += seconds
        for moment, woken in self._sleepers:
            if moment <= self._monotonic:
                woken.set()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        woken = asyncio.Event()
        entry = (self._monotonic + max(seconds, 0), woken)
        if entry[0] <= self._monotonic:
            await asyncio.sleep(0)
            woken.set()
        self._sleepers.append(entry)
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(woken.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._sleepers.remove(entry)
        rang = event.is_set()
        event.clear()
        return rang
