"""Run a fixed list of verbs that need root, for a gateway that runs without.

Started by its socket; exits when idle. Requests and responses are one JSON object a line; the last response
has "done". The mode of the socket decides who may connect.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from image.target.slots import ReleasePaths

IDLE_SECONDS = 30.0
LONGEST_REQUEST = 4096
PUBLIC_KEY = Path("/usr/lib/zimbox/update-key.pem")
INCOMING = Path("/data/zimbox/incoming")
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
# timesyncd's clock file; bound to /var/lib in its own mount namespace only.
LAST_KNOWN = Path("/data/system/timesync/clock")
RELEASE = Path("/etc/zimbox-release")
# A time further past the release than this is an error of the network.
LONGEST_LIFE_SECONDS = 30 * 365 * 86400
# JSON integers are unbounded; clock_settime's are not.
LONGEST_EPOCH = 1 << 53
# An update, the longest verb, takes minutes.
LONGEST_WAIT_SECONDS = 3600.0
# Long enough for the hub to see the device gone.
USB_OFF_SECONDS = 2.0

Progress = Callable[[dict[str, Any]], None]


class VerbRefused(Exception):
    """The verb was refused; `code` says why."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def restart_gateway(request: Mapping[str, Any], progress: Progress) -> None:
    _systemctl("restart", "--no-block", "zimbox.service")


def restart_box(request: Mapping[str, Any], progress: Progress) -> None:
    _systemctl("reboot")


def power_off(request: Mapping[str, Any], progress: Progress) -> None:
    _systemctl("poweroff")


def usb_reset(request: Mapping[str, Any], progress: Progress) -> None:
    """Deauthorize the modem's USB device and authorize it again, as unplugging would."""
    switch = usb_switch(str(request.get("port", "")))
    switch.write_text("0")
    try:
        time.sleep(USB_OFF_SECONDS)
    finally:
        switch.write_text("1")


def usb_switch(port: str, sys_tty: Path = Path("/sys/class/tty"), dev: Path = Path("/dev")) -> Path:
    """The `authorized` file of the USB device that a serial port belongs to. Refuses all other ports."""
    if not re.fullmatch(r"/dev/(serial/by-(id|path)/)?[A-Za-z0-9_.:+-]+", port):
        raise VerbRefused("BAD_PORT", f"{port!r} is not a serial port")
    name = (dev / port.removeprefix("/dev/")).resolve().name
    if not re.fullmatch(r"tty(USB|ACM)\d+", name):
        raise VerbRefused("BAD_PORT", f"{port} is not on USB")
    folder = (sys_tty / name / "device").resolve()
    while folder != folder.parent:
        if (folder / "authorized").exists() and (folder / "idVendor").exists():
            return folder / "authorized"
        folder = folder.parent
    raise VerbRefused("BAD_PORT", f"{port} is not there")


def set_time(request: Mapping[str, Any], progress: Progress) -> None:
    """Set the clock to the mobile network's time if `acceptable_time` allows it.

    `at`, if given, is the CLOCK_MONOTONIC time at which it was `epoch`: the request may have waited here.
    """
    epoch, at = request.get("epoch"), request.get("at")
    if not isinstance(epoch, int | float) or abs(epoch) > LONGEST_EPOCH:
        raise VerbRefused("BAD_TIME", "that is not a number of seconds")
    if at is not None:
        waited = time.monotonic() - at if isinstance(at, int | float) else -1.0
        if not 0 <= waited <= LONGEST_WAIT_SECONDS:
            raise VerbRefused("BAD_TIME", f"{at!r} is not a moment of the last hour")
        epoch += waited
    last_known = LAST_KNOWN.stat().st_mtime if LAST_KNOWN.exists() else 0.0
    built = json.loads(RELEASE.read_text())["built"]
    if why_not := acceptable_time(
        epoch, synchronised=SYNCHRONISED.exists(), last_known=last_known, built=built
    ):
        raise VerbRefused("BAD_TIME", why_not)
    time.clock_settime(time.CLOCK_REALTIME, epoch)


