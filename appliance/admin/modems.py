"""The modems in the owner's hands: PIN and PUK, limits, balance, USSD, restart."""

from __future__ import annotations

import msgspec

from appliance.context import Context
from appliance.core.config import Balance, Limits, ModemSettings
from appliance.core.i18n import _
from appliance.devices import balance
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.devices.pin_store import Pins
from appliance.domain.errors import ApiError, invalid
from appliance.store import admin
from appliance.store import devices as device_table
from appliance.store.rows import DeviceRow
from modem.interface import CodeRefused


class AdminModems:
    """What the owner does with a modem. The page counts them from 1."""

    def __init__(self, box: Context, devices: Devices) -> None:
        self._box = box
        self._devices = devices
        self._pins = Pins(box)

    def at(self, index: int) -> Attached:
        """Return a modem by its place on the page. Raises NOT_FOUND."""
        found = [a for a in self._devices.attached if not a.test]
        if not 1 <= index <= len(found):
            raise ApiError("NOT_FOUND")
        return found[index - 1]

    async def enter_pin(self, index: int, pin: str) -> CodeRefused | None:
        """Try the SIM's PIN, and keep a right one. Return None, or why not."""
        attached = self.at(index)
        refused = await attached.modem.enter_pin(pin)
        if refused is None:
            await self._pins.remember(attached.settings.port, pin)
        return refused

    async def unlock(self, index: int, puk: str, pin: str) -> CodeRefused | None:
        """Try the PUK, set a new PIN and keep it. Return None, or why not."""
        attached = self.at(index)
        refused = await attached.modem.unlock(puk, pin)
        if refused is None:
            await self._pins.remember(attached.settings.port, pin)
        return refused

    async def restart(self, index: int) -> None:
        """Reset the modem, after an open send."""
        await self.at(index).modem.restart()

    async def ask_operator(self, index: int, code: str) -> str:
        """Send a USSD code and return the answer. Raises UssdError, NOT_FOUND, INVALID_REQUEST."""
        _check_ussd(code)
        attached = self.at(index)
        answer = await attached.modem.ussd(code)
        if code == attached.settings.balance.code:
            balance.record_answer(attached, answer)
            self._box.wakeups.changed()
        return answer

    async def set_balance(self, index: int, code: str, low: float) -> None:
        """Set how the balance is asked for, and when it is low; in force at once and after a restart."""
        if code:
            _check_ussd(code)
        attached = self.at(index)
        wanted = msgspec.structs.replace(attached.settings.balance, code=code, low=low)
        await self._box.db.write(admin.keep, f"balance {attached.settings.port}", wanted)
        attached.settings = msgspec.structs.replace(attached.settings, balance=wanted)
        attached.balance, attached.balance_text = None, ""
        self._box.wakeups.changed()

    async def completed(self, modem: ModemSettings) -> ModemSettings:
        """Return a modem's settings with what was set on the page: its PIN, how its balance is asked for."""
        kept = await self._box.db.read(admin.setting, f"balance {modem.port}", Balance)
        if kept is not None:
            modem = msgspec.structs.replace(modem, balance=kept)
        return await self._pins.completed(modem)

    async def former(self) -> list[tuple[DeviceRow, int]]:
        """Return the modems that are not attached any more, each with the number of parts that wait for it."""
        known = await self._box.db.read(device_table.live_with_waiting)
        return [(row, n) for row, n in known if self._devices.by_number(row.id) is None]

    async def remove(self, number: int) -> None:
        """Forget a former modem; its queued messages fail. Raises NOT_FOUND."""
        if number not in {row.id for row, _waiting in await self.former()}:
            raise ApiError("NOT_FOUND")
        if not await self._box.db.write(device_table.remove, number):
            raise ApiError("NOT_FOUND")
        self._box.wakeups.changed()

    async def set_limits(self, index: int, wanted: Limits) -> None:
        """Set the limits of a SIM, in force at once and after a restart. Raises INVALID_REQUEST."""
        attached = self.at(index)
        if not await self._box.db.write(admin.set_limits, attached.number, wanted):
            raise invalid("limits", _("can be saved only once the modem is recognised"))
        attached.limits = wanted
        self._box.wakeups.work()
        self._box.wakeups.changed()


def _check_ussd(code: str) -> None:
    if not code or len(code) > 40 or not set(code) <= set("0123456789*#+"):
        raise invalid("code", _("looks like *100#"))
