"""Backups of a data folder: one file that another box can be made from. Without the vault's key."""

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
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance import __version__, config
from appliance.durable import sync
from appliance.lock import DataLock
from appliance.store.database import StorageFull, beside

DATABASE = "zimbox.db"
SETTINGS = "zimbox.toml"
MANIFEST = "manifest.json"
FORMAT = 1


# Of a restore from the page: checked, handed over for the next start, what was there, what went wrong.
CHECKED, WAITING, BEFORE = "restore-checked", "restore-waiting", "before"
FAILED = "restore-failed"
ASIDE = "before-restore-"
KEPT = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", SETTINGS)
OWN = (*KEPT, "lock", "secret.key", "setup-code", "pin.json")  # no backup goes in their place

Fault = Literal["damaged", "newer", "settings", "no_space"]


# What reading a file that is no backup may raise.
_NONE_OF_OURS = (tarfile.TarError, ValueError, OverflowError, MemoryError, EOFError, zlib.error)


class BackupError(Exception):
    """Not a backup that this box can take; `code` says why. Nothing was changed."""

    def __init__(self, code: Fault, words: str) -> None:
        super().__init__(words)
        self.code = code


def size(data: Path) -> int:
    """Bytes of what a backup takes."""
    return sum((data / name).stat().st_size for name in KEPT if (data / name).exists())


def save(data: Path, target: Path) -> int:
    """Write a consistent copy, also of a running box. Returns its size in bytes.

    The key that protects waiting one-time passwords stays behind: a restored box cannot send those.
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
        ) as archive:  # settings may lie elsewhere
            text = json.dumps(manifest).encode()
            entry = tarfile.TarInfo(MANIFEST)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
            archive.add(copy, DATABASE)
            if (data / SETTINGS).exists():
                archive.add(data / SETTINGS, SETTINGS)
        partial.chmod(0o600)
        sync(partial)
        partial.replace(target)
    return target.stat().st_size


# --- and back: checked, swapped in, on trial, settled --------------------------------------------


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself."""

    format: int
    version: str
    schema: int
    at: Annotated[int, Meta(ge=0, le=100_000_000_000)]  # seconds: a date that can be told


class Checked(msgspec.Struct, frozen=True):
    """A whole backup, unpacked: what would be put in place."""

    version: str
    at: int  # seconds
    messages: int
    clients: int
    settings: bool


def check(file: Path, fresh: Path, *, newest_schema: int, room: int | None = None) -> Checked:
    """Unpack into `fresh` (made anew, on the disk at the end) and open it as a start would.

    Raises BackupError; `room` is how many bytes may be written.
    """
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    try:
        with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            _unpack(archive, fresh, room)
            while stream.read(1 << 20):  # its sum stands behind the last byte
                pass
        if not (fresh / DATABASE).exists():
            raise BackupError("damaged", f"{file} is no whole backup: it has no database")
        manifest = msgspec.json.decode((fresh / MANIFEST).read_bytes(), type=Manifest)
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
        messages, clients = beside(fresh / DATABASE, _counted)
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
    return Checked(manifest.version, manifest.at, messages, clients, (fresh / SETTINGS).exists())


def _counted(db: sqlite3.Connection) -> tuple[int, int]:
    """Messages and clients."""
    found: tuple[int, int] = db.execute(
        "SELECT (SELECT COUNT(*) FROM message) + (SELECT COUNT(*) FROM history), "
        "(SELECT COUNT(*) FROM client WHERE deleted_at IS NULL)"
    ).fetchone()
    return found[0], found[1]


def hand_over(fresh: Path, data: Path) -> None:
    """From now on this checked folder is what the next start begins with: see `on_trial`."""
    shutil.rmtree(data / WAITING, ignore_errors=True)
    (data / FAILED).unlink(missing_ok=True)
    fresh.rename(data / WAITING)
    sync(data)


def waits(data: Path) -> bool:
    """Whether a restore was handed over and has not been settled."""
    return (data / WAITING).is_dir()


def swap(data: Path) -> None:
    """What was handed over in place of what is there; the caller holds the lock.

    Cut off anywhere, the same again ends it: the database's last rename is the moment.
    """
    waiting, before = data / WAITING, data / WAITING / BEFORE
    if (waiting / DATABASE).exists():
        before.mkdir(mode=0o700, exist_ok=True)
        for name in KEPT:
            if (before / name).exists():  # moved by the time before; what lies here is not ours
                (data / name).unlink(missing_ok=True)
            elif (data / name).exists():
                (data / name).rename(before / name)
        sync(before)
        sync(data)
        # Opening it to look has left no log: the copy was closed, and with it its log ended.
        (waiting / DATABASE).rename(data / DATABASE)
    if (waiting / SETTINGS).exists():
        (waiting / SETTINGS).rename(data / SETTINGS)
    sync(data)


def settle(data: Path) -> Path | None:
    """The box runs on what was restored: what was there before is kept as `before-restore-…`."""
    waiting, aside = data / WAITING, None
    if (waiting / BEFORE).is_dir():
        aside = _free(data / f"{ASIDE}{time.strftime('%Y%m%d-%H%M%S')}")
        (waiting / BEFORE).rename(aside)
        sync(data)
    if waits(data) and not (waiting / DATABASE).exists():  # else the next start is to take it
        shutil.rmtree(waiting)
        sync(data)
    return aside


def _free(folder: Path) -> Path:
    """A name that nothing has yet: two restores may end in one second."""
    others = (folder.with_name(f"{folder.name}-{n}") for n in itertools.count(2))
    return folder if not folder.exists() else next(f for f in others if not f.exists())


def give_back(data: Path, why: str) -> None:
    """The box does not start on what was restored: everything as before. The caller holds the lock.

    Cut off anywhere, the next start goes on with it (`on_trial`): the word why is there first, and
    what was restored goes only while its database is still in place.
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
    """Around a start: a restore that waits is swapped in, and given back unless the start settles it.

    Raises DataInUse.
    """
    if waits(data) and (data / FAILED).exists():  # given back, but not to the end
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


def restore(file: Path, data: Path, newest_schema: int) -> Path:
    """Put a backup in place of what the data folder has; the caller holds its lock.

    Raises BackupError, and nothing was changed then. Returns where what was there is kept.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = data / CHECKED
    try:
        check(file, fresh, newest_schema=newest_schema)
        if waits(data):  # cut off, or handed over: to its end first, it may hold all there was
            if (data / FAILED).exists():
                give_back(data, (data / FAILED).read_text("utf-8"))
            else:
                swap(data)
                settle(data)
        hand_over(fresh, data)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    swap(data)
    aside = settle(data)
    assert aside is not None, "a swap leaves what was there"
    return aside


def kept_aside(data: Path) -> list[tuple[Path, int]]:
    """What earlier restores have put aside, each with its size in bytes."""
    return [
        (folder, sum(file.stat().st_size for file in folder.iterdir()))
        for folder in sorted(data.glob(f"{ASIDE}*"))
    ]


def _unpack(archive: tarfile.TarFile, folder: Path, room: int | None) -> None:
    """The three members a backup has, under their own names and nothing else."""
    for member in archive:
        if member.name in (MANIFEST, DATABASE, SETTINGS) and member.isfile():
            if room is not None and member.size > room:
                raise OSError(errno.ENOSPC, f"{member.size >> 20} MiB are needed")
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            with (folder / member.name).open("wb") as out:
                (folder / member.name).chmod(0o600)
                shutil.copyfileobj(content, out)
