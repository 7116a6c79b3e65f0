"""Wait in a test's own loop until something holds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

HANG_SECONDS = 120.0  # after which a test says what did not happen; never waited in full
POLL_SECONDS = 0.002

T = TypeVar("T")


@overload
async def eventually(look: Callable[[], Awaitable[T]], what: str) -> T: ...
@overload
async def eventually(look: Callable[[], T], what: str) -> T: ...
async def eventually(look: Callable[[], object], what: str) -> object:
    """Return what `look` finds as soon as it finds something. AssertionError if it never does."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                seen = look()
                found = await seen if inspect.isawaitable(seen) else seen
                if found:
                    return found
                await asyncio.sleep(POLL_SECONDS)  # the one poll of the suite
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None
