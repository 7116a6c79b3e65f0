"""Before anything else of ours runs: zimbox.toml taken over, the setup code, the slot to run.

The order holds over a power cut: what is taken is first safe on the data partition, then removed
from the boot partition. Cut in between, the next start takes the same once more.
"""

from __future__ import annotations

import contextlib
import grp
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.core.durable import sync, write_durably
from appliance.maintenance.update import (
    Result,
    Slot,
    SlotState,
    give_up,
    read_state,
    write_state,
)
from image.target import user_config as w
from image.target.slots import Places, give_data_back, point_at

FILE = "zimbox.toml"
ERASING = f"{FILE}.erasing"  # taken over; a cut finds it here and never takes half of it for wishes
CODE = "zimbox-setup-code.txt"
MISTAKE = "zimbox-error.txt"
CODED = re.compile(rb"\b\d{4}-\d{4}-\d{4}\b")


@dataclass(frozen=True)
class Keep:
    """Where on the data partition things are kept."""

    data: Path

    @property
    def wishes(self) -> Path:
        return self.data / "system/wishes.json"

    @property
    def gateway(self) -> Path:
        return self.data / "config/zimbox.toml"

    @property
    def code(self) -> Path:
        """Where the gateway reads the setup code, and removes it once the box is claimed."""
        return self.data / "zimbox/setup-code"

    @property
    def database(self) -> Path:
        return self.data / "zimbox/zimbox.db"

    @property
    def ssh_key(self) -> Path:
        return self.data / "system/ssh/authorized_keys"


def take_over(boot: Path, keep: Keep, group: int | None = None) -> w.Wishes:
    """The wishes in force: those of a new zimbox.toml, else the ones kept, else the defaults.

    `boot` must be writable if it holds a zimbox.toml. A mistake in it leaves everything as it was
    and a file on the boot partition that says what is wrong.
    """
    _erase(boot / ERASING)
    file = boot / FILE
    if file.exists():
        try:
            text = file.read_text("utf-8-sig")  # Windows likes to write a mark
            taken = w.read(text)
        except (w.WishError, UnicodeDecodeError) as error:
            _on_card(boot / MISTAKE, f"{FILE}: {error}\r\n")
        else:
            _keep(taken, keep, group)
            _clean(boot, text)
            if taken.unknown:
                names = ", ".join(taken.unknown)
                _on_card(boot / MISTAKE, f"{FILE}: unknown and left out: {names}\r\n")
    wishes = _kept(keep)
    if not keep.gateway.exists():
        _keep(wishes, keep, group)
    return wishes


def _kept(keep: Keep) -> w.Wishes:
    try:
        return msgspec.json.decode(keep.wishes.read_bytes(), type=w.Wishes)
    except (FileNotFoundError, msgspec.DecodeError):
        return w.Wishes()


def _keep(wishes: w.Wishes, keep: Keep, group: int | None) -> None:
    """Everything on the disk when this returns. Its own copy holds no password of the page."""
    for file in (keep.wishes, keep.gateway, keep.ssh_key):
        file.parent.mkdir(parents=True, exist_ok=True)
    if wishes.ssh_key:
        write_durably(keep.ssh_key, (wishes.ssh_key + "\n").encode(), 0o600)
    else:
        keep.ssh_key.unlink(missing_ok=True)
    _for_gateway(keep.gateway, w.gateway_config(wishes), group)
    own = msgspec.structs.replace(wishes, password_hash="")
    write_durably(keep.wishes, msgspec.json.encode(own), 0o600)


def _for_gateway(file: Path, text: str, group: int | None) -> None:
    write_durably(file, text.encode(), 0o640, None if group is None else (0, group))


def _clean(boot: Path, text: str) -> None:
    """The secrets off the card: a copy without them stays, the original is overwritten, then gone."""
    try:
        _on_card(boot / f"{FILE}.taken-over", w.without_secrets(text))
    except OSError as error:  # no room, say: the copy can be done without, the secrets must go
        print(f"{FILE}.taken-over: {error}", file=sys.stderr)
        (boot / f"{FILE}.taken-over.new").unlink(missing_ok=True)
    (boot / FILE).rename(boot / ERASING)
    sync(boot)
    _erase(boot / ERASING)
    (boot / MISTAKE).unlink(missing_ok=True)


def _erase(file: Path) -> None:
    if not file.exists():
        return
    with file.open("r+b") as stream:
        stream.write(b" " * file.stat().st_size)
        stream.flush()
        os.fsync(stream.fileno())
    file.unlink()


def _on_card(file: Path, text: str) -> None:
    """FAT knows no owners and hardly any modes: plain writing, but all or nothing."""
    fresh = file.with_name(file.name + ".new")
    with fresh.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def setup_code(boot: Path, keep: Keep) -> str:
    """The code that lets the owner set a password, in the gateway's folder and on the card.

    Made at the first start only; where the gateway's file is gone, the box is claimed. "" then.
    """
    code = _code_in(keep.code)
    if not code and (keep.code.exists() or not keep.database.exists()):
        code = "-".join(f"{secrets.randbelow(10_000):04d}" for _ in range(3))
        folder = keep.code.parent.stat()  # the gateway's: it is to read and remove the code
        write_durably(keep.code, f"{code}\n".encode(), 0o600, (folder.st_uid, folder.st_gid))
    if not code:
        (boot / CODE).unlink(missing_ok=True)
    elif _code_in(boot / CODE) != code:
        _on_card(boot / CODE, f"ZimBox: {code}\r\n")
    return code


