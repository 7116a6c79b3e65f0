"""Keys cached in memory are never older than the store."""

from __future__ import annotations

import pytest

from appliance.clients.credentials import Credentials
from appliance.domain.views import Permissions
from appliance.store import clients, devices
from appliance.store.database import Database, beside
from tests.appliance.conftest import START


@pytest.fixture
async def key(db: Database) -> clients.NewKey:
    return await db.write(clients.add_key, 1, START)


async def test_a_key_that_the_command_line_revokes_is_refused_at_once(
    db: Database, key: clients.NewKey
) -> None:
    credentials = Credentials(db)
    found = credentials.key(key.key)
    assert found is not None and found.usable
    beside(db.path, lambda connection: clients.revoke(connection, key.id, START))
    found = credentials.key(key.key)
    assert found is not None and not found.usable


async def test_every_change_of_a_key_or_its_client_takes_effect_at_once(
    db: Database, key: clients.NewKey
) -> None:
    credentials = Credentials(db)
    assert credentials.key(key.key) is not None
    await db.write(clients.set_permissions, key.id, Permissions(read=False))
    found = credentials.key(key.key)
    assert found is not None and not found.permissions.read
    await db.write(clients.disable, 1, START)
    found = credentials.key(key.key)
    assert found is not None and not found.usable
    await db.write(clients.enable, 1)
    found = credentials.key(key.key)
    assert found is not None and found.usable
    await db.write(clients.erase, 1, START)
    found = credentials.key(key.key)
    assert found is None or not found.usable


async def test_a_key_made_later_and_a_modem_assigned_later_are_known(db: Database) -> None:
    credentials = Credentials(db)
    assert credentials.key("zs_live_unknown") is None
    assert credentials.devices(1, test=False) == []
    made = await db.write(clients.add_key, 1, START)
    device = await db.write(devices.known, "350000000000001", "", False, START)
    assert credentials.key(made.key) is not None
    assert [row.id for row in credentials.devices(1, test=False)] == [device.id]
    await db.write(devices.assign, device.id, [2])
    assert credentials.devices(1, test=False) == []


async def test_using_a_key_does_not_invalidate_the_cached_keys(
    db: Database, key: clients.NewKey
) -> None:
    before = db.read_now(clients.access_version)
    await db.write(clients.used, key.id, START)
    assert db.read_now(clients.access_version) == before
