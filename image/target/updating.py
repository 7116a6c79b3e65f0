"""Install an update: check, unpack, try, then confirm or go back. A power cut may come after any step.

unpacked → trial written → gateway stopped, database saved → new release started → watched →
confirmed, or everything restored. A start that finds a trial undoes it (`prepare.choose_slot`).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.maintenance.bundle import BundleRefused, check, load_public_key, unpack
from appliance.maintenance.update import (
    Result,
    Slot,
    confirm,
    give_up,
    idle_slot,
    judge,
    read_state,
    try_slot,
    vacate,
    write_state,
)
from image.target.gateway import Gateway
from image.target.roots import Roots
from image.target.slots import ReleasePaths, give_data_back, point_at, save_database

# Covers start, migration and a modem that registers, which takes up to three minutes.
PROBATION_SECONDS = 300.0
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Updater:
    paths: ReleasePaths
    gateway: Gateway
    public_key: Path
    roots: Roots
    probation_seconds: float = PROBATION_SECONDS
    machine: str = platform.machine()
    python: str = f"{sys.version_info[0]}.{sys.version_info[1]}"

    def update(self, file: Path, progress: Callable[[str], None]) -> Result:
        """Install a bundle and store the result for the page. Raises OSError, subprocess.SubprocessError."""
        result = self._update(file, progress)
        result.keep(self.paths.result)
        return result

    def _update(self, file: Path, progress: Callable[[str], None]) -> Result:
        paths = self.paths
        paths.slots.mkdir(parents=True, exist_ok=True)
        # Only root can write the copy: the file that is checked is the file that is unpacked.
        own = paths.slots / "incoming.zimbox"
        try:
            _copy(file, own)
            progress("checking")
            manifest = check(
                own, load_public_key(self.public_key), machine=self.machine, python=self.python
            )
            if manifest.content == "root":
                return self.roots.install(own, manifest, self.gateway.shown(), progress)
            state = read_state(paths.state)
            slot = idle_slot(state)
            progress("unpacking")
            write_state(paths.state, vacate(state, slot))
            unpack(own, manifest, paths.slots, slot)
        except BundleRefused as refused:
            return Result(False, refused.code, str(refused))
        finally:
            own.unlink(missing_ok=True)
        return self._try(slot, manifest.version, progress)

    def _try(self, slot: Slot, version: str, progress: Callable[[str], None]) -> Result:
        paths, before = self.paths, self.gateway.shown()
        progress("stopping")
        state = read_state(paths.state)
        try:
            self.gateway.stop()
            save_database(paths)
            write_state(paths.state, try_slot(state, slot))
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(paths.saved, ignore_errors=True)
            self.gateway.start()
            words = f"the database could not be saved first: {error}"
            code = "NO_SPACE" if isinstance(error, OSError) else "FAILED"
            return Result(False, code, words, version)
        progress("starting")
        point_at(paths, slot)
        self.gateway.start()
        missing = self._watch(version, before.online if before else 0, progress)
        if not missing:
            write_state(paths.state, confirm(try_slot(state, slot)))
            progress("confirmed")
            return Result(True, "UPDATED", "", version)
        return self._back(version, missing, progress)

    def _watch(self, version: str, online_before: int, progress: Callable[[str], None]) -> str:
        """Return "" once nothing is missing, or what is missing at the end of the probation."""
        progress("watching")
        deadline = time.monotonic() + self.probation_seconds
        while missing := judge(self.gateway.shown(), version, online_before):
            if time.monotonic() > deadline:
                return missing
            time.sleep(min(LOOK_SECONDS, self.probation_seconds / 10))
        return ""

    def _back(self, version: str, missing: str, progress: Callable[[str], None]) -> Result:
        paths = self.paths
        progress("going back")
        self.gateway.stop()
        data = give_data_back(paths)
        state = give_up(read_state(paths.state))
        write_state(paths.state, state)
        point_at(paths, state.current)
        self.gateway.start()
        return Result(
            False, "ROLLED_BACK", f"the new release did not do its work: {missing}", version, data
        )


def _copy(source: Path, target: Path) -> None:
    """Copy without following links: the caller is not root. Raises BundleRefused if there is no space."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream, target.open("wb") as copy:  # noqa: PTH123 - a descriptor
            shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise BundleRefused(
            "NO_SPACE" if error.errno == 28 else "NOT_A_BUNDLE", str(error)
        ) from None
