"""Supervision of long-running loops: log an exception, wait, restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0  # a loop that fails at once must not occupy the processor
LONGEST_PAUSE_SECONDS = 30.0


async def forever(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run `loop` until it returns; after an exception log it, pause, and run it again."""
    pause = PAUSE_SECONDS
    while True:
        began = time.monotonic()
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except Exception:
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = PAUSE_SECONDS  # it ran well for a while: this is another error
            log.exception("loop_failed", loop=name, again_in_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            return
