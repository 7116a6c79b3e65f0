"""Follow wpa_supplicant: keep the state of the Wi-Fi for the status page, and blink the board's LED.

The control interface is wpa_supplicant's: a datagram with a command ("ATTACH") to its socket, then events such as
"<3>CTRL-EVENT-CONNECTED …" (wpa_ctrl.h of wpa_supplicant 2.10). Standard library alone: one more process on a
board of 512 MB.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path

STATE = Path("/run/zimbox/wifi.json")  # appliance.monitoring.wifi.STATE reads it
CONTROL = Path("/run/wpa_supplicant")
LED = Path("/sys/class/leds/ACT")
# The socket appears a moment after the process.
OPEN_SECONDS = 60.0
ANSWER_SECONDS = 10.0

CONNECTING, CONNECTED, WRONG_PASSWORD, NOT_FOUND = "connecting", "connected", "wrong_password", "not_found"  # fmt: skip
DEFAULT_TRIGGER = "heartbeat"  # in the boards' device trees
# Milliseconds on and off. Without a network the LED is all that the owner can see of the reason.
BLINK = {WRONG_PASSWORD: (125, 125), NOT_FOUND: (1000, 1000)}


def next_state(state: str, event: str) -> str:
    """Return the state after an event. A wrong password is forgotten only when the box is connected."""
    if "CTRL-EVENT-CONNECTED" in event:
        return CONNECTED
    if "CTRL-EVENT-SSID-TEMP-DISABLED" in event and "reason=WRONG_KEY" in event:
        return WRONG_PASSWORD
    if state == WRONG_PASSWORD:
        return state
    if "CTRL-EVENT-NETWORK-NOT-FOUND" in event:
        return NOT_FOUND
    if "CTRL-EVENT-DISCONNECTED" in event:
        return CONNECTING
    return state


def write_state(file: Path, state: str, ssid: str) -> None:
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(json.dumps({"state": state, "ssid": ssid}))
    fresh.chmod(0o644)  # for the gateway
    fresh.replace(file)


def blink(led: Path, state: str) -> None:
    """Blink the LED as `state` asks for, else give it back to the kernel's default. A board may have no such LED."""
    with contextlib.suppress(FileNotFoundError):
        if times := BLINK.get(state):
            (led / "trigger").write_text("timer")
            (led / "delay_on").write_text(str(times[0]))
            (led / "delay_off").write_text(str(times[1]))
        else:
            (led / "trigger").write_text(DEFAULT_TRIGGER)


def attach(control: Path, own: Path) -> socket.socket:
    """Connect to wpa_supplicant and ask for its events. Raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    own.unlink(missing_ok=True)
    line.bind(str(own))
    deadline = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            line.connect(str(control))
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            break
    line.settimeout(ANSWER_SECONDS)
    line.send(b"ATTACH")
    answer = line.recv(4096)
    while answer.startswith(b"<"):  # an event may come before the answer
        answer = line.recv(4096)
    if answer.strip() != b"OK":
        line.close()
        raise OSError(f"wpa_supplicant answered {answer!r}")
    line.settimeout(None)
    return line


def follow(line: socket.socket, file: Path, led: Path, ssid: str) -> None:
    """Write each change of state until wpa_supplicant ends."""
    state = CONNECTING
    write_state(file, state, ssid)
    while "CTRL-EVENT-TERMINATING" not in (event := line.recv(4096).decode(errors="replace")):
        if (new := next_state(state, event)) != state:
            state = new
            print(f"wifi: {state}", file=sys.stderr)
            write_state(file, state, ssid)
            blink(led, state)


def main() -> None:
    interface = sys.argv[1]
    user_config = Path("/data/system/user-config.json")
    ssid = json.loads(user_config.read_text())["wifi"]["ssid"]
    line = attach(CONTROL / interface, STATE.with_name(f"wifi-{os.getpid()}.sock"))
    try:
        follow(line, STATE, LED, ssid)
    finally:
        STATE.unlink(missing_ok=True)
        blink(LED, CONNECTED)


if __name__ == "__main__":
    main()
