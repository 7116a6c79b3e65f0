"""Control the gateway of this card during an update: stop, start, read /health."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import Protocol

from appliance.maintenance.update import Shown

# The time-out of zimbox.service for a stop is 160 s.
SYSTEMCTL_SECONDS = 300.0


class Gateway(Protocol):
    """What an update needs of the running gateway."""

    def stop(self) -> None: ...
    def start(self) -> None:
        """Return when the gateway is ready, or has failed to start."""

    def shown(self) -> Shown | None: ...


class SystemdGateway:
    """zimbox.service, through systemctl and /health."""

    def __init__(self, url: str = "http://127.0.0.1:80/health") -> None:
        self._url = url

    def stop(self) -> None:
        subprocess.run(
            ["systemctl", "stop", "zimbox.service"], check=True, timeout=SYSTEMCTL_SECONDS
        )

    def start(self) -> None:
        subprocess.run(
            ["systemctl", "reset-failed", "zimbox.service"], check=False, timeout=SYSTEMCTL_SECONDS
        )
        # A failed start shows in /health, too.
        subprocess.run(
            ["systemctl", "start", "zimbox.service"], check=False, timeout=SYSTEMCTL_SECONDS
        )

    def shown(self) -> Shown | None:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:
                health = json.load(answer)
        except (OSError, ValueError):
            return None
        return read_health(health)


def read_health(health: object) -> Shown | None:
    """Parse /health, with or without the API's envelope; None if it is not an object."""
    if not isinstance(health, dict):
        return None
    body = health.get("data", health)
    devices = body.get("devices", [])
    return Shown(
        str(body.get("version", "")), sum(device.get("status") == "online" for device in devices)
    )
