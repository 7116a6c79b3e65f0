"""Backups of a data folder: one file that another box can be made from. Without the vault's key."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from pathlib import Path

from appliance import __version__

DATABASE = "zimbox.db"
SETTINGS = "zimbox.toml"
MANIFEST = "manifest.json"
FORMAT = 1


class BackupError(Exception):
    """Not a backup of ours, or of a newer box; nothing was changed."""


def save(data: Path, target: Path) -> int:
    """Write a consistent copy, also of a running box. Returns its size in bytes.

    The key that protects waiting one-time passwords stays behind: a restored box cannot send those.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        copy = Path(folder) / DATABASE
        with (
            sqlite3.connect(f"{(data / DATABASE).absolute().as_uri()}?mode=ro", uri=True) as source,
            sqlite3.connect(copy) as destination,
        ):
            source.backup(destination)
            version: int = destination.execute("PRAGMA user_version").fetchone()[0]
        source.close()
        destination.close()
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "schema": version,
            "at": int(time.time()),
        }
        partial = Path(folder) / "backup"
        with tarfile.open(partial, "w:gz") as archive:
            text = json.dumps(manifest).encode()
            entry = tarfile.TarInfo(MANIFEST)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
            archive.add(copy, DATABASE)
            if (data / SETTINGS).exists():
                archive.add(data / SETTINGS, SETTINGS)
        partial.chmod(0o600)
        _sync(partial)
        partial.replace(target)
    return target.stat().st_size


def restore(file: Path, data: Path, newest_schema: int) -> None:
    """Put a backup in place of what the data folder has; the caller holds its lock.

    Raises BackupError; what was there is kept aside as `before-restore-…`.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        fresh = Path(folder)
        try:
            with tarfile.open(file, "r:gz") as archive:
                _unpack(archive, fresh)
            manifest = json.loads((fresh / MANIFEST).read_text("utf-8"))
            with sqlite3.connect(fresh / DATABASE) as database:
                (state,) = database.execute("PRAGMA integrity_check").fetchone()
            database.close()
        except (tarfile.TarError, OSError, ValueError, EOFError, sqlite3.Error) as error:
            raise BackupError(f"{file} is no whole backup: {error}") from None
        if manifest.get("format") != FORMAT or state != "ok":
            raise BackupError(f"{file} is no whole backup: {state}")
        if manifest["schema"] > newest_schema:
            raise BackupError(
                f"{file} was made by ZimBox {manifest['version']}, which is newer than this one"
            )
        aside = data / f"before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
        aside.mkdir(mode=0o700)
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", SETTINGS):
            if (data / name).exists():
                (data / name).replace(aside / name)
        for name in (DATABASE, SETTINGS):
            if (fresh / name).exists():
                _sync(fresh / name)
                (fresh / name).replace(data / name)
        _sync(data)


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """The three members a backup has, under their own names and nothing else."""
    for member in archive:
        if member.name in (MANIFEST, DATABASE, SETTINGS) and member.isfile():
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            with (folder / member.name).open("wb") as out:
                shutil.copyfileobj(content, out)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
