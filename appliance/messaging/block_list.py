"""The block list: of each client, and of the whole box."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.context import Context
from appliance.core.i18n import _
from appliance.domain import validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.schemas import BlockBody
from appliance.domain.views import BlockedNumber, Caller
from appliance.store import blocklist, dashboard
from appliance.store.rows import BlockedRow

EVERY_CLIENT = 0  # the tenant of entries that hold for all clients


class BlockList:
    """Numbers that get no messages: of a caller, and of every client."""

    def __init__(self, box: Context) -> None:
        self._box = box

    async def listed(self, caller: Caller) -> tuple[BlockedNumber, ...]:
        """Return what a client blocked, or opted out from it, and what is blocked for all."""
        rows = await self._box.db.read(blocklist.listed, caller.tenant)
        return tuple(_entry(row) for row in rows)

    async def block(self, caller: Caller, order: BlockBody) -> BlockedNumber:
        """Block a number for a client."""
        return _entry(await self._add(caller.tenant, order.number, order.reason or "", "api"))

    async def unblock(self, caller: Caller, number: str) -> None:
        """Take a number off a client's list.

        Raises KEY_NOT_ALLOWED for one that is blocked for every client, NOT_FOUND for any other.
        """
        await self._box.db.write(_unblock, caller.tenant, number, self._box.clock.now())

    # --- for the owner of the box --------------------------------------------------------------------

    async def all(self) -> list[tuple[BlockedRow, str]]:
        """Return the lists of all clients, each entry with the name of its client."""
        return await self._box.db.read(dashboard.blocked)

    async def block_for_all(self, number: str, reason: str) -> None:
        """Block a number, in national form as well, for every client. Raises INVALID_PHONE_NUMBER."""
        numbers = self._box.numbers.with_national()
        number = numbers.read(number, short_codes=True, field="number")
        label = validation.line(reason.strip(), "reason", 200) if reason.strip() else ""
        await self._add(EVERY_CLIENT, number, label, "page")

    async def take_off(self, tenant: int, number: str) -> None:
        """Take a number off one list, if it is there."""
        await self._box.db.write(blocklist.take_off, tenant, number)

    async def _add(self, tenant: int, number: str, reason: str, source: str) -> BlockedRow:
        return await self._box.db.write(
            blocklist.add, tenant, number, reason, source, self._box.clock.now()
        )


def _unblock(db: Connection, tenant: int, number: str, now: int) -> None:
    """Look and remove in one transaction: another request may block the number in between."""
    if blocklist.remove(db, tenant, number, now):
        return
    if blocklist.is_blocked(db, tenant, number):
        raise ApiError("KEY_NOT_ALLOWED", {"reason": "owner"})
    raise invalid("number", _("is not on the block list"), "NOT_FOUND")


def _entry(row: BlockedRow) -> BlockedNumber:
    return BlockedNumber(
        number=row.number,
        reason=row.reason or None,
        source=row.source,
        created_at=validation.utc(row.created_at),
    )