def acceptable_time(epoch: float, *, synchronised: bool, last_known: float, built: float) -> str:
    """Return why the clock may not be set to `epoch`, "" if it may. All in seconds since the epoch."""
    if synchronised:
        return "the clock is kept by a time server"
    if epoch < max(last_known, built):
        return "that is before the last time that was known"
    # "Not a number" compares as false with everything.
    return "" if epoch <= built + LONGEST_LIFE_SECONDS else "that is too far ahead"


def update(request: Mapping[str, Any], progress: Progress) -> None:
    """Install a bundle from the incoming folder."""
    name = str(request.get("file", ""))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}", name):
        raise VerbRefused("BAD_FILE", f"{name!r} is not the name of a file in {INCOMING}")
    if not PUBLIC_KEY.exists():
        raise VerbRefused("NO_KEY", "this image was built without a key for updates")
    # Imported here: cryptography takes a second to load on a small board.
    from image.target.gateway import SystemdGateway
    from image.target.roots import Roots
    from image.target.updating import Updater

    paths = ReleasePaths(Path("/data"), Path("/run/zimbox"))
    updater = Updater(paths, SystemdGateway(), PUBLIC_KEY, Roots.of_this_box(paths))
    result = updater.update(INCOMING / name, lambda step: progress({"step": step}))
    (INCOMING / name).unlink(missing_ok=True)
    if not result.ok:
        raise VerbRefused(result.code, result.words)
    if result.code == "RESTARTING":
        _systemctl("reboot")


VERBS: Mapping[str, Callable[[Mapping[str, Any], Progress], None]] = {
    "restart-gateway": restart_gateway,
    "restart-box": restart_box,
    "power-off": power_off,
    "usb-reset": usb_reset,
    "set-time": set_time,
    "update": update,
}


def _systemctl(*words: str) -> None:
    subprocess.run(["systemctl", *words], check=True, timeout=60)


def answer(
    line: bytes,
    progress: Progress,
    verbs: Mapping[str, Callable[[Mapping[str, Any], Progress], None]] = VERBS,
) -> None:
    """Run the verb of one request and report its result; never raises because of a request."""
    try:
        request = _parsed(line)
        verb = request.get("verb")
        if not isinstance(verb, str) or verb not in verbs:
            raise VerbRefused("BAD_VERB", f"the verbs are {', '.join(verbs)}")
        verbs[verb](request, progress)
    except VerbRefused as refusal:
        progress({"done": True, "ok": False, "code": refusal.code, "words": str(refusal)})
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        # ValueError, LookupError: a damaged file of the image (its key, its release).
        print(f"{line!r}: {error}", file=sys.stderr)
        progress({"done": True, "ok": False, "code": "FAILED", "words": str(error)})
    else:
        progress({"done": True, "ok": True})


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise VerbRefused("BAD_REQUEST", "not a JSON object")
    return request


def serve_connection(
    connection: socket.socket,
    verbs: Mapping[str, Callable[[Mapping[str, Any], Progress], None]] = VERBS,
) -> None:
    """Serve one connection. An update continues after it has stopped the gateway that asked for it."""
    connection.settimeout(10)  # one line, sent at once

    def progress(what: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            print(f"the caller has gone: {what}", file=sys.stderr)

    with connection, connection.makefile("rb") as lines:
        try:
            line = lines.readline(LONGEST_REQUEST)
        except OSError:
            return
        if line:
            answer(line, progress, verbs)


def main() -> None:
    # systemd hands the listening socket over as descriptor 3 (sd_listen_fds(3)).
    if os.environ.get("LISTEN_FDS") != "1":
        sys.exit("started by its socket only")
    listening = socket.socket(fileno=3)
    listening.settimeout(IDLE_SECONDS)
    while True:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            return
        serve_connection(connection)


if __name__ == "__main__":
    main()
