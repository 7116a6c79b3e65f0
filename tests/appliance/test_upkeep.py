"""Files that the owner sends: one at a time, and one that failed is in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.box import Box
from appliance.clock import ManualClock
from appliance.config import Config
from appliance.incoming import UPDATE
from appliance.store import archive
from appliance.store.database import Database
from appliance.upkeep import Busy, Upkeep
from appliance.vault import Vault


@pytest.fixture
async def upkeep(db: Database, tmp_path: Path) -> Upkeep:
    ids = await db.read(archive.marks)
    return Upkeep(Box(Config(), ManualClock(), db, ids, Vault(tmp_path / "key")))


async def test_one_file_at_a_time(upkeep: Upkeep) -> None:
    with upkeep.receiving(UPDATE), pytest.raises(Busy), upkeep.receiving(UPDATE):
        pass
    with upkeep.receiving(UPDATE):
        pass


async def test_a_file_that_had_no_place_does_not_keep_the_next_one_out(
    upkeep: Upkeep, tmp_path: Path
) -> None:
    (tmp_path / "incoming").write_text("in the way")
    with pytest.raises(OSError, match="incoming"), upkeep.receiving(UPDATE):
        pass
    (tmp_path / "incoming").unlink()
    with upkeep.receiving(UPDATE) as file:
        assert file.parent.is_dir()
