"""The state of the Wi-Fi, as the card's `image/target/wifi.py` keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

STATE = Path("/run/zimbox/wifi.json")


class Wifi(msgspec.Struct, frozen=True):
    """What wpa_supplicant says of the configured network."""

    state: Literal["connecting", "connected", "wrong_password", "not_found"] = "connecting"
    ssid: str = ""


def read(file: Path = STATE) -> Wifi | None:
    """Return the state of the Wi-Fi; None without a radio, or on another machine than the card."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Wifi)
    except (OSError, msgspec.DecodeError):
        return None
