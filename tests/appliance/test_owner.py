"""The owner's side without HTTP: what is asked at the same moment, and what an older box has kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.box import Box
from appliance.clock import ManualClock
from appliance.config import Config
from appliance.devices import Devices
from appliance.gateway import Gateway
from appliance.intake import Intake
from appliance.owner import Owner, Preferences
from appliance.store import archive
from appliance.store import owner as table
from appliance.store.database import Database
from appliance.vault import Vault
from appliance.webhooks import Webhooks


@pytest.fixture
async def owner(db: Database, tmp_path: Path) -> AsyncIterator[Owner]:
    ids = await db.read(archive.marks)
    box = Box(Config(), ManualClock(), db, ids, Vault(tmp_path / "secret.key"))

    async def receive(_: object, __: object) -> None:
        raise AssertionError("no modem is attached")

    devices, webhooks = Devices(box, tmp_path, receive), Webhooks(box)
    yield Owner(box, devices, Gateway(box, devices, Intake(box, devices), webhooks))
    await webhooks.close()


async def test_two_forms_at_the_same_moment_are_both_kept(owner: Owner) -> None:
    await asyncio.gather(
        owner.prefer(language="en"),
        owner.prefer(time_zone="America/Montreal", own_number="+15145550123"),
        owner.prefer(welcomed=True),
    )
    wanted = Preferences("en", "America/Montreal", "+15145550123", welcomed=True)
    assert owner.preferences == wanted
    assert await owner.box.db.read(table.setting, "preferences", Preferences) == wanted


async def test_a_time_zone_that_this_box_does_not_know_does_not_keep_it_from_starting(
    owner: Owner,
) -> None:
    """A backup of a box with other zones, or a release that has fewer."""
    kept = Preferences("en", "Mars/Phobos", "+33612345678", welcomed=True)
    await owner.box.db.write(table.keep, "preferences", kept)
    await owner.start()
    assert str(owner.box.zone) == "Europe/Paris"
    assert (owner.preferences.language, owner.preferences.welcomed) == ("en", True)
