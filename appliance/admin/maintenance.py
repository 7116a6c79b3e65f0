"""Updates, backups, restores and power commands of the status page, and their results."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from appliance.context import Context
from appliance.maintenance import backup, steward_client
from appliance.maintenance.backup import Checked, Report
from appliance.maintenance.update import Result, read_result, read_state
from appliance.maintenance.uploads import BACKUP, UPDATE, UploadFolder
from appliance.store.database import schema_version

log = structlog.get_logger(__name__)

OUTGOING = "outgoing-"  # prefix of the folders of backups being downloaded
UPDATE_BYTES = 512 << 20
BACKUP_BYTES = 4 << 30
# The file, and a copy that only root can write; the steward checks the space for unpacking.
UPDATE_COPIES = 2
BACKUP_COPIES = 2  # of the database, and compressed
# Longer than any trial of a release: an older one was left by a steward that died.
TRIAL_SECONDS = 900.0


class Busy(Exception):
    """An update or an upload is already in progress."""


class AdminMaintenance:
    """Maintenance of one box. What must survive this process is on disk: `last`, the trial, a restore."""

    def __init__(self, box: Context) -> None:
        settings = box.config.steward
        self._data = box.db.path.parent
        self._socket = Path(settings.socket)
        self._releases = Path(settings.releases)
        self._step = ""
        self._refused: Result | None = None
        self._task: asyncio.Task[None] | None = None
        self._receiving = False
        self.incoming = UploadFolder(self._data, box.config.storage.reserve_mib)
        self.checked: Checked | None = None
        self.shares: dict[Literal["backup", "restore"], float] = {}  # done, of what is under way
        self.restarting = False
        self.start_anew: Callable[[], None] | None = None  # set by whoever serves

    def start(self) -> None:
        """Remove what was abandoned before the last stop."""
        self.incoming.clear()
        for left in (self._data / backup.CHECKED, *self._data.glob(f"{OUTGOING}*")):
            shutil.rmtree(left, ignore_errors=True)

    @property
    def has_steward(self) -> bool:
        return self._socket.exists()

    @contextlib.contextmanager
    def receiving(self, name: str) -> Iterator[Path]:
        """Yield the path for an upload; one at a time, and none during an update. Raises Busy."""
        if self._receiving or self.step:
            raise Busy
        file = self.incoming.place(name)
        self._receiving = True
        try:
            yield file
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        finally:
            self._receiving = False

    async def power(self, verb: Literal["restart-box", "power-off"]) -> None:
        """Restart the box or switch it off. Raises NoSteward, TimeoutError."""
        async for line in steward_client.ask(verb, socket=self._socket):
            log.info("steward_answered", step=verb, outcome=line.get("code", "ok"))
            if line.get("done") and not line["ok"]:
                raise steward_client.NoSteward(line.get("words", ""))

    async def backup(self) -> Path:
        """Write a consistent backup into a new folder. Raises NoRoom, OSError, sqlite3.Error."""
        self.incoming.make_sure(backup.size(self._data), BACKUP_COPIES)
        target = Path(tempfile.mkdtemp(prefix=OUTGOING, dir=self._data)) / "backup"
        try:
            with self._share("backup") as report:
                await asyncio.to_thread(backup.save, self._data, target, report)
        except BaseException:
            shutil.rmtree(target.parent, ignore_errors=True)
            raise
        return target

    @contextlib.contextmanager
    def _share(self, task: Literal["backup", "restore"]) -> Iterator[Report]:
        """Keep in `shares` how much of this task is done, as long as it goes on."""
        try:
            self.shares[task] = 0.0
            yield lambda share: self.shares.__setitem__(task, share)
        finally:
            self.shares.pop(task, None)

    # --- updates -------------------------------------------------------------------------------------

    @property
    def step(self) -> str:
        """The current step of an update, "" if there is none; also known in the release on trial."""
        return self._step or ("watching" if self._on_trial() else "")

    def _on_trial(self) -> bool:
        if (self._socket.parent / "root-trial").exists():
            return True
        state = self._releases / "state.json"
        if read_state(state).trial is None:
            return False
        return time.time() - state.stat().st_mtime < TRIAL_SECONDS

    @property
    def last(self) -> Result | None:
        """The result of the last update."""
        kept = read_result(self._releases / "last-update.json")
        if self._refused is not None and (kept is None or kept.at < self._refused.at):
            return self._refused
        return kept

    def update(self) -> None:
        """Start an update with the uploaded file, and follow it. Raises Busy."""
        if self.step:
            raise Busy
        self._step = "checking"
        self._task = asyncio.create_task(self._follow(), name="update")

    async def _follow(self) -> None:
        begun = time.time()
        answer = Result(False, "HUNG_UP", "")
        try:
            async for line in steward_client.ask("update", socket=self._socket, file=UPDATE):
                if line.get("done"):
                    answer = Result(
                        bool(line["ok"]), line.get("code", "UPDATED"), line.get("words", "")
                    )
                else:
                    self._step = str(line.get("step", ""))
                    log.info("update_step", step=self._step)
        except steward_client.NoSteward as error:
            answer = Result(False, "NO_STEWARD", str(error))
        except (OSError, ValueError, TimeoutError) as error:
            # The steward may continue, and stores the result.
            log.warning("update_not_followed", reason=str(error))
        finally:
            self._step = ""
            self.incoming.clear()
        kept = read_result(self._releases / "last-update.json")
        if kept is not None and kept.code == "RESTARTING" and kept.at >= begun:
            self._step = "restarting"  # until the box restarts
        if kept is None or kept.at < begun:  # refused before the update began
            self._refused = msgspec.structs.replace(answer, at=time.time())
        log.info("update_ended", ok=answer.ok, code=answer.code)

    # --- restores ------------------------------------------------------------------------------------

    async def examine(self) -> None:
        """Check the uploaded backup and describe it in `checked`. Raises BackupError."""
        file, fresh = self.incoming.place(BACKUP), self._data / backup.CHECKED
        self.checked = None
        try:
            with self._share("restore") as report:
                self.checked = await asyncio.to_thread(
                    backup.check,
                    file,
                    fresh,
                    newest_schema=schema_version(),
                    room=self.incoming.room,
                    report=report,
                )
        finally:
            file.unlink(missing_ok=True)
            if self.checked is None:
                await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)

    async def drop(self) -> None:
        """Discard the checked backup."""
        if self.checked is None:  # a backup may be under examination there
            return
        self.checked = None
        await asyncio.to_thread(shutil.rmtree, self._data / backup.CHECKED, ignore_errors=True)

    async def restore(self) -> bool:
        """Stage the checked backup for the next start; return whether one is staged. Raises Busy.

        Refused during an update, which would mistake it for the work of the new release.
        """
        if self.step:
            raise Busy
        if self.checked is None:
            return backup.waits(self._data)
        self.checked = None
        await asyncio.to_thread(backup.stage, self._data / backup.CHECKED, self._data)
        return True

    async def restart(self) -> None:
        """Restart the gateway, through the steward or in this process."""
        self.restarting = True
        try:
            async for line in steward_client.ask("restart-gateway", socket=self._socket):
                log.info("steward_answered", step="restart-gateway", outcome=line.get("code", "ok"))
                if line.get("done") and not line["ok"]:
                    raise steward_client.NoSteward(line.get("words", ""))
        except (steward_client.NoSteward, TimeoutError):
            if self.start_anew is None:
                raise
            self.start_anew()

    @property
    def restore_failed(self) -> bool:
        """Whether the last restore was undone because the box did not start on it."""
        return (self._data / backup.FAILED).exists()

    async def kept_aside(self) -> list[tuple[Path, int]]:
        """Return the data kept by earlier restores, each with its size in bytes."""
        return await asyncio.to_thread(backup.kept_aside, self._data)

    async def forget_aside(self) -> None:
        """Delete the data kept by earlier restores."""
        for folder, _ in await self.kept_aside():
            await asyncio.to_thread(shutil.rmtree, folder)
