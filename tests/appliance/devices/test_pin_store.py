"""A PIN typed on the page is stored for the next start, readable by this box alone."""

from __future__ import annotations

from pathlib import Path

from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.pin_store import Pins
from appliance.store import archive
from appliance.store.database import Database
from tests.manual_clock import ManualClock

PORT = "/dev/ttyAMA0"


async def test_a_stored_pin_is_used_for_its_own_modem_only(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    ids = await db.read(archive.marks)

    def pins(key: str) -> Pins:
        return Pins(Context(Config(), ManualClock(), db, ids, Encryption(tmp_path / key)))

    await pins("key").remember(PORT, "4321")
    kept = pins("key")
    assert (await kept.completed(ModemSettings(port=PORT))).pin == "4321"
    assert (await kept.completed(ModemSettings(port=PORT, pin="1111"))).pin == "1111"
    assert (await kept.completed(ModemSettings(port="/dev/ttyUSB2"))).pin == ""
    restored = pins("another key")
    assert (await restored.completed(ModemSettings(port=PORT))).pin == ""
    await db.close()


async def test_a_pin_entered_after_the_configured_one_was_refused_is_used_at_the_next_start(
    tmp_path: Path,
) -> None:
    """A PUK gave the card a new PIN, say: the old one in the settings would cost a try at each start."""
    db = await Database.open(tmp_path / "zimbox.db")
    ids = await db.read(archive.marks)
    configured = ModemSettings(port=PORT, pin="1111")
    config = Config(modem=(configured,))
    pins = Pins(Context(config, ManualClock(), db, ids, Encryption(tmp_path / "key")))
    await pins.remember(PORT, "4321")
    assert (await pins.completed(configured)).pin == "4321"
    changed = ModemSettings(port=PORT, pin="2222")  # by the owner, and later
    assert (await pins.completed(changed)).pin == "2222"
    await db.close()
