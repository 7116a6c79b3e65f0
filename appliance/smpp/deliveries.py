"""What goes to engines: receipts and received texts, from committed rows until an engine has confirmed them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from appliance.context import Context
from appliance.domain import ids
from appliance.domain.message_state import MessageState
from appliance.store import smpp

# A receipt whose time is further ahead than this comes from a clock that has been set back since.
AHEAD_MS = 60_000
# Confirmed deliveries are removed with the next commit, or after this time.
REMOVED_WITHIN_SECONDS = 0.2


class EngineReceipt(msgspec.Struct, frozen=True):
    """The state of a submission, for its engine."""

    id: int
    submission: int
    message_id: str
    state: MessageState
    error: int
    addresses: str
    submitted_at: int
    at: int


class EngineText(msgspec.Struct, frozen=True):
    """A received text; `to` is the number of the SIM, empty if it is not known."""

    id: int
    sender: str
    to: str
    text: str


EngineDelivery = EngineReceipt | EngineText


class EngineDeliveries:
    """Reads what waits for the engines of a client, and removes what they have confirmed."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self._confirmed: set[int] = set()  # and not removed yet
        self._removing: asyncio.Task[None] | None = None
        self.delivered = self.refused = 0  # since the start, for /metrics

    @property
    def hold_seconds(self) -> float:
        """How long a receipt waits, so that the engine knows the id."""
        return self._box.config.smpp.receipt_seconds

    async def due(
        self, tenant: int, under_way: Collection[int], most: int, *, texts: bool
    ) -> tuple[list[EngineDelivery], bool]:
        """Return the oldest deliveries of a client that are not under way; with `texts` received ones too.

        And whether there are receipts that are held for a moment.
        """
        now = self._box.clock.now()
        before = now - round(self.hold_seconds * 1000)
        # As of before the read: what is removed while it runs is still in it.
        skipped = {*under_way, *self._confirmed}
        rows, held = await self._box.db.read(
            smpp.deliveries,
            tenant,
            texts=texts,
            before=before,
            after=now + AHEAD_MS,
            most=most + len(skipped),
        )
        found: list[EngineDelivery] = []
        for row in rows:
            if row.id in skipped:
                continue
            one = _delivery(row)
            if one is not None:
                found.append(one)
            else:  # its submission or text was removed
                self.confirm(row.id)
        return found[:most], held

    def confirm(self, number: int) -> None:
        """Note that an engine has taken a delivery, or refuses it for good."""
        self._confirmed.add(number)
        if self._removing is None or self._removing.done():
            self._removing = asyncio.create_task(self._remove())

    async def _remove(self) -> None:
        while self._confirmed:
            taken = tuple(self._confirmed)
            await self._box.db.write_lazily(REMOVED_WITHIN_SECONDS, smpp.delivered, taken)
            self._confirmed.difference_update(taken)

    async def close(self) -> None:
        """Remove what was confirmed."""
        if self._removing is not None:
            await self._removing


def _delivery(row: smpp.EngineDeliveryRow) -> EngineDelivery | None:
    if row.submission is not None and row.addresses is not None:
        return EngineReceipt(
            id=row.id,
            submission=row.submission,
            message_id=ids.message_id(row.submission),
            state=MessageState(row.state or MessageState.UNKNOWN),
            error=row.error or 0,
            addresses=row.addresses,
            submitted_at=row.submitted_at or row.at,
            at=row.at,
        )
    if row.sender is not None and row.body is not None:
        return EngineText(row.id, row.sender, row.phone_number or "", row.body)
    return None
