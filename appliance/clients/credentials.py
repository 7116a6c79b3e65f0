"""API keys and devices in memory, valid while the store's version of them holds."""

from __future__ import annotations

import msgspec

from appliance.domain.views import Permissions
from appliance.store import clients
from appliance.store import devices as device_table
from appliance.store.database import Database
from appliance.store.rows import DeviceRow, KeyRow


class Key(msgspec.Struct, frozen=True):
    """An API key with the state of its client."""

    id: int
    client: int
    test: bool
    usable: bool  # not revoked, its client neither disabled nor deleted
    expires_at: int | None
    permissions: Permissions


class Credentials:
    """Answers from memory while the store's version of them stands, whoever changes it: box or command line."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._version = -1
        self._keys: dict[bytes, Key] = {}
        self._devices: dict[tuple[int, bool], list[DeviceRow]] = {}
        self._named: dict[tuple[int, str], int | None] = {}

    def key(self, api_key: str) -> Key | None:
        """Return the key with its client's state; None if there is none."""
        return self.by_hash(clients.hashed(api_key))

    def by_hash(self, digest: bytes) -> Key | None:
        """Return the key, or the password for SMPP, of a hash; None if there is none."""
        self._refresh()
        found = self._keys.get(digest)
        if found is None:
            row = self._db.read_now(clients.by_hash, digest)
            if row is None:
                return None  # not kept: anybody may try any number of them
            found = self._keys[digest] = _key(row)
        return found

    def devices(self, client: int, test: bool) -> list[DeviceRow]:
        """Return the devices that a client may use in that mode."""
        self._refresh()
        found = self._devices.get((client, test))
        if found is None:
            found = self._db.read_now(device_table.visible, client, test)
            self._devices[client, test] = found
        return found

    def device(self, client: int, device_id: str) -> int | None:
        """Return the number of the device that a client means by an id or an alias; it may not exist."""
        self._refresh()
        if (client, device_id) not in self._named:
            found = self._db.read_now(device_table.named, client, device_id)
            if found not in {row.id for row in self.devices(client, False)}:
                return found  # not kept: anybody may try any number of them
            self._named[client, device_id] = found
        return self._named[client, device_id]

    def _refresh(self) -> None:
        version = self._db.read_now(clients.access_version)
        if version != self._version:
            self._version = version
            self._keys.clear()
            self._devices.clear()
            self._named.clear()


def _key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        client=row.client,
        test=bool(row.test),
        usable=row.revoked_at is None and row.disabled_at is None and row.deleted_at is None,
        expires_at=row.expires_at,
        permissions=msgspec.json.decode(row.permissions, type=Permissions),
    )
