"""Update the root file system (A/B): write the idle partition, start it once, confirm it or go back.

The initramfs chooses by /data/system/root-slot ("a", "b", "b try", "b tried"): it turns "try" into
"tried" before it starts that slot, and goes back from a "tried" that was not confirmed. This needs no
support in firmware or kernel. The kernel and the initramfs are on the boot partition and do not change:
a root for another kernel is refused.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.core.durable import write_durably
from appliance.maintenance.bundle import BundleManifest, BundleRefused, copy_root
from appliance.maintenance.update import Result, Shown, SlotState, judge, write_state
from image.target.gateway import SystemdGateway
from image.target.slots import ReleasePaths

# Covers start, migration and a modem that registers; as for an application update.
PROBATION_SECONDS = 300.0
LOOK_SECONDS = 2.0
RELEASE = Path("/etc/zimbox-release")


class Trial(msgspec.Struct, frozen=True):
    """What the new root must show to be confirmed; written before the restart."""

    slot: str
    version: str
    online: int


@dataclass(frozen=True)
class Roots:
    paths: ReleasePaths
    partitions: dict[str, Path]  # "a" and "b"
    kernel: str

    @classmethod
    def of_this_box(cls, paths: ReleasePaths) -> Roots:
        device = next(
            words[0]
            for words in map(str.split, Path("/proc/mounts").read_text().splitlines())
            if words[1] == "/data"
        )
        partitions = {"a": Path(f"{device[:-1]}2"), "b": Path(f"{device[:-1]}3")}
        return cls(paths, partitions, platform.release())

    @property
    def slot_file(self) -> Path:
        return self.paths.data / "system/root-slot"

    @property
    def trial_file(self) -> Path:
        return self.paths.data / "system/root-trial.json"

    @property
    def running(self) -> str:
        return (self.paths.run / "root-slot").read_text().strip()

    def install(
        self,
        bundle: Path,
        manifest: BundleManifest,
        shown: Shown | None,
        progress: Callable[[str], None],
    ) -> Result:
        """Write a checked root to the idle partition; the next start tries it. Raises BundleRefused."""
        if manifest.kernel != self.kernel:
            raise BundleRefused(
                "WRONG_KERNEL",
                f"made for kernel {manifest.kernel}, this card has {self.kernel}: write a new card",
            )
        idle = "b" if self.running == "a" else "a"
        progress("unpacking")
        copy_root(bundle, manifest, self.partitions[idle])
        trial = Trial(idle, manifest.version, shown.online if shown else 0)
        write_durably(self.trial_file, msgspec.json.encode(trial))
        write_durably(self.slot_file, f"{idle} try\n".encode())
        progress("restarting")
        return Result(True, "RESTARTING", "", manifest.version)

    def confirm(
        self, look: Callable[[], Shown | None], seconds: float = PROBATION_SECONDS
    ) -> Result:
        """Watch the new root: "UPDATED", or "ROLLED_BACK", after which the caller restarts the box."""
        trial = msgspec.json.decode(self.trial_file.read_bytes(), type=Trial)
        deadline = time.monotonic() + seconds
        while missing := judge(look(), trial.version, trial.online):
            if time.monotonic() > deadline:
                words = f"the new root did not do its work: {missing}"
                return Result(False, "ROLLED_BACK", words, trial.version)
            time.sleep(min(LOOK_SECONDS, seconds / 10))
        # From now on the release in this root runs, not an older one in a slot on data.
        write_state(self.paths.state, SlotState())
        write_durably(self.slot_file, f"{trial.slot}\n".encode())
        return Result(True, "UPDATED", "", trial.version)


def main() -> None:
    paths = ReleasePaths(Path("/data"), Path("/run/zimbox"))
    result = Roots.of_this_box(paths).confirm(SystemdGateway().shown)
    result.keep(paths.result)
    print(json.dumps(msgspec.to_builtins(result)))
    if not result.ok:
        os.sync()
        subprocess.run(["systemctl", "reboot"], check=True)


if __name__ == "__main__":
    main()
