"""The modems as clients see them."""

from __future__ import annotations

from appliance.context import Context
from appliance.devices.manager import Devices
from appliance.domain.validation import utc
from appliance.domain.views import AuthTest, Caller, Device
from appliance.store.rows import DeviceRow


class DeviceDirectory:
    """Lists the modems that a client may use."""

    def __init__(self, box: Context, devices: Devices) -> None:
        self._box = box
        self._devices = devices

    async def of(self, caller: Caller) -> tuple[Device, ...]:
        """Return the modems of a caller; of a test key the simulated one."""
        if caller.mode == "test":
            await self._devices.test_modem()
        rows = self._box.credentials.devices(caller.client_id, caller.mode == "test")
        return self.views(rows)

    def views(self, rows: list[DeviceRow]) -> tuple[Device, ...]:
        """Return stored modems with their present state; one that is not attached is offline."""
        return tuple(self._view(row) for row in rows)

    def _view(self, row: DeviceRow) -> Device:
        attached = self._devices.by_number(row.id)
        status = attached.status if attached else None
        return Device(
            device_id=f"device_{row.id}",
            name=row.name,
            status="online" if attached and attached.online else "offline",
            state=status.state.value if status else "offline",
            operator=(status.operator or None) if status else None,
            technology=(status.technology or None) if status else None,
            signal=status.signal_dbm if status else None,
            phone_number=row.phone_number or None,
            since=utc(row.since),
            limitations=sorted(one.value for one in status.limitations) if status else [],
        )

    async def auth_test(self, caller: Caller) -> AuthTest:
        """Return the client of a key, and the modem that it would use."""
        found = list(await self.of(caller))
        if caller.device_id and caller.mode == "live":  # a test key ends at the simulated one
            found = [d for d in found if d.device_id == caller.device_id]
        best = min(found, key=lambda d: d.status != "online", default=None)
        return AuthTest(
            client=caller.client,
            device_id=best.device_id if best else caller.device_id,
            device_status="online" if best and best.status == "online" else "offline",
        )
