"""Backup of a running box, and restore."""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import sqlite3
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.maintenance import backup
from appliance.maintenance.backup import BackupError
from appliance.store import archive, clients
from appliance.store.database import Database, beside, schema_version
from tests.appliance.conftest import START, Stage


async def test_a_backup_of_a_running_box_contains_every_accepted_message(
    stage: Stage, tmp_path: Path
) -> None:
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


async def test_a_restore_keeps_the_previous_data(stage: Stage, tmp_path: Path) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    other = tmp_path / "other"
    other.mkdir()
    first = await Database.open(other / "zimbox.db")
    await first.write(clients.add_client, "was here", START)
    await first.close()
    backup.restore(tmp_path / "box.backup", other, schema_version())
    (aside,) = other.glob("before-restore-*")
    assert (aside / "zimbox.db").exists()


@pytest.mark.parametrize("cut", range(1, 10))
async def test_repeating_an_interrupted_restore_loses_nothing(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    other = tmp_path / "other"
    other.mkdir()
    first = await Database.open(other / "zimbox.db")
    await first.write(clients.add_client, "was here", START)
    await first.close()
    synced = 0

    def sync(_: Path) -> None:
        nonlocal synced
        synced += 1
        if synced == cut:
            raise KeyboardInterrupt

    monkeypatch.setattr(backup, "sync", sync)
    with contextlib.suppress(KeyboardInterrupt):
        backup.restore(tmp_path / "box.backup", other, schema_version())
    monkeypatch.undo()
    if not (other / "zimbox.db").exists():
        made = CliRunner().invoke(main, ["key", "create", "--data", str(other)])
        assert made.exit_code == 2 and "was interrupted" in made.stderr
    backup.restore(tmp_path / "box.backup", other, schema_version())
    kept = [aside / "zimbox.db" for aside in other.glob("before-restore-*")]
    names = [row.name for file in kept if file.exists() for row in beside(file, clients.clients)]
    assert "was here" in names


async def test_linked_settings_files_are_in_the_backup(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "etc.toml").write_text("rate_limit = 7")
    (stage.db.path.parent / "zimbox.toml").symlink_to(tmp_path / "etc.toml")
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    backup.restore(tmp_path / "box.backup", tmp_path / "other", schema_version())
    assert (tmp_path / "other/zimbox.toml").read_text() == "rate_limit = 7"


async def test_a_backup_with_one_bit_flipped_is_refused_or_is_the_same(
    stage: Stage, tmp_path: Path
) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    whole = (tmp_path / "box.backup").read_bytes()
    fresh = tmp_path / "fresh"
    backup.check(tmp_path / "box.backup", fresh, newest_schema=schema_version())
    meant = (fresh / "zimbox.db").read_bytes()
    for place in range(40, len(whole), len(whole) // 200):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        (tmp_path / "spoilt").write_bytes(spoilt)
        try:
            backup.check(tmp_path / "spoilt", fresh, newest_schema=schema_version())
        except BackupError:
            continue
        assert (fresh / "zimbox.db").read_bytes() == meant  # a bit that says nothing


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


def test_an_endless_header_is_not_a_backup(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 80
    (tmp_path / "file").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)))
    with pytest.raises(BackupError):
        backup.check(tmp_path / "file", tmp_path / "fresh", newest_schema=schema_version())


