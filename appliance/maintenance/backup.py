"""Backup and restore of a data folder. A backup does not contain the encryption key."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import itertools
import json
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance import __version__
from appliance.core import config
from appliance.core.durable import sync
from appliance.core.lock import DataLock
from appliance.store import held
from appliance.store.database import (
    StorageFull,
    beside,
    expected_objects,
    schema_objects,
)

DATABASE = "zimbox.db"
SETTINGS = "zimbox.toml"
MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_MOST, SETTINGS_MOST = 64 << 10, 1 << 20  # bytes
READ_MOST = 4 << 20  # bytes at once; contents are copied in smaller pieces
PADDING_MOST = 1 << 20  # bytes; tar pads to 10 KiB

# Folders of a restore: checked, staged for the next start, previous data; and the reason of a failure.
CHECKED, WAITING, BEFORE = "restore-checked", "restore-waiting", "before"
FAILED = "restore-failed"
ASIDE = "before-restore-"
KEPT = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", SETTINGS)
OWN = (*KEPT, "secret.key", "setup-code", "pin.json")  # a backup must not overwrite them

Fault = Literal["damaged", "newer", "settings", "no_space"]
Report = Callable[[float], object]  # is given the share that is done, 0 to 1


def _unreported(_share: float) -> None:
    """Nobody wants to know how far it is."""


# Errors from reading a file that is not a backup.
_NONE_OF_OURS = (tarfile.TarError, ValueError, OverflowError, MemoryError, EOFError, zlib.error)


class BackupError(Exception):
    """This box cannot use the backup; `code` says why. Nothing was changed."""

    def __init__(self, code: Fault, words: str) -> None:
        super().__init__(words)
        self.code = code


def size(data: Path) -> int:
    """Return the size of what a backup contains, in bytes."""
    return sum((data / name).stat().st_size for name in KEPT if (data / name).exists())


class _Counted(io.BufferedReader):
    """A file that reports how much of it has been read."""

    def __init__(self, file: Path, report: Report) -> None:
        super().__init__(io.FileIO(file))
        self._size = max(file.stat().st_size, 1)
        self._report = report

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._report(min(self.tell() / self._size, 1.0))
        return found


def save(data: Path, target: Path, report: Report = _unreported) -> int:
    """Write a consistent backup, also of a running box. Return its size in bytes.

    `report` is called with the share of the database that is compressed, which takes nearly all of the time.

    The key that protects waiting one-time passwords is not included: a restored box cannot send those.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        copy = Path(folder) / DATABASE
        uri = f"{(data / DATABASE).absolute().as_uri()}?mode=ro"
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as destination,
        ):
            source.backup(destination)
            version: int = destination.execute("PRAGMA user_version").fetchone()[0]
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "schema": version,
            "at": int(time.time()),
        }
        partial = Path(folder) / "backup"
        with tarfile.open(
            partial, "w:gz", dereference=True
        ) as archive:  # the settings may be a link
            text = json.dumps(manifest).encode()
            entry = tarfile.TarInfo(MANIFEST)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
            with _Counted(copy, report) as counted:
                archive.addfile(archive.gettarinfo(copy, DATABASE), counted)
            if (data / SETTINGS).exists():
                archive.add(data / SETTINGS, SETTINGS)
        partial.chmod(0o600)
        sync(partial)
        partial.replace(target)
    return target.stat().st_size


# --- restore: check, stage, swap, settle or give back ---------------------------------------------


class BackupManifest(msgspec.Struct, frozen=True):
    """The manifest of a backup."""

    format: int
    version: str
    schema: int
    at: Annotated[int, Meta(ge=0, le=100_000_000_000)]  # seconds; a representable date


class Checked(msgspec.Struct, frozen=True):
    """The contents of a checked, unpacked backup."""

    version: str
    at: int  # seconds
    messages: int
    clients: int
    settings: bool
    held: int = 0  # messages that wait for the owner's decision once it is restored


