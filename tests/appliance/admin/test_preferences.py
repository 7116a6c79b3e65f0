"""The owner's side without HTTP: what is asked at the same moment, and what an older box has kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.admin.preferences import Admin, Preferences
from appliance.context import Context
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.devices.manager import Devices
from appliance.gateway import Gateway
from appliance.messaging.intake import Intake
from appliance.store import admin as table
from appliance.store import archive
from appliance.store.database import Database
from appliance.webhooks.dispatcher import Webhooks
from tests.manual_clock import ManualClock


@pytest.fixture
async def owner(db: Database, tmp_path: Path) -> AsyncIterator[Admin]:
    ids = await db.read(archive.marks)
    box = Context(Config(), ManualClock(), db, ids, Encryption(tmp_path / "secret.key"))

    async def receive(_: object, __: object) -> None:
        raise AssertionError("no modem is attached")

    devices, webhooks = Devices(box, tmp_path, receive), Webhooks(box)
    yield Admin(box, devices, Gateway(box, devices, Intake(box, devices), webhooks))
    await webhooks.close()


async def test_two_forms_at_the_same_moment_are_both_kept(owner: Admin) -> None:
    await asyncio.gather(
        owner.prefer(language="en"),
        owner.prefer(time_zone="America/Montreal", own_number="+15145550123"),
        owner.prefer(welcomed=True),
    )
    wanted = Preferences("en", "America/Montreal", "+15145550123", welcomed=True)
    assert owner.preferences == wanted
    assert await owner.box.db.read(table.setting, "preferences", Preferences) == wanted


async def test_a_time_zone_that_this_box_does_not_know_does_not_keep_it_from_starting(
    owner: Admin,
) -> None:
    """A backup of a box with other zones, or a release that has fewer."""
    kept = Preferences("en", "Mars/Phobos", "+33612345678", welcomed=True)
    await owner.box.db.write(table.keep, "preferences", kept)
    await owner.start()
    assert str(owner.box.zone) == "Europe/Paris"
    assert (owner.preferences.language, owner.preferences.welcomed) == ("en", True)
