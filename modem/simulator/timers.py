"""Timers that end with their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Planned calls. `cancel` drops them all."""

    def __init__(self) -> None:
        self._open: set[asyncio.TimerHandle] = set()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` after so many seconds; with 0 seconds, run it now."""
        if seconds <= 0:
            call()
            return
        self.later(seconds, call)

    def later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Run `call` after so many seconds, at the earliest in the loop's next iteration."""

        def run() -> None:
            self._open.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._open.add(handle)
        return handle

    def drop(self, handle: asyncio.TimerHandle | None) -> None:
        """Cancel one call."""
        if handle is not None:
            handle.cancel()
            self._open.discard(handle)

    def cancel(self) -> None:
        """Cancel all calls."""
        for handle in self._open:
            handle.cancel()
        self._open.clear()
