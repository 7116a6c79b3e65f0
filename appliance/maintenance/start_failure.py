"""Why a box does not start although its program is whole: disk, database, key or settings; and what to do."""

from __future__ import annotations

import errno
import re
import sqlite3
from pathlib import Path
from typing import Literal

import msgspec

from appliance.core.config import ConfigError
from appliance.core.encryption import BadKey
from appliance.core.i18n import Text, _
from appliance.store.database import DatabaseMissing, NewerSchema, StorageFull

Code = Literal[
    "storage_full",
    "storage_failing",
    "database_damaged",
    "database_missing",
    "database_newer",
    "key_unusable",
    "settings_invalid",
    "preparing",
]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FAILING = (errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR)
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_UNWRITABLE = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_BUSY")
# What a setting is and where, without what was read: it may be a secret, and the page is for everybody on the LAN.
_PLACE = re.compile(r"[\w.\[\]]+(?=: )|at line \d+, column \d+")


class StartFailure(msgspec.Struct, frozen=True):
    """What keeps the box from starting, for now or for good.

    `detail` is for the log and the terminal, `shown` for everybody.
    """

    code: Code
    what: Text
    advice: Text
    detail: str
    shown: str = ""


_TEXTS: dict[Code, tuple[Text, Text]] = {
    "storage_full": (
        _("The memory card is full."),
        _(
            "Free some space, for example by deleting the folders before-restore-… of the data folder, or use a "
            "larger card. The box starts by itself as soon as there is room."
        ),
    ),
    "storage_failing": (
        _("The memory card cannot be read or written."),
        _(
            "Switch the box off and on again. If this page comes back, the card is worn out: keep it, and start "
            "with a new card and your latest backup."
        ),
    ),
    "database_damaged": (
        _("The database is damaged."),
        _(
            "Keep the card: most of its messages can be recovered. Start with a new card and your latest backup, "
            "or stop the box and run zimbox restore with that backup."
        ),
    ),
    "database_missing": (
        _("The database is gone."),
        _(
            "This box had messages, so it does not start as a new one by itself. Restore your latest backup with "
            "zimbox restore; to start as a new box, delete secret.key from the data folder."
        ),
    ),
    "database_newer": (
        _("The data was written by a newer version of ZimBox."),
        _("Install that version again, or restore a backup made by this version."),
    ),
    "key_unusable": (
        _("The key file secret.key is damaged."),
        _(
            "Put a copy of it back. Without one, delete the file: only one-time passwords that still wait are "
            "lost; messages, clients and API keys stay."
        ),
    ),
    "settings_invalid": (
        _("The settings file cannot be used."),
        _("Correct zimbox.toml. The box starts by itself as soon as the file is right."),
    ),
}


def preparing(done: int, total: int) -> StartFailure:
    """Return the state of a box whose database is being migrated: so many statements of so many are done."""
    step = f", step {min(done + 1, total)} of {total}" if total else ""
    percent = 100 * done // total if total else 0
    return StartFailure(
        "preparing",
        _("The box is preparing its database ({percent} %).", percent=percent),
        _(
            "After an update this can take some minutes. Leave the box switched on; this page goes on by itself."
        ),
        f"preparing the database{step}",
    )


def explained(error: BaseException, data: Path) -> StartFailure | None:
    """Return what keeps the box from starting; None if it is not disk, data or settings, but the program."""
    code = _code(error, data)
    if code is None:
        return None
    shown = ""
    if isinstance(error, ConfigError):
        shown = " ".join(_PLACE.findall(str(error)))
    what, advice = _TEXTS[code]
    return StartFailure(code, what, advice, str(error) or type(error).__name__, shown)


def _code(error: BaseException, data: Path) -> Code | None:
    match error:
        case ConfigError():
            return "settings_invalid"
        case BadKey():
            return "key_unusable"
        case NewerSchema():
            return "database_newer"
        case DatabaseMissing():
            return "database_missing"
        case StorageFull():
            return "storage_full" if _no_room(data) else "storage_failing"
        case sqlite3.Error():
            return _of_sqlite(getattr(error, "sqlite_errorname", ""), data)
        case OSError():
            return _of_system(error, data)
        case _:
            return None


def _of_sqlite(name: str, data: Path) -> Code | None:
    if name.startswith(_DAMAGED):
        return "database_damaged"
    if name.startswith("SQLITE_FULL"):
        return "storage_full"
    if name.startswith(_UNWRITABLE):
        return "storage_full" if _no_room(data) else "storage_failing"
    return None  # such as an error in a statement


def _of_system(error: OSError, data: Path) -> Code | None:
    if error.errno in _FULL:
        return "storage_full"
    named = str(error.filename or "")
    return "storage_failing" if error.errno in _FAILING and named.startswith(str(data)) else None


def _no_room(data: Path) -> bool:
    """Return whether not even the files can be written that SQLite keeps beside the database."""
    probe = data / ".room"
    try:
        probe.write_bytes(bytes(64 << 10))
    except OSError as error:
        return error.errno in _FULL
    finally:
        probe.unlink(missing_ok=True)
    return False
