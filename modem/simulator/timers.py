"""Timers that belong to something and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Calls to come. `cancel` drops them all: what is switched off does nothing any more."""

    def __init__(self) -> None:
        self._open: set[asyncio.TimerHandle] = set()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in so many seconds; at once, in this very turn, if that is none."""
        if seconds <= 0:
            call()
            return
        self.later(seconds, call)

    def later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Run `call` in so many seconds, never in this turn of the loop."""

        def run() -> None:
            self._open.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._open.add(handle)
        return handle

    def drop(self, handle: asyncio.TimerHandle | None) -> None:
        """Forget one of them."""
        if handle is not None:
            handle.cancel()
            self._open.discard(handle)

    def cancel(self) -> None:
        """Forget them all."""
        for handle in self._open:
            handle.cancel()
        self._open.clear()
