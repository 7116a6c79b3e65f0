"""The admin's services without HTTP: concurrent changes, and data of an older box."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.admin.preferences import AdminPreferences, Preferences
from appliance.context import Context
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.store import admin as table
from appliance.store import archive
from appliance.store.database import Database
from tests.manual_clock import ManualClock


@pytest.fixture
async def box(db: Database, tmp_path: Path) -> Context:
    ids = await db.read(archive.marks)
    return Context(Config(), ManualClock(), db, ids, Encryption(tmp_path / "secret.key"))


@pytest.fixture
def preferences(box: Context) -> AdminPreferences:
    return AdminPreferences(box)


async def test_two_concurrent_forms_are_both_stored(
    box: Context, preferences: AdminPreferences
) -> None:
    await asyncio.gather(
        preferences.change(language="en"),
        preferences.change(time_zone="America/Montreal", own_number="+15145550123"),
        preferences.change(welcomed=True),
    )
    wanted = Preferences("en", "America/Montreal", "+15145550123", welcomed=True)
    assert preferences.current == wanted
    assert await box.db.read(table.setting, "preferences", Preferences) == wanted


async def test_an_unknown_stored_time_zone_does_not_prevent_the_start(
    box: Context, preferences: AdminPreferences
) -> None:
    """A backup of a box with other zones, or a release that has fewer."""
    kept = Preferences("en", "Mars/Phobos", "+33612345678", welcomed=True)
    await box.db.write(table.keep, "preferences", kept)
    await preferences.start()
    assert str(box.zone) == "Europe/Paris"
    assert (preferences.current.language, preferences.current.welcomed) == ("en", True)