def _code_in(file: Path) -> str:
    """The setup code in a file; "" where there is no file or, after a power cut, anything else in it."""
    found = CODED.search(file.read_bytes()) if file.exists() else None
    return found[0].decode() if found else ""


def wants_writing(boot: Path, keep: Keep) -> bool:
    """Whether the boot partition, mounted to read, must be written to."""
    if (boot / FILE).exists() or (boot / ERASING).exists():
        return True
    unclaimed = keep.code.exists() or not keep.database.exists()
    code = _code_in(keep.code)
    return not code or _code_in(boot / CODE) != code if unclaimed else (boot / CODE).exists()


def network(wishes: w.Wishes, run: Path) -> None:
    """What systemd-networkd, wpa_supplicant and timesyncd read, in memory only."""
    folder = run / "systemd/network"
    folder.mkdir(parents=True, exist_ok=True)
    if cable := w.cable_network(wishes.cable):
        (folder / "10-zimbox-cable.network").write_text(cable)
    if wifi := w.wpa_supplicant(wishes.wifi):
        file = run / "zimbox/wpa_supplicant.conf"
        file.touch(mode=0o600)
        file.write_text(wifi)
        (folder / "20-zimbox-wifi.network").write_text(w.WIFI_NETWORK)
    if wishes.ntp:
        drop_in = run / "systemd/timesyncd.conf.d/zimbox.conf"
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(f"[Time]\nNTP={' '.join(wishes.ntp)}\n")


def ballast(file: Path, *, size: int = 16 << 20, room: int | None = None) -> None:
    """Space kept back for a card that is full: SQLite cannot even open a database without some.

    Thrown off at a start with less than 4 MiB to spare, taken aboard again when there is plenty.
    """
    free = shutil.disk_usage(file.parent).free if room is None else room
    try:
        if free < 4 << 20:
            file.unlink(missing_ok=True)
        elif free > 4 * size and not file.exists():
            with file.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:  # a card that takes nothing any more
        print(f"ballast: {error}", file=sys.stderr)


def sweep(places: Places) -> None:
    """What an update that was cut off left lying about: at a start nobody is uploading or unpacking."""
    incoming = places.database.parent / "incoming"
    for left in [
        *incoming.glob("*"),
        places.slots / "incoming.zimbox",
        *places.slots.glob("*.partial"),
    ]:
        shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(
            OSError
        ):  # it is gone, or the card takes nothing: the box starts all the same
            left.unlink()


def choose_slot(places: Places) -> SlotState:
    """The slot to run. A trial that is found here was cut off by a power cut: undone."""
    state = read_state(places.state)
    if state.trial is not None:
        print(
            f"the update in slot {state.trial} was cut off: back to {state.current}",
            file=sys.stderr,
        )
        data = give_data_back(places)
        words = "power was cut before the new release was confirmed"
        Result(False, "CUT_OFF", words, _version(places, state.trial), data).keep(places.result)
        state = give_up(state)
        write_state(places.state, state)
    if places.root_trial.exists():
        # A new root is judged by the release it came with; that becomes `state` when it is confirmed.
        point_at(places, "built-in")
        return SlotState()
    if not places.app(state.current).is_dir():
        state = SlotState()
        write_state(places.state, state)
    point_at(places, state.current)
    return state


def _version(places: Places, slot: Slot) -> str:
    """What the release in this slot says of itself; "" if it cannot be read."""
    try:
        manifest = msgspec.json.decode((places.app(slot) / "manifest.json").read_bytes())
        return str(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@contextlib.contextmanager
def boot_partition(keep: Keep) -> Iterator[Path]:
    """Partition 1 of the disk that /data is on; writable only if something is to be written."""
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
        if wants_writing(target, keep):
            subprocess.run(["mount", "-o", "remount,rw", target], check=True)
        yield target
    finally:
        os.sync()
        subprocess.run(["umount", target], check=True)


def main() -> None:
    keep, places = Keep(Path("/data")), Places(Path("/data"), Path("/run/zimbox"))
    group = grp.getgrnam("zimbox").gr_gid
    try:
        with boot_partition(keep) as boot:
            wishes = take_over(boot, keep, group)
            setup_code(boot, keep)
    except (OSError, subprocess.SubprocessError) as error:
        # A boot partition that cannot be read must not keep the box from sending.
        print(f"boot partition: {error}", file=sys.stderr)
        wishes = take_over(Path("/nonexistent"), keep, group)
    socket.sethostname(wishes.hostname)
    network(wishes, Path("/run"))
    # udev starts wpa_supplicant for each radio, whenever it appears; it waits for this unit.
    if wishes.ssh_key:
        subprocess.run(["systemctl", "start", "--no-block", "ssh.service"], check=True)
    choose_slot(places)
    sweep(places)
    ballast(keep.data / "system/ballast")


if __name__ == "__main__":
    main()
