"""The support file: what somebody who helps needs to see, without numbers, texts or keys."""

from __future__ import annotations

import platform

from appliance import __version__
from appliance.context import Context
from appliance.core import config
from appliance.core.log_buffer import LOG_BUFFER
from appliance.devices.manager import Devices
from appliance.monitoring.dashboard import DashboardReader


class SupportFile:
    """Writes the support file."""

    def __init__(self, box: Context, devices: Devices, dashboard: DashboardReader) -> None:
        self._box = box
        self._devices = devices
        self._dashboard = dashboard

    async def text(self) -> str:
        """Return the state of the box, its settings without secrets, and its latest log."""
        seen = await self._dashboard.take()
        modems = [
            f"modem {n}: {a.status.identity.model if a.status.identity else '?'} "
            f"{a.status.identity.revision if a.status.identity else ''} state={a.status.state} "
            f"operator={a.status.operator!r} technology={a.status.technology} "
            f"signal={a.status.signal_dbm} registration={a.status.registration} "
            f"reports={a.status.report_mode} stored={a.status.stored}/{a.status.storage} "
            f"warning={a.status.warning!r} recoveries={dict(a.status.recoveries)}"
            for n, a in enumerate((a for a in self._devices.attached if not a.test), 1)
        ]
        problems = [f"problem: {p.code} {p.text}" for p in seen.problems]
        figures = [
            f"waiting={seen.queue.messages} scheduled={seen.queue.scheduled} "
            f"today={seen.today} disk_free_mib={seen.disk_free_mib} "
            f"clock_trusted={self._box.clock.trusted} time_zone={self._box.zone}"
        ]
        parts = (
            [f"ZimBox {__version__}, Python {platform.python_version()}, {platform.platform()}"],
            *(
                modems,
                problems,
                figures,
                ["", config.show(self._box.config), LOG_BUFFER.text(), ""],
            ),
        )
        return "\n".join(line for part in parts for line in part)