@pytest.mark.parametrize("at", [10**15, -(10**15)])
async def test_a_backup_made_at_no_time_there_is_is_damaged(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The page that asks whether to take it tells when it was made."""
    with monkeypatch.context() as there:
        there.setattr(backup, "time", SimpleNamespace(time=lambda: at))
        backup.save(stage.db.path.parent, tmp_path / "box.backup")
    with pytest.raises(BackupError, match="whole backup"):
        backup.check(tmp_path / "box.backup", tmp_path / "fresh", newest_schema=schema_version())


class PowerCut(BaseException):
    """The power goes; nothing after it is done."""


def _names(data: Path) -> list[str]:
    """The clients of the box in this folder."""
    rows = beside(data / "zimbox.db", clients.clients)
    return [row.name for row in rows]


async def _a_box_and_a_checked_backup_of_another(stage: Stage, tmp_path: Path) -> Path:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    data = tmp_path / "other"
    data.mkdir()
    beside(data / "zimbox.db", lambda db: clients.add_client(db, "was here", START))
    (data / "zimbox.toml").write_text("rate_limit = 7")
    checked = backup.check(
        tmp_path / "box.backup", data / backup.CHECKED, newest_schema=schema_version()
    )
    assert (checked.messages, checked.settings) == (0, False)
    backup.stage(data / backup.CHECKED, data)
    return data


@pytest.mark.parametrize("step", range(1, 4))
async def test_the_next_start_completes_a_restore_after_a_power_cut(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    await stage.db.write(clients.add_client, "from the backup", START)
    data = await _a_box_and_a_checked_backup_of_another(stage, tmp_path)
    assert _names(data) == ["was here"], "nothing is replaced before the start"
    renames = 0
    rename = Path.rename

    def cut(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += 1
        if renames == step:
            raise PowerCut
        return rename(self, target)

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(Path, "rename", cut)
        backup.swap(data)
    with backup.on_trial(data):
        assert "from the backup" in _names(data)
        aside = backup.settle(data)
    assert aside is not None and not backup.waits(data)
    assert (aside / "zimbox.toml").read_text() == "rate_limit = 7"
    assert _names(aside) == ["was here"]


async def test_a_failed_start_on_a_restore_puts_the_previous_data_back(
    stage: Stage, tmp_path: Path
) -> None:
    data = await _a_box_and_a_checked_backup_of_another(stage, tmp_path)
    with pytest.raises(OSError, match="port in use"), backup.on_trial(data):
        assert not (data / "zimbox.toml").exists()
        raise OSError("port in use")
    assert _names(data) == ["was here"]
    assert (data / "zimbox.toml").read_text() == "rate_limit = 7"
    assert (data / backup.FAILED).read_text() == "port in use"
    with backup.on_trial(data):
        assert _names(data) == ["was here"]


@pytest.mark.parametrize("step", range(1, 8))
async def test_the_next_start_completes_a_roll_back_after_a_power_cut(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    await stage.db.write(clients.add_client, "from the backup", START)
    data = await _a_box_and_a_checked_backup_of_another(stage, tmp_path)
    (data / "zimbox.db-wal").touch()
    backup.swap(data)
    left = step

    def cut_before(real: Callable[..., Any]) -> Callable[..., Any]:
        def done(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                raise PowerCut
            return real(*arguments, **named)

        return done

    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(Path, "unlink", cut_before(Path.unlink))
        patched.setattr(Path, "rename", cut_before(Path.rename))
        patched.setattr(shutil, "rmtree", cut_before(shutil.rmtree))
        backup.give_back(data, "it did not start")
    with backup.on_trial(data):
        assert not backup.waits(data)
        assert (data / "zimbox.toml").read_text() == "rate_limit = 7"
        assert (data / "zimbox.db-wal").exists()
        assert _names(data) == ["was here"]
    assert (data / backup.FAILED).read_text() == "it did not start"


async def test_a_restore_that_was_cut_off_on_trial_is_tried_again(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.db.write(clients.add_client, "from the backup", START)
    data = await _a_box_and_a_checked_backup_of_another(stage, tmp_path)
    with backup.on_trial(data):
        pass  # stopped before anybody settled it
    assert backup.waits(data)
    with backup.on_trial(data):
        assert "from the backup" in _names(data)


async def test_a_restore_that_was_cut_off_while_it_was_settled_is_settled_by_the_next_start(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed on trial for ever: a start that failed months later said that the restore had."""
    data = await _a_box_and_a_checked_backup_of_another(stage, tmp_path)

    def cut(_: Path) -> None:
        raise PowerCut

    backup.swap(data)
    with monkeypatch.context() as patched, pytest.raises(PowerCut):
        patched.setattr(shutil, "rmtree", cut)
        backup.settle(data)
    with backup.on_trial(data):
        backup.settle(data)
    assert not backup.waits(data)
    assert len(backup.kept_aside(data)) == 1
    with pytest.raises(OSError, match="port in use"), backup.on_trial(data):
        raise OSError("port in use")
    assert not (data / backup.FAILED).exists()


async def test_a_backup_that_does_not_fit_is_refused_before_it_is_written(
    stage: Stage, tmp_path: Path
) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    with pytest.raises(BackupError) as refused:
        backup.check(
            tmp_path / "box.backup", tmp_path / "fresh", newest_schema=schema_version(), room=10_000
        )
    assert refused.value.code == "no_space"
    assert not (tmp_path / "fresh/zimbox.db").exists()


def forged(whole: Path, target: Path, *more: tuple[str, bytes]) -> None:
    """A copy of a backup with further members."""
    with tarfile.open(whole) as source, tarfile.open(target, "w:gz") as archive:
        for member in source:
            archive.addfile(member, source.extractfile(member))
        for name, content in more:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    "name", ["../zimbox.db", "/etc/passwd", "secret.key", "./zimbox.db", "zimbox.db", "x" * 300]
)
async def test_a_backup_with_another_member_is_refused(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    forged(tmp_path / "box.backup", tmp_path / "forged", (name, b"x"))
    with pytest.raises(BackupError) as refused:
        backup.check(tmp_path / "forged", tmp_path / "fresh", newest_schema=schema_version())
    assert refused.value.code == "damaged"


@pytest.mark.parametrize("where", ["header", "manifest", "database", "end"])
async def test_a_backup_that_unpacks_to_far_more_is_refused(
    stage: Stage, tmp_path: Path, where: str
) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    large = 64 << 20
    entry = tarfile.TarInfo({"manifest": "manifest.json", "database": "zimbox.db"}.get(where, "x"))
    if where == "header":
        entry.type = tarfile.XHDTYPE
    entry.size = large
    with gzip.open(tmp_path / "bomb", "wb") as out:
        if where == "end":
            with gzip.open(tmp_path / "box.backup") as whole:
                shutil.copyfileobj(whole, out)
        else:
            out.write(entry.tobuf())
        for _ in range(large >> 20):
            out.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(BackupError) as refused:
            backup.check(
                tmp_path / "bomb",
                tmp_path / "fresh",
                newest_schema=schema_version(),
                room=large // 2,
            )
        assert tracemalloc.get_traced_memory()[1] < large // 4
    finally:
        tracemalloc.stop()
    assert refused.value.code == ("no_space" if where == "database" else "damaged")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER spy AFTER INSERT ON message BEGIN DELETE FROM history; END",
        "CREATE TABLE more (x)",
        "CREATE VIEW more AS SELECT * FROM message",
        "DROP TRIGGER part_delayed_after",
    ],
)
async def test_a_database_with_a_different_schema_is_refused(
    stage: Stage, tmp_path: Path, statement: str
) -> None:
    with contextlib.closing(sqlite3.connect(stage.db.path)) as db:
        db.execute(statement)
        db.commit()
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    with pytest.raises(BackupError, match="its database has") as refused:
        backup.restore(tmp_path / "box.backup", tmp_path / "other", schema_version())
    assert refused.value.code == "damaged"
    assert not (tmp_path / "other" / "zimbox.db").exists()


async def test_backup_and_restore_tell_how_far_they_are(stage: Stage, tmp_path: Path) -> None:
    saved: list[float] = []
    backup.save(stage.db.path.parent, tmp_path / "box.backup", saved.append)
    restored: list[float] = []
    backup.restore(tmp_path / "box.backup", tmp_path / "other", schema_version(), restored.append)
    for shares in (saved, restored):
        assert shares == sorted(shares) and len(shares) > 1
        assert shares[-1] == 1.0
