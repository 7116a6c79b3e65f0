"""Does the few things that need root for a gateway that has none: a fixed list of verbs, nothing else.

Started by its socket, ends when nobody has asked for a while. One JSON object a line comes in, a
few go out, the last with "done". Who may connect is said by the socket's mode.
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

from image.target.slots import Places

IDLE_SECONDS = 30.0
LONGEST_REQUEST = 4096
PUBLIC_KEY = Path("/usr/lib/zimbox/update-key.pem")
INCOMING = Path("/data/zimbox/incoming")
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
# As timesyncd keeps it on data; what it calls /var/lib is so in its own view alone.
LAST_KNOWN = Path("/data/system/timesync/clock")
RELEASE = Path("/etc/zimbox-release")
# A clock that is set further than this past the release is a mistake of the network's.
LONGEST_LIFE_SECONDS = 30 * 365 * 86400
# JSON's whole numbers have no end, the machine's have.
LONGEST_EPOCH = 1 << 53
# The longest work of the steward is an update, which takes minutes.
LONGEST_WAIT_SECONDS = 3600.0
# USB wants to see the device gone before it comes back.
USB_OFF_SECONDS = 2.0

Tell = Callable[[dict[str, Any]], None]


class Refusal(Exception):
    """The verb is not done; `code` says why."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


def restart_gateway(request: Mapping[str, Any], tell: Tell) -> None:
    _systemctl("restart", "--no-block", "zimbox.service")


def restart_box(request: Mapping[str, Any], tell: Tell) -> None:
    _systemctl("reboot")


def power_off(request: Mapping[str, Any], tell: Tell) -> None:
    _systemctl("poweroff")


def usb_reset(request: Mapping[str, Any], tell: Tell) -> None:
    """Switch the modem's USB device off and on, as pulling the plug would."""
    switch = usb_switch(str(request.get("port", "")))
    switch.write_text("0")
    try:
        time.sleep(USB_OFF_SECONDS)
    finally:
        switch.write_text("1")


def usb_switch(port: str, sys_tty: Path = Path("/sys/class/tty"), dev: Path = Path("/dev")) -> Path:
    """The `authorized` file of the USB device that a serial port belongs to. Refuses all other ports."""
    if not re.fullmatch(r"/dev/(serial/by-(id|path)/)?[A-Za-z0-9_.:+-]+", port):
        raise Refusal("BAD_PORT", f"{port!r} is no serial port")
    name = (dev / port.removeprefix("/dev/")).resolve().name
    if not re.fullmatch(r"tty(USB|ACM)\d+", name):
        raise Refusal("BAD_PORT", f"{port} is not on USB")
    folder = (sys_tty / name / "device").resolve()
    while folder != folder.parent:
        if (folder / "authorized").exists() and (folder / "idVendor").exists():
            return folder / "authorized"
        folder = folder.parent
    raise Refusal("BAD_PORT", f"{port} is not there")


def set_time(request: Mapping[str, Any], tell: Tell) -> None:
    """The mobile network's time, where there is no other: see `acceptable_time`.

    `at`, if given, is the moment of CLOCK_MONOTONIC at which it was `epoch`: a request may have waited here.
    """
    epoch, at = request.get("epoch"), request.get("at")
    if not isinstance(epoch, int | float) or abs(epoch) > LONGEST_EPOCH:
        raise Refusal("BAD_TIME", "that is not a number of seconds")
    if at is not None:
        waited = time.monotonic() - at if isinstance(at, int | float) else -1.0
        if not 0 <= waited <= LONGEST_WAIT_SECONDS:
            raise Refusal("BAD_TIME", f"{at!r} is not a moment of the last hour")
        epoch += waited
    last_known = LAST_KNOWN.stat().st_mtime if LAST_KNOWN.exists() else 0.0
    built = json.loads(RELEASE.read_text())["built"]
    if why_not := acceptable_time(
        epoch, synchronised=SYNCHRONISED.exists(), last_known=last_known, built=built
    ):
        raise Refusal("BAD_TIME", why_not)
    time.clock_settime(time.CLOCK_REALTIME, epoch)


def acceptable_time(epoch: float, *, synchronised: bool, last_known: float, built: float) -> str:
    """ "" if the clock may be set so, else why not. All in seconds since the epoch."""
    if synchronised:
        return "the clock is kept by a time server"
    if epoch < max(last_known, built):
        return "that is before the last time that was known"
    # "Not a number" compares as false with everything.
    return "" if epoch <= built + LONGEST_LIFE_SECONDS else "that is too far ahead"


def update(request: Mapping[str, Any], tell: Tell) -> None:
    """Install a bundle that lies in the folder for incoming ones."""
    name = str(request.get("file", ""))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,120}", name):
        raise Refusal("BAD_FILE", f"{name!r} is not the name of a file in {INCOMING}")
    if not PUBLIC_KEY.exists():
        raise Refusal("NO_KEY", "this image was built without a key for updates")
    # Its cryptography takes a second to load on a small board, and the other verbs do without.
    from image.target.gateway import SystemdGateway
    from image.target.roots import Roots
    from image.target.updating import Updater

    places = Places(Path("/data"), Path("/run/zimbox"))
    updater = Updater(places, SystemdGateway(), PUBLIC_KEY, Roots.of_this_box(places))
    result = updater.update(INCOMING / name, lambda step: tell({"step": step}))
    (INCOMING / name).unlink(missing_ok=True)
    if not result.ok:
        raise Refusal(result.code, result.words)
    if result.code == "RESTARTING":
        _systemctl("reboot")


VERBS: Mapping[str, Callable[[Mapping[str, Any], Tell], None]] = {
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
    line: bytes, tell: Tell, verbs: Mapping[str, Callable[[Mapping[str, Any], Tell], None]] = VERBS
) -> None:
    """Do what one line asks and tell how it went; raises nothing that a request can cause."""
    try:
        request = _parsed(line)
        verb = request.get("verb")
        if not isinstance(verb, str) or verb not in verbs:
            raise Refusal("BAD_VERB", f"the verbs are {', '.join(verbs)}")
        verbs[verb](request, tell)
    except Refusal as refusal:
        tell({"done": True, "ok": False, "code": refusal.code, "words": str(refusal)})
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        # ValueError, LookupError: a file of the image (its key, its release) is not as it should be.
        print(f"{line!r}: {error}", file=sys.stderr)
        tell({"done": True, "ok": False, "code": "FAILED", "words": str(error)})
    else:
        tell({"done": True, "ok": True})


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise Refusal("BAD_REQUEST", "not a JSON object")
    return request


def converse(
    connection: socket.socket,
    verbs: Mapping[str, Callable[[Mapping[str, Any], Tell], None]] = VERBS,
) -> None:
    """One connection. An update goes on when whoever asked for it is stopped by it."""
    connection.settimeout(10)  # it is a line of JSON, sent at once

    def tell(what: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            print(f"nobody listens any more: {what}", file=sys.stderr)

    with connection, connection.makefile("rb") as lines:
        try:
            line = lines.readline(LONGEST_REQUEST)
        except OSError:
            return
        if line:
            answer(line, tell, verbs)


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
        converse(connection)


if __name__ == "__main__":
    main()
