"""Uploads by the admin: one at a time, and a failed one does not block the next."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from appliance.admin.maintenance import AdminMaintenance, Busy
from appliance.context import Context
from appliance.core.config import Config, StewardSettings
from appliance.core.encryption import Encryption
from appliance.maintenance import backup
from appliance.maintenance.update import SlotState, try_slot, write_state
from appliance.maintenance.uploads import BACKUP, UPDATE
from appliance.store import archive
from appliance.store.database import Database
from tests.manual_clock import ManualClock


@pytest.fixture
async def maintenance(db: Database, tmp_path: Path) -> AdminMaintenance:
    ids = await db.read(archive.marks)
    (tmp_path / "app").mkdir()
    steward = StewardSettings(str(tmp_path / "steward.sock"), str(tmp_path / "app"))
    return AdminMaintenance(
        Context(Config(steward=steward), ManualClock(), db, ids, Encryption(tmp_path / "key"))
    )


async def test_only_one_file_is_received_at_a_time(maintenance: AdminMaintenance) -> None:
    with maintenance.receiving(UPDATE), pytest.raises(Busy), maintenance.receiving(UPDATE):
        pass
    with maintenance.receiving(UPDATE):
        pass


async def test_a_failed_upload_does_not_block_the_next_one(
    maintenance: AdminMaintenance, tmp_path: Path
) -> None:
    (tmp_path / "incoming").write_text("in the way")
    with pytest.raises(OSError, match="incoming"), maintenance.receiving(UPDATE):
        pass
    (tmp_path / "incoming").unlink()
    with maintenance.receiving(UPDATE) as file:
        assert file.parent.is_dir()


async def test_a_restore_requested_twice_runs_once(
    maintenance: AdminMaintenance, tmp_path: Path
) -> None:
    backup.save(tmp_path, maintenance.incoming.place(BACKUP))
    await maintenance.examine()
    assert await maintenance.restore()
    assert await maintenance.restore(), "a double tap"
    assert backup.waits(tmp_path)


async def test_nothing_is_restored_while_an_update_is_on_trial(
    maintenance: AdminMaintenance, tmp_path: Path
) -> None:
    """The update would take the restore for what the new release has done, or undo it."""
    backup.save(tmp_path, maintenance.incoming.place(BACKUP))
    await maintenance.examine()
    write_state(tmp_path / "app" / "state.json", try_slot(SlotState(), "a"))
    with pytest.raises(Busy):
        await maintenance.restore()
    write_state(tmp_path / "app" / "state.json", SlotState())
    assert await maintenance.restore(), "it is still there"


class Record(dict[Literal["backup", "restore"], float]):
    """A dictionary that also keeps every value that was ever set."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, float]] = []

    def __setitem__(self, task: Literal["backup", "restore"], share: float) -> None:
        self.seen.append((task, share))
        super().__setitem__(task, share)


async def test_the_share_that_is_done_is_known_while_a_backup_is_made_or_checked(
    maintenance: AdminMaintenance,
) -> None:
    record = maintenance.shares = Record()
    file = await maintenance.backup()
    maintenance.incoming.place(BACKUP).write_bytes(file.read_bytes())
    await maintenance.examine()
    for task in ("backup", "restore"):
        shares = [share for name, share in record.seen if name == task]
        assert shares[0] == 0.0 and shares[-1] == 1.0 and shares == sorted(shares)
    assert record == {}, "nothing is under way"
