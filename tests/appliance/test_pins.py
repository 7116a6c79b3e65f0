"""A PIN typed on the page is kept for the next start, readable to this box alone."""

from __future__ import annotations

from pathlib import Path

from appliance.box import Box
from appliance.clock import ManualClock
from appliance.config import Config, ModemSettings
from appliance.pins import Pins
from appliance.store import archive
from appliance.store.database import Database
from appliance.vault import Vault

PORT = "/dev/ttyAMA0"


async def test_a_kept_pin_completes_its_own_modem_only(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "zimbox.db")
    ids = await db.read(archive.marks)

    def pins(key: str) -> Pins:
        return Pins(Box(Config(), ManualClock(), db, ids, Vault(tmp_path / key)))

    await pins("key").remember(PORT, "4321")
    kept = pins("key")
    assert (await kept.completed(ModemSettings(port=PORT))).pin == "4321"
    assert (await kept.completed(ModemSettings(port=PORT, pin="1111"))).pin == "1111"
    assert (await kept.completed(ModemSettings(port="/dev/ttyUSB2"))).pin == ""
    restored = pins("another key")
    assert (await restored.completed(ModemSettings(port=PORT))).pin == ""
    await db.close()
