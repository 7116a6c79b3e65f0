"""PINs typed on the page, kept so that the box starts by itself after a power cut."""

from __future__ import annotations

import msgspec
import structlog

from appliance.context import Context
from appliance.core.config import ModemSettings
from appliance.core.encryption import LostKey
from appliance.store import admin as table

log = structlog.get_logger(__name__)


class Pins:
    """PINs by port, encrypted with the key that no backup contains. The modem's guard decides on attempts."""

    def __init__(self, box: Context) -> None:
        self._box = box

    async def remember(self, port: str, pin: str) -> None:
        """Keep a PIN that has just opened the SIM, beside the configured one, which had not."""
        configured = next((m.pin for m in self._box.config.modem if m.port == port), "")
        kept = self._box.encryption.encrypt(f"{pin} {configured}")
        await self._box.db.write(table.keep, f"pin {port}", kept)

    async def completed(self, modem: ModemSettings) -> ModemSettings:
        """Return a modem's settings with the PIN typed on the page, unless the configured one changed since."""
        kept = await self._box.db.read(table.setting, f"pin {modem.port}", bytes)
        if kept is None:
            return modem
        try:
            pin, _, configured = self._box.encryption.decrypt(kept).partition(" ")
            return msgspec.structs.replace(modem, pin=pin) if modem.pin == configured else modem
        except LostKey:  # a restored backup: the owner has to type it again
            log.warning("kept_pin_unreadable", port=modem.port)
            return modem
