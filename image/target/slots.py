"""Paths of the releases, the link to the running one, and the copy of the database from before an update."""

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
# Reading one database; a gigabyte takes seconds on a card.
TRACES_SECONDS = 120


@dataclass(frozen=True)
class ReleasePaths:
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
        """The result of the last update, for the page."""
        return self.slots / "last-update.json"

    @property
    def saved(self) -> Path:
        return self.slots / "database-before"

    @property
    def database(self) -> Path:
        return self.data / "zimbox" / DATABASE

    @property
    def root_trial(self) -> Path:
        """Exists while a new root is on trial; created by image/initramfs/init."""
        return self.run / "root-trial"

    def app(self, slot: Slot) -> Path:
        return self.built_in if slot == "built-in" else self.slots / slot

    def traces_before(self) -> str | None:
        try:
            return (self.saved / "traces").read_text()
        except OSError:
            return None


def point_at(paths: ReleasePaths, slot: Slot) -> None:
    """Point /run/zimbox/app, which zimbox.service starts, at a slot."""
    fresh = paths.run / "app.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(paths.app(slot))
    fresh.rename(paths.run / "app")


def save_database(paths: ReleasePaths) -> None:
    """Copy the database while the gateway is stopped. Raises OSError (no space)."""
    shutil.rmtree(paths.saved, ignore_errors=True)
    paths.saved.mkdir(mode=0o700)
    for name in (DATABASE, f"{DATABASE}-wal"):
        if (paths.database.parent / name).exists():
            _copy(paths.database.parent / name, paths.saved / name)
    if (traces := traces_as_owner(paths)) is not None:
        write_durably(paths.saved / "traces", traces.encode())


def give_data_back(paths: ReleasePaths) -> str:
    """Restore the database after a failed update: "restored", or "kept" if the new release may have used it.

    It is also kept if restoring fails: the previous release works on the data as it is.
    """
    try:
        if may_roll_back(paths.traces_before(), traces_as_owner(paths)):
            restore_database(paths)
            return "restored"
    except (OSError, subprocess.SubprocessError) as error:
        print(f"the database stays as it is: {error}", file=sys.stderr)
    return "kept"


def restore_database(paths: ReleasePaths) -> None:
    """Put the saved copy back in place. Idempotent."""
    if not (paths.saved / "traces").exists() or not (paths.saved / DATABASE).exists():
        return
    folder = paths.database.parent
    owner = folder.stat()
    saved = [n for n in (f"{DATABASE}-wal", DATABASE) if (paths.saved / n).exists()]
    for name in saved:  # everything that needs space comes before anything is deleted
        _copy(paths.saved / name, folder / f"{name}.back")
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


def traces_as_owner(paths: ReleasePaths) -> str | None:
    """Run `appliance.maintenance.update.traces` as the owner of the files: SQLite creates more beside them."""
    if not paths.database.exists():
        return "no database"
    as_owner = (
        {"user": OWNER, "group": OWNER, "extra_groups": []}
        if os.geteuid() == 0 and paths.run == Path("/run/zimbox")
        else {}
    )
    code = (
        "import sys; from pathlib import Path; from appliance.maintenance.update import traces; "
        "print(traces(Path(sys.argv[1])) or '', end='')"
    )
    asked = subprocess.run(
        [sys.executable, "-P", "-s", "-c", code, paths.database],
        capture_output=True, text=True, check=False, timeout=TRACES_SECONDS, **as_owner,
    )  # type: ignore[call-overload]  # fmt: skip
    return asked.stdout or None if asked.returncode == 0 else None
