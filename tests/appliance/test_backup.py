"""A backup of a running box becomes another box."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import backup
from appliance.backup import BackupError
from appliance.store import archive, clients
from appliance.store.database import Database, schema_version
from tests.appliance.conftest import START, Stage


async def test_a_backup_of_a_running_box_has_all_it_took(stage: Stage, tmp_path: Path) -> None:
    number = await stage.take()
    size = backup.save(stage.db.path.parent, tmp_path / "box.backup")
    assert size > 0
    other = tmp_path / "other"
    backup.restore(tmp_path / "box.backup", other, schema_version())
    again = await Database.open(other / "zimbox.db")
    try:
        restored = Stage(again, await again.read(archive.marks))
        assert await restored.status(number) == "queued"
    finally:
        await again.close()


async def test_what_was_there_before_a_restore_is_kept_aside(stage: Stage, tmp_path: Path) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    other = tmp_path / "other"
    other.mkdir()
    first = await Database.open(other / "zimbox.db")
    await first.write(clients.add_client, "was here", START)
    await first.close()
    backup.restore(tmp_path / "box.backup", other, schema_version())
    (aside,) = other.glob("before-restore-*")
    assert (aside / "zimbox.db").exists()


@pytest.mark.parametrize("spoil", ["cut", "garbage", "newer"])
async def test_a_bad_backup_changes_nothing(stage: Stage, tmp_path: Path, spoil: str) -> None:
    file = tmp_path / "box.backup"
    backup.save(stage.db.path.parent, file)
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif spoil == "garbage":
        file.write_bytes(b"no backup at all")
    other = tmp_path / "other"
    other.mkdir()
    (other / "zimbox.db").write_bytes(b"what was there")
    newest = 0 if spoil == "newer" else schema_version()
    with pytest.raises(BackupError):
        backup.restore(file, other, newest)
    assert (other / "zimbox.db").read_bytes() == b"what was there"
