"""Update state: which slot runs, how a release is tried and judged, and whether data is rolled back."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from pathlib import Path
from typing import Literal

import msgspec

from appliance.core.durable import write_durably

Slot = Literal["built-in", "a", "b"]


class SlotState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The current slot, the previous one, and the one on trial."""

    current: Slot = "built-in"
    previous: Slot = "built-in"
    trial: Slot | None = None


def idle_slot(state: SlotState) -> Slot:
    """Return the slot for the next update: never the current one."""
    return "b" if state.current == "a" else "a"


def vacate(state: SlotState, slot: Slot) -> SlotState:
    """Drop a slot that is about to be overwritten as a fallback, until its new content is confirmed."""
    return msgspec.structs.replace(state, previous="built-in") if state.previous == slot else state


def try_slot(state: SlotState, slot: Slot) -> SlotState:
    return msgspec.structs.replace(state, trial=slot)


def confirm(state: SlotState) -> SlotState:
    """Make the release on trial the current one."""
    if state.trial is None:
        return state
    return SlotState(current=state.trial, previous=state.current)


def give_up(state: SlotState) -> SlotState:
    """Forget a trial that failed or was interrupted."""
    return msgspec.structs.replace(state, trial=None)


def fall_back(state: SlotState) -> SlotState | None:
    """Return the state with the previous release; None if the built-in one runs."""
    if state.current == "built-in":
        return None
    back: Slot = state.previous if state.previous != state.current else "built-in"
    return SlotState(current=back, previous="built-in")


class Shown(msgspec.Struct, frozen=True):
    """What an update needs from the answer of /health."""

    version: str
    online: int  # modems that can send


def judge(shown: Shown | None, version: str, online_before: int) -> str:
    """Return "" if the new release works, else what is missing."""
    if shown is None:
        return "it does not answer"
    if shown.version != version:
        return f"it answers as {shown.version}, not {version}"
    if shown.online < online_before:
        return f"{online_before} modems were online before, {shown.online} are now"
    return ""


# --- the result -------------------------------------------------------------------------------------


class Result(msgspec.Struct, frozen=True):
    """The result of an update. `code`: "UPDATED", "RESTARTING", "ROLLED_BACK", "CUT_OFF", or the refusal."""

    ok: bool
    code: str
    words: str
    version: str = ""
    data: str = "kept"  # "kept" | "restored": after a roll-back
    at: float = 0.0

    def keep(self, file: Path) -> None:
        """Store the result for the status page, also for after a restart."""
        write_durably(file, msgspec.json.encode(msgspec.structs.replace(self, at=time.time())))


def read_result(file: Path) -> Result | None:
    """Return the last stored result; None if there is none."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError):
        return None


# --- the state on disk -------------------------------------------------------------------------------


def read_state(file: Path) -> SlotState:
    """Return the stored state. Without a readable file the built-in release runs."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=SlotState)
    except (OSError, msgspec.DecodeError):
        return SlotState()


def write_state(file: Path, state: SlotState) -> None:
    write_durably(file, msgspec.json.encode(state))


# --- the database across an update -----------------------------------------------------------------

# Whatever a release accepts, sends or has to do changes the result of one of these.
TRACES = (
    "SELECT max(id) FROM message", "SELECT max(id) FROM history", "SELECT max(id) FROM inbound",
    "SELECT max(id) FROM inbound_part", "SELECT max(id) FROM delivery_log", "SELECT count(*) FROM api_key",
    "SELECT max(submitted_at) FROM part", "SELECT max(answered_at) FROM part", "SELECT max(reported_at) FROM part",
    "SELECT max(changed_at) FROM message", "SELECT max(verified_at) FROM otp",
    "SELECT id, revoked_at, permissions FROM api_key ORDER BY id",
    "SELECT id, disabled_at, deleted_at FROM client ORDER BY id",
    "SELECT count(*), max(created_at) FROM blocked", "SELECT count(*), max(created_at) FROM opt_in",
    "SELECT id, url, events, deleted_at FROM webhook ORDER BY id",
    "SELECT name, value FROM admin_setting ORDER BY name", "SELECT device, limits FROM device_limits ORDER BY device",
)  # fmt: skip


def traces(database: Path) -> str | None:
    """Return a digest that changes when something is accepted, sent or decided; None if unknown.

    Call it as the user that owns the database, with the box stopped: SQLite leaves files beside it.
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
    """Return whether data may be rolled back: only if the new release has certainly changed nothing."""
    return before is not None and before == after
