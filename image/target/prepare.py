"""Prepare the card at each start, before the gateway: import settings, choose the slot, keep room on the card."""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from appliance.maintenance.update import (
    Result,
    Slot,
    SlotState,
    give_up,
    read_state,
    write_state,
)
from image.target import user_config as w
from image.target.boot_files import DataPaths, import_settings, setup_code, wants_writing
from image.target.slots import ReleasePaths, give_data_back, point_at


def network(settings: w.UserConfig, run: Path) -> None:
    """Write the files of systemd-networkd, wpa_supplicant and timesyncd; `run` is in memory."""
    folder = run / "systemd/network"
    folder.mkdir(parents=True, exist_ok=True)
    if cable := w.cable_network(settings.cable):
        (folder / "10-zimbox-cable.network").write_text(cable)
    if wifi := w.wpa_supplicant(settings.wifi):
        file = run / "zimbox/wpa_supplicant.conf"
        file.touch(mode=0o600)
        file.write_text(wifi)
        (folder / "20-zimbox-wifi.network").write_text(w.WIFI_NETWORK)
    if settings.ntp:
        drop_in = run / "systemd/timesyncd.conf.d/zimbox.conf"
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(f"[Time]\nNTP={' '.join(settings.ntp)}\n")


def reserve(file: Path, *, size: int = 16 << 20, room: int | None = None) -> None:
    """Keep a reserve of disk space for a full card: SQLite needs some space to open a database.

    Deleted at a start with less than 4 MiB free, created again when there is plenty. Sizes in bytes.
    """
    free = shutil.disk_usage(file.parent).free if room is None else room
    try:
        if free < 4 << 20:
            file.unlink(missing_ok=True)
        elif free > 4 * size and not file.exists():
            with file.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:  # a card that refuses writes
        print(f"reserve: {error}", file=sys.stderr)


def remove_leftovers(paths: ReleasePaths) -> None:
    """Delete partial files of an interrupted update; nothing uploads or unpacks during a start."""
    incoming = paths.database.parent / "incoming"
    for left in [
        *incoming.glob("*"),
        paths.slots / "incoming.zimbox",
        *paths.slots.glob("*.partial"),
    ]:
        shutil.rmtree(left, ignore_errors=True)
        # Already gone, or the card refuses writes: neither may keep the box from starting.
        with contextlib.suppress(OSError):
            left.unlink()


def choose_slot(paths: ReleasePaths) -> SlotState:
    """Choose the slot to run. A trial found here was interrupted by a power cut, and is undone."""
    state = read_state(paths.state)
    if state.trial is not None:
        print(
            f"the update in slot {state.trial} was cut off: back to {state.current}",
            file=sys.stderr,
        )
        data = give_data_back(paths)
        words = "power was cut before the new release was confirmed"
        Result(False, "CUT_OFF", words, _version(paths, state.trial), data).keep(paths.result)
        state = give_up(state)
        write_state(paths.state, state)
    if paths.root_trial.exists():
        # A new root runs the release it contains; `state` follows once the root is confirmed.
        point_at(paths, "built-in")
        return SlotState()
    if not paths.app(state.current).is_dir():
        state = SlotState()
        write_state(paths.state, state)
    point_at(paths, state.current)
    return state


def _version(paths: ReleasePaths, slot: Slot) -> str:
    """Return the version in the slot's manifest; "" if it cannot be read."""
    try:
        manifest = msgspec.json.decode((paths.app(slot) / "manifest.json").read_bytes())
        return str(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextlib.contextmanager
def boot_partition(data: DataPaths) -> Iterator[Path]:
    """Mount partition 1 of the disk that holds /data; writable only if something must be written."""
    device = next(
        line.split()[0]
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[1] == "/data"
    )
    target = Path("/boot/firmware")
    subprocess.run(
        ["mount", "-t", "vfat", "-o", "ro,umask=077", device[:-1] + "1", target], check=True
    )
    try:
        if wants_writing(target, data):
            subprocess.run(["mount", "-o", "remount,rw", target], check=True)
        yield target
    finally:
        os.sync()
        subprocess.run(["umount", target], check=True)


def main() -> None:
    data, paths = DataPaths(Path("/data")), ReleasePaths(Path("/data"), Path("/run/zimbox"))
    group = grp.getgrnam("zimbox").gr_gid
    try:
        with boot_partition(data) as boot:
            settings = import_settings(boot, data, group)
            setup_code(boot, data)
    except (OSError, subprocess.SubprocessError) as error:
        # Without a readable boot partition the box still sends.
        print(f"boot partition: {error}", file=sys.stderr)
        settings = import_settings(Path("/nonexistent"), data, group)
    socket.sethostname(settings.hostname)
    network(settings, Path("/run"))
    # udev starts wpa_supplicant for each radio, whenever it appears; it waits for this unit.
    if settings.ssh_keys:
        subprocess.run(["systemctl", "start", "--no-block", "ssh.service"], check=True)
    choose_slot(paths)
    remove_leftovers(paths)
    reserve(data.root / "system/reserve")


if __name__ == "__main__":
    main()
