"""Clients and their keys in the owner's hands."""

from __future__ import annotations

from sqlite3 import Connection

from appliance.admin.preferences import AdminPreferences
from appliance.context import Context
from appliance.core.i18n import _
from appliance.domain import validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.views import Permissions
from appliance.store import clients
from appliance.store.clients import NewClient, NewKey
from appliance.store.rows import ClientRow, KeyRow

FIRST_CLIENT = _("My business")


class AdminClients:
    """Creates and restricts clients and keys."""

    def __init__(self, box: Context, preferences: AdminPreferences) -> None:
        self._box = box
        self._preferences = preferences

    async def listed(self) -> list[ClientRow]:
        return await self._box.db.read(clients.clients)

    async def keys(self) -> list[KeyRow]:
        return await self._box.db.read(clients.keys)

    async def check_enabled(self, client: int) -> None:
        """Raise INVALID_REQUEST for a client that is disabled: what it queues would wait."""
        row = await self._box.db.read(clients.client, client)
        if row is None or row.disabled_at is not None:
            raise no_client()

    async def first(self) -> int:
        """Return the first client, created if there is none."""

        def work(db: Connection) -> int:
            found = clients.clients(db)
            if found:
                return found[0].id
            name = FIRST_CLIENT.typeset(self._preferences.language)
            return clients.add_client(db, name, self._box.clock.now()).id

        return await self._box.db.write(work)

    async def add(self, name: str) -> NewClient:
        """Create a client. Raises INVALID_REQUEST."""
        name = validation.line(name.strip(), "name", 80)
        return await self._box.db.write(clients.add_client, name, self._box.clock.now())

    async def add_key(
        self,
        client: int,
        name: str,
        *,
        test: bool,
        permissions: Permissions,
        smpp: bool = False,
    ) -> NewKey:
        """Create a key, or a password for SMPP; only this answer has it. Raises INVALID_REQUEST."""
        label = validation.line(name.strip(), "name", 80) if name.strip() else ""
        permissions = validation.permissions(permissions, self._box.numbers.with_national())

        def work(db: Connection) -> NewKey:
            if clients.client(db, client) is None:
                raise no_client()
            return clients.add_key(
                db,
                client,
                self._box.clock.now(),
                test=test,
                smpp=smpp,
                name=label,
                permissions=permissions,
            )

        return await self._box.db.write(work)

    async def restrict(self, key: int, permissions: Permissions) -> None:
        """Replace the permissions of a key. Raises NOT_FOUND, INVALID_REQUEST."""
        permissions = validation.permissions(permissions, self._box.numbers.with_national())
        if not await self._box.db.write(clients.set_permissions, key, permissions):
            raise ApiError("NOT_FOUND")

    async def revoke(self, key: int, *, cancel_queued: bool) -> None:
        """Revoke a key for good, and cancel its queued messages if asked."""
        await self._box.db.write(
            clients.revoke, key, self._box.clock.now(), cancel_queued=cancel_queued
        )


def no_client() -> ApiError:
    """Return the refusal of a client that cannot be used."""
    return invalid("client", _("is disabled or no longer there"))
