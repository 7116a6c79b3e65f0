"""Which of two slots runs, how an update is tried and judged, and what becomes of the data. See `bundle`."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from pathlib import Path
from typing import Literal

import msgspec

from appliance.durable import write_durably

Slot = Literal["built-in", "a", "b"]


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which slot runs, which one did before, and which one is being tried."""

    current: Slot = "built-in"
    previous: Slot = "built-in"
    trial: Slot | None = None


def idle_slot(state: State) -> Slot:
    """Where an update may be unpacked: never the slot that runs."""
    return "b" if state.current == "a" else "a"


def vacate(state: State, slot: Slot) -> State:
    """What lies in this slot is about to go: nobody falls back to what comes into it before it is confirmed."""
    return msgspec.structs.replace(state, previous="built-in") if state.previous == slot else state


def try_slot(state: State, slot: Slot) -> State:
    return msgspec.structs.replace(state, trial=slot)


def confirm(state: State) -> State:
    """The trial is good: it runs from now on."""
    if state.trial is None:
        return state
    return State(current=state.trial, previous=state.current)


def give_up(state: State) -> State:
    """The trial failed or was cut off: as if it had never been."""
    return msgspec.structs.replace(state, trial=None)


def fall_back(state: State) -> State | None:
    """The release before this one; None when what runs is what the card came with."""
    if state.current == "built-in":
        return None
    back: Slot = state.previous if state.previous != state.current else "built-in"
    return State(current=back, previous="built-in")


class Shown(msgspec.Struct, frozen=True):
    """What /health said, as far as an update asks: None where it did not answer."""

    version: str
    online: int  # modems that can send


def judge(shown: Shown | None, version: str, online_before: int) -> str:
    """ "" if the new release does its work; else what is still missing."""
    if shown is None:
        return "it does not answer"
    if shown.version != version:
        return f"it answers as {shown.version}, not {version}"
    if shown.online < online_before:
        return f"{online_before} modems were online before, {shown.online} are now"
    return ""


# --- what became of it -----------------------------------------------------------------------------


class Result(msgspec.Struct, frozen=True):
    """What became of an update. `code`: "UPDATED", "RESTARTING", "ROLLED_BACK", "CUT_OFF", or why it was refused."""

    ok: bool
    code: str
    words: str
    version: str = ""
    data: str = "kept"  # "kept" | "restored": after a roll-back
    at: float = 0.0

    def keep(self, file: Path) -> None:
        """For the page, also after the restart that may follow."""
        write_durably(file, msgspec.json.encode(msgspec.structs.replace(self, at=time.time())))


def read_result(file: Path) -> Result | None:
    """What was kept last; None if nothing was."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError):
        return None


# --- the state on the disk -------------------------------------------------------------------------


def read_state(file: Path) -> State:
    """What was written last. A file that cannot be read counts as none: the card's own release runs."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return State()


def write_state(file: Path, state: State) -> None:
    write_durably(file, msgspec.json.encode(state))


# --- the database across an update -----------------------------------------------------------------

# What a release takes, sends or is told to do from now on leaves a trace in one of these.
TRACES = (
    "SELECT max(id) FROM message", "SELECT max(id) FROM history", "SELECT max(id) FROM inbound",
    "SELECT max(id) FROM inbound_part", "SELECT max(id) FROM delivery_log", "SELECT count(*) FROM api_key",
    "SELECT max(handed_at) FROM part", "SELECT max(answered_at) FROM part", "SELECT max(reported_at) FROM part",
    "SELECT max(changed_at) FROM message", "SELECT max(verified_at) FROM otp",
    "SELECT id, revoked_at, narrowing FROM api_key ORDER BY id",
    "SELECT id, disabled_at, deleted_at FROM client ORDER BY id",
    "SELECT count(*), max(created_at) FROM blocked", "SELECT count(*), max(created_at) FROM opt_in",
    "SELECT id, url, events, deleted_at FROM webhook ORDER BY id",
    "SELECT name, value FROM owner_setting ORDER BY name", "SELECT device, limits FROM device_limits ORDER BY device",
)  # fmt: skip


def traces(database: Path) -> str | None:
    """A word that is another once something was taken, sent or decided; None if that cannot be told.

    Open it as the user that owns it, with the box stopped: SQLite leaves files beside it.
    """
    try:
        connection = sqlite3.connect(database)
        try:
            found = [connection.execute(statement).fetchall() for statement in TRACES]
            return hashlib.sha256(repr(found).encode()).hexdigest()
        finally:
            connection.close()
    except sqlite3.Error:
        return None


def may_roll_back(before: str | None, after: str | None) -> bool:
    """Data goes back only if the new release surely has neither taken nor sent anything, nor was told what to do."""
    return before is not None and before == after
