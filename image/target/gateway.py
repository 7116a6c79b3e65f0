"""The gateway on this card, as an update sees it: stop, start, and what /health says."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import Protocol

from appliance.maintenance.update import Shown

# The time-out of zimbox.service for a stop is 160 s.
SYSTEMCTL_SECONDS = 300.0


class Gateway(Protocol):
    """The running gateway, as an update sees it."""

    def stop(self) -> None: ...
    def start(self) -> None:
        """Returns when it says that it is ready, or has failed."""

    def shown(self) -> Shown | None: ...


class SystemdGateway:
    """zimbox.service on this box."""

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
        # Failing to start is an answer that /health gives, too.
        subprocess.run(
            ["systemctl", "start", "zimbox.service"], check=False, timeout=SYSTEMCTL_SECONDS
        )

    def shown(self) -> Shown | None:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:
                told = json.load(answer)
        except (OSError, ValueError):
            return None
        return read_health(told)


def read_health(told: object) -> Shown | None:
    """/health as an update sees it, with or without the API's envelope around it."""
    if not isinstance(told, dict):
        return None
    body = told.get("data", told)
    devices = body.get("devices", [])
    return Shown(
        str(body.get("version", "")), sum(device.get("status") == "online" for device in devices)
    )
