"""An update from the file to the confirmed release, or back: every step leaves a state a power cut may meet.

unpacked → trial written → gateway stopped, database saved → new release started → watched →
confirmed, or everything as before. A start that finds a trial undoes it (`prepare.choose_slot`).
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
from image.target.slots import Places, give_data_back, point_at, save_database

# Start, migration and a modem that finds its network: modules take up to three minutes for that.
PROBATION_SECONDS = 300.0
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Updater:
    places: Places
    gateway: Gateway
    public_key: Path
    roots: Roots
    probation_seconds: float = PROBATION_SECONDS
    machine: str = platform.machine()
    python: str = f"{sys.version_info[0]}.{sys.version_info[1]}"

    def update(self, file: Path, tell: Callable[[str], None]) -> Result:
        """All of it; the result is kept for the page. Raises OSError, subprocess.SubprocessError."""
        result = self._update(file, tell)
        result.keep(self.places.result)
        return result

    def _update(self, file: Path, tell: Callable[[str], None]) -> Result:
        places = self.places
        places.slots.mkdir(parents=True, exist_ok=True)
        # A copy that only root can write: what was checked is what is unpacked.
        own = places.slots / "incoming.zimbox"
        try:
            _copy(file, own)
            tell("checking")
            manifest = check(
                own, load_public_key(self.public_key), machine=self.machine, python=self.python
            )
            if manifest.content == "root":
                return self.roots.install(own, manifest, self.gateway.shown(), tell)
            state = read_state(places.state)
            slot = idle_slot(state)
            tell("unpacking")
            write_state(places.state, vacate(state, slot))
            unpack(own, manifest, places.slots, slot)
        except BundleRefused as refused:
            return Result(False, refused.code, str(refused))
        finally:
            own.unlink(missing_ok=True)
        return self._try(slot, manifest.version, tell)

    def _try(self, slot: Slot, version: str, tell: Callable[[str], None]) -> Result:
        places, before = self.places, self.gateway.shown()
        tell("stopping")
        state = read_state(places.state)
        try:
            self.gateway.stop()
            save_database(places)
            write_state(places.state, try_slot(state, slot))
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(places.saved, ignore_errors=True)
            self.gateway.start()
            words = f"the database could not be saved first: {error}"
            code = "NO_SPACE" if isinstance(error, OSError) else "FAILED"
            return Result(False, code, words, version)
        tell("starting")
        point_at(places, slot)
        self.gateway.start()
        missing = self._watch(version, before.online if before else 0, tell)
        if not missing:
            write_state(places.state, confirm(try_slot(state, slot)))
            tell("confirmed")
            return Result(True, "UPDATED", "", version)
        return self._back(version, missing, tell)

    def _watch(self, version: str, online_before: int, tell: Callable[[str], None]) -> str:
        """What is missing at the end of the probation; "" as soon as nothing is."""
        tell("watching")
        deadline = time.monotonic() + self.probation_seconds
        while missing := judge(self.gateway.shown(), version, online_before):
            if time.monotonic() > deadline:
                return missing
            time.sleep(min(LOOK_SECONDS, self.probation_seconds / 10))
        return ""

    def _back(self, version: str, missing: str, tell: Callable[[str], None]) -> Result:
        places = self.places
        tell("going back")
        self.gateway.stop()
        data = give_data_back(places)
        state = give_up(read_state(places.state))
        write_state(places.state, state)
        point_at(places, state.current)
        self.gateway.start()
        return Result(
            False, "ROLLED_BACK", f"the new release did not do its work: {missing}", version, data
        )


def _copy(source: Path, target: Path) -> None:
    """Raises BundleRefused where it does not fit. Follows no link: who asks is not root."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream, target.open("wb") as copy:  # noqa: PTH123 - a descriptor
            shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise BundleRefused(
            "NO_SPACE" if error.errno == 28 else "NOT_A_BUNDLE", str(error)
        ) from None
