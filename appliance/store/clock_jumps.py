"""Clock jumps: when the wall clock is set, times that count from the acceptance of messages move with it.

A board without a clock chip starts in the past. A message accepted before a time server or the network sets the
clock would otherwise seem older than its lifetime, and fail unsent.
"""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

import structlog

from appliance.core.clock import Clock
from appliance.store import admin, attempts, idempotency, messages, otp, received, smpp
from appliance.store.database import Database

log = structlog.get_logger(__name__)

# Smaller changes are drift and slewing, which no lifetime depends on.
STEP_MS = 60_000


class ClockJumps:
    """Detects jumps of the wall clock against the monotonic clock. Call before comparing any deadline."""

    def __init__(self, clock: Clock, db: Database) -> None:
        self._clock = clock
        self._db = db
        self._adjusting = asyncio.Lock()
        self._offset = self._measured()  # of the wall clock to the monotonic clock (ms)
        self.jumps = 0  # the number of jumps applied since the start
        # The total of forward jumps: rows may be younger by this than their times say.
        self._forward_ms = 0
        self._forward_at = 0  # the wall time right after the last one
        # When the last jump back was; one may have preceded the start.
        self._back_at = clock.monotonic()

    def _measured(self) -> int:
        return self._clock.now() - round(self._clock.monotonic() * 1000)

    @property
    def pending(self) -> bool:
        """Whether the clock has jumped and the store is not adjusted yet."""
        return abs(self._measured() - self._offset) >= STEP_MS

    async def adjust(self) -> None:
        """Adjust the store if the clock has jumped. After an error of `Database.write` it is still pending."""
        if not self.pending:
            return
        async with self._adjusting:
            if self.pending:
                offset = self._measured()
                step = offset - self._offset
                moved = await self._db.write(self._move, step)
                self._offset = offset
                self.jumps += 1
                self._forward_ms += max(step, 0)
                if step > 0:
                    self._forward_at = self._clock.now()
                else:
                    self._forward_at += step
                    self._back_at = self._clock.monotonic()
                log.info("clock_jump_applied", by_seconds=round(step / 1000), messages_moved=moved)

    def submitted_too_early(self, window_ms: int) -> tuple[int, int]:
        """Return two times (ms): what was submitted before the first or after the second is older than the window.

        The store keeps the times of submission as they were, because reports match by them. So rows from
        before a jump forward look too old, and rows from before a jump back are in the future.
        """
        now = self._clock.now()
        before = now - window_ms
        if before < self._forward_at:
            before -= self._forward_ms
        late = self._clock.monotonic() - self._back_at >= window_ms / 1000
        return before, now + STEP_MS if late else messages.NEVER

    def _move(self, db: Connection, step: int) -> int:
        otp.move_expiry(db, step)
        idempotency.move(db, step)
        admin.move_sessions(db, step)
        attempts.move_uncertain_windows(db, step)
        received.move_parts(db, step)
        smpp.move(db, step)
        return messages.move_lifetime(db, step)