def check(
    file: Path,
    fresh: Path,
    *,
    newest_schema: int,
    room: int | None = None,
    report: Report = _unreported,
) -> Checked:
    """Unpack a backup into the new folder `fresh`, sync it, and open it as a start would.

    Its queued messages are held there: nobody knows which of them were sent after the backup.
    `room` is how many bytes may be written. `report` is called with the share of the file that is unpacked. Raises
    BackupError.
    """
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    try:
        with (
            _Counted(file, report) as packed,
            _Unzipped(fileobj=packed) as stream,
            tarfile.open(fileobj=stream, mode="r:") as archive,
        ):
            _unpack(archive, fresh, shutil.disk_usage(fresh).free if room is None else room)
            _read_to_checksum(stream)
        if not (fresh / DATABASE).exists():
            raise BackupError("damaged", f"{file} is no whole backup: it has no database")
        manifest = msgspec.json.decode((fresh / MANIFEST).read_bytes(), type=BackupManifest)
        with contextlib.closing(sqlite3.connect(fresh / DATABASE)) as database:
            (state,) = database.execute("PRAGMA integrity_check").fetchone()
            own = database.execute("PRAGMA user_version").fetchone()[0]
        schema = max(manifest.schema, own)
        if manifest.format != FORMAT or own < 0:
            state = "its format is none that there is"
        if state != "ok":
            raise BackupError("damaged", f"{file} is no whole backup: {state}")
        if schema > newest_schema:
            raise BackupError(
                "newer",
                f"{file} was made by ZimBox {manifest.version}, which is newer than this one",
            )
        if foreign := _foreign_objects(fresh / DATABASE, own):
            raise BackupError("damaged", f"{file} is no whole backup: its database has {foreign}")
        beside(fresh / DATABASE, held.hold_queued, time.time_ns() // 1_000_000)
        messages, clients, held_messages = beside(fresh / DATABASE, _counted)
        if (fresh / SETTINGS).exists():
            config.load(fresh / SETTINGS)
    except config.ConfigError as error:
        raise BackupError("settings", f"the settings in {file} cannot be used: {error}") from None
    except StorageFull as error:
        raise BackupError("no_space", f"{file} does not fit: {error}") from None
    except OSError as error:
        code: Fault = "no_space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "damaged"
        raise BackupError(code, f"{file} is no whole backup: {error}") from None
    except (*_NONE_OF_OURS, sqlite3.Error) as error:
        raise BackupError("damaged", f"{file} is no whole backup: {error}") from None
    for name in (DATABASE, SETTINGS):
        if (fresh / name).exists():
            sync(fresh / name)
    sync(fresh)
    settings = (fresh / SETTINGS).exists()
    return Checked(manifest.version, manifest.at, messages, clients, settings, held_messages)


def _foreign_objects(file: Path, version: int) -> str:
    """Return which triggers, views and tables a database has beside (or instead of) its schema's; "" for none.

    A trigger would run with the box's own statements.
    """
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
        found = schema_objects(db)
    differing = sorted(name for _, name, _, _ in found ^ expected_objects(version))
    return ", ".join(repr(name) for name in differing[:5])


def _counted(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Messages, clients, and messages held for the owner's decision."""
    found: tuple[int, int] = db.execute(
        "SELECT (SELECT COUNT(*) FROM message) + (SELECT COUNT(*) FROM history), "
        "(SELECT COUNT(*) FROM client WHERE deleted_at IS NULL)"
    ).fetchone()
    return found[0], found[1], held.undecided(db)


def stage(fresh: Path, data: Path) -> None:
    """Stage a checked folder for the next start (see `on_trial`)."""
    shutil.rmtree(data / WAITING, ignore_errors=True)
    (data / FAILED).unlink(missing_ok=True)
    fresh.rename(data / WAITING)
    sync(data)


def waits(data: Path) -> bool:
    """Return whether a restore is staged and not settled."""
    return (data / WAITING).is_dir()


def swap(data: Path) -> None:
    """Put the staged restore in place. The caller holds the lock.

    After an interruption, calling it again completes it. The rename of the database is the decisive step.
    """
    waiting, before = data / WAITING, data / WAITING / BEFORE
    if (waiting / DATABASE).exists():
        before.mkdir(mode=0o700, exist_ok=True)
        for name in KEPT:
            if (
                before / name
            ).exists():  # moved by an interrupted run; this file is not the previous one
                (data / name).unlink(missing_ok=True)
            elif (data / name).exists():
                (data / name).rename(before / name)
        sync(before)
        sync(data)
        # The checked database has no write-ahead log: closing it has merged the log.
        (waiting / DATABASE).rename(data / DATABASE)
    if (waiting / SETTINGS).exists():
        (waiting / SETTINGS).rename(data / SETTINGS)
    sync(data)


def settle(data: Path) -> Path | None:
    """Confirm a restore: the box runs on it. Keep the previous data as `before-restore-…`."""
    waiting, aside = data / WAITING, None
    if (waiting / BEFORE).is_dir():
        aside = _free(data / f"{ASIDE}{time.strftime('%Y%m%d-%H%M%S')}")
        (waiting / BEFORE).rename(aside)
        sync(data)
    if waits(data) and not (waiting / DATABASE).exists():  # otherwise the next start uses it
        shutil.rmtree(waiting)
        sync(data)
    return aside


def _free(folder: Path) -> Path:
    """Return a free name: two restores may end in the same second."""
    others = (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2))
    return folder if not folder.exists() else next(f for f in others if not f.exists())


def give_back(data: Path, why: str) -> None:
    """Undo a restore on which the box does not start. The caller holds the lock.

    After an interruption the next start completes it (`on_trial`): the reason is written first, and restored
    files are removed only while the restored database is in place.
    """
    before = data / WAITING / BEFORE
    (data / FAILED).write_text(why, "utf-8")
    sync(data / FAILED)
    sync(data)
    if (before / DATABASE).exists():
        for name in KEPT[1:]:
            (data / name).unlink(missing_ok=True)
        sync(data)
        (before / DATABASE).rename(data / DATABASE)
    for name in KEPT[1:]:
        if (before / name).exists():
            (before / name).rename(data / name)
    sync(data)
    shutil.rmtree(data / WAITING)
    sync(data)


@contextlib.contextmanager
def on_trial(data: Path) -> Iterator[None]:
    """Wrap a start: swap in a staged restore, and undo it if the start fails before settling it.

    Raises DataInUse.
    """
    if waits(data) and (data / FAILED).exists():  # undoing it was interrupted
        with DataLock(data).held():
            give_back(data, (data / FAILED).read_text("utf-8"))
    if not waits(data):
        yield
        return
    with DataLock(data).held():
        swap(data)
    try:
        yield
    except BaseException as error:
        if waits(data):
            with DataLock(data).held():
                give_back(data, str(error) or type(error).__name__)
        raise


def restore(
    file: Path, data: Path, newest_schema: int, report: Report = _unreported
) -> tuple[Path, Checked]:
    """Replace the contents of the data folder with a backup. The caller holds its lock.

    Return where the previous data is kept, and what the backup has. `report` is called with the share of the
    file that is unpacked. Raises BackupError without having changed anything.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = data / CHECKED
    try:
        checked = check(file, fresh, newest_schema=newest_schema, report=report)
        if waits(data):  # interrupted or staged: complete it first, it may hold the only data
            if (data / FAILED).exists():
                give_back(data, (data / FAILED).read_text("utf-8"))
            else:
                swap(data)
                settle(data)
        stage(fresh, data)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    swap(data)
    aside = settle(data)
    assert aside is not None, "a swap leaves what was there"
    return aside, checked


def kept_aside(data: Path) -> list[tuple[Path, int]]:
    """Return the data kept by earlier restores, each with its size in bytes."""
    return [
        (folder, sum(file.stat().st_size for file in folder.iterdir()))
        for folder in sorted(data.glob(f"{ASIDE}*"))
    ]


class _Unzipped(gzip.GzipFile):
    """A compressed file that is read in pieces: tarfile reads an extended header into memory as a whole."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > READ_MOST:
            raise tarfile.ReadError("a header of it is larger than any of a backup")
        return super().read(size)


def _read_to_checksum(stream: _Unzipped) -> None:
    """Read to the end, where gzip compares the checksum. Raises ReadError if more than padding follows."""
    if len(stream.read(PADDING_MOST)) == PADDING_MOST:
        raise tarfile.ReadError("more follows its end")


def _unpack(archive: tarfile.TarFile, folder: Path, room: int) -> None:
    """Unpack the three known members of a backup. Raises ReadError if it has any other."""
    left = {MANIFEST: MANIFEST_MOST, SETTINGS: SETTINGS_MOST, DATABASE: None}
    for member in archive:
        if member.name not in left or not member.isfile():
            raise tarfile.ReadError(f"it contains {member.name!r}")
        most = left.pop(member.name)
        if most is not None and member.size > most:
            raise tarfile.ReadError(f"{member.name} is larger than any of a backup")
        if member.size > room:
            raise OSError(errno.ENOSPC, f"{member.size >> 20} MiB are needed")
        room -= member.size
        content = archive.extractfile(member)
        assert content is not None, "a regular file has content"
        with (folder / member.name).open("wb") as out:
            (folder / member.name).chmod(0o600)
            shutil.copyfileobj(content, out)
