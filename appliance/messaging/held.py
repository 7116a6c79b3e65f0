"""Messages held after a restore: shown to the owner, and sent or dropped as the owner decides."""

from __future__ import annotations

from appliance.context import Context
from appliance.store import held
from appliance.store.held import Decision
from appliance.store.rows import HeldRow

STEP = 200  # messages in one transaction


class HeldMessages:
    """What waits for the owner's decision. Decisions are in the store; `carry_out` does what they say."""

    def __init__(self, box: Context) -> None:
        self._box = box

    async def listed(self, most: int, skipped: int = 0) -> tuple[int, list[HeldRow]]:
        """Return how many messages wait for a decision, and at most `most` of them, the oldest first."""
        return await self._box.db.read(
            lambda db: (held.undecided(db), held.listed(db, most, skipped))
        )

    async def decide(self, decision: Decision, number: int | None = None) -> int:
        """Decide about one message, or about all (None), and carry it out. Return how many it concerns."""
        concerned = await self._box.db.write(held.decide, decision, number)
        await self.carry_out()
        return concerned

    async def carry_out(self) -> None:
        """Do what was decided, perhaps by the command line."""
        box = self._box
        lifetime_ms = round(box.config.queue.lifetime_hours * 3_600_000)
        while await box.db.write(held.carry_out, box.ids, lifetime_ms, box.clock.now(), STEP):
            box.wakeups.work()
            box.wakeups.housekeeping.set()
            box.wakeups.changed()
