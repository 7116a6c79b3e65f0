"""Where releases lie, which one runs, and the database's copy from before an update."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.core.durable import sync, write_durably
from appliance.maintenance.update import Slot, may_roll_back

DATABASE = "zimbox.db"
OWNER = "zimbox"
# A look at one database file; a gigabyte is counted in seconds on a card.
TRACES_SECONDS = 120


@dataclass(frozen=True)
class Places:
    data: Path
    run: Path
    built_in: Path = Path("/usr/lib/zimbox/app")

    @property
    def slots(self) -> Path:
        return self.data / "app"

    @property
    def state(self) -> Path:
        return self.slots / "state.json"

    @property
    def result(self) -> Path:
        """What became of the last update, for the page."""
        return self.slots / "last-update.json"

    @property
    def saved(self) -> Path:
        return self.slots / "database-before"

    @property
    def database(self) -> Path:
        return self.data / "zimbox" / DATABASE

    @property
    def root_trial(self) -> Path:
        """There while a new root is on trial: the initramfs says so (image/initramfs/init)."""
        return self.run / "root-trial"

    def app(self, slot: Slot) -> Path:
        return self.built_in if slot == "built-in" else self.slots / slot

    def traces_before(self) -> str | None:
        try:
            return (self.saved / "traces").read_text()
        except OSError:
            return None


def point_at(places: Places, slot: Slot) -> None:
    """/run/zimbox/app is the release that zimbox.service starts."""
    fresh = places.run / "app.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(places.app(slot))
    fresh.rename(places.run / "app")


def save_database(places: Places) -> None:
    """The database as it lies there, with the box stopped. Raises OSError (no space)."""
    shutil.rmtree(places.saved, ignore_errors=True)
    places.saved.mkdir(mode=0o700)
    for name in (DATABASE, f"{DATABASE}-wal"):
        if (places.database.parent / name).exists():
            _copy(places.database.parent / name, places.saved / name)
    if (traces := traces_as_owner(places)) is not None:
        write_durably(places.saved / "traces", traces.encode())


def give_data_back(places: Places) -> str:
    """After an update that failed: "restored", or "kept" where the new release may have worked on it.

    Also kept where it cannot be restored: the release before works on the data as it is.
    """
    try:
        if may_roll_back(places.traces_before(), traces_as_owner(places)):
            restore_database(places)
            return "restored"
    except (OSError, subprocess.SubprocessError) as error:
        print(f"the database stays as it is: {error}", file=sys.stderr)
    return "kept"


def restore_database(places: Places) -> None:
    """The saved copy in place of what the new release made of it; done again, it comes to the same."""
    if not (places.saved / "traces").exists() or not (places.saved / DATABASE).exists():
        return
    folder = places.database.parent
    owner = folder.stat()
    saved = [n for n in (f"{DATABASE}-wal", DATABASE) if (places.saved / n).exists()]
    for name in saved:  # all that needs room comes before anything is taken away
        _copy(places.saved / name, folder / f"{name}.back")
        os.chown(folder / f"{name}.back", owner.st_uid, owner.st_gid)
    for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (folder / name).unlink(missing_ok=True)
    for name in saved:
        (folder / f"{name}.back").rename(folder / name)
    sync(folder)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    sync(target)


def traces_as_owner(places: Places) -> str | None:
    """`appliance.maintenance.update.traces`, as the user whose files they are: SQLite leaves some beside them."""
    if not places.database.exists():
        return "no database"
    as_owner = (
        {"user": OWNER, "group": OWNER, "extra_groups": []}
        if os.geteuid() == 0 and places.run == Path("/run/zimbox")
        else {}
    )
    code = (
        "import sys; from pathlib import Path; from appliance.maintenance.update import traces; "
        "print(traces(Path(sys.argv[1])) or '', end='')"
    )
    asked = subprocess.run(
        [sys.executable, "-P", "-s", "-c", code, places.database],
        capture_output=True, text=True, check=False, timeout=TRACES_SECONDS, **as_owner,
    )  # type: ignore[call-overload]  # fmt: skip
    return asked.stdout or None if asked.returncode == 0 else None
