"""The SMPP server in the owner's hands: on or off, and what it does."""

from __future__ import annotations

import asyncio

import msgspec

from appliance.admin.preferences import AdminPreferences
from appliance.context import Context

STANDARD_LISTEN = "0.0.0.0:2775"  # the port that IANA has for SMPP


class SmppStatus(msgspec.Struct, frozen=True):
    """Where the server listens, or why it does not."""

    listening: tuple[str, ...] = ()
    error: str = ""


class AdminSmpp:
    """Switches the server; `changed` wakes who runs it."""

    def __init__(self, box: Context, preferences: AdminPreferences) -> None:
        self._settings = box.config.smpp
        self._preferences = preferences
        self.changed = asyncio.Event()
        self.status = SmppStatus()

    @property
    def on(self) -> bool:
        """Whether the server is to run: as chosen on the page, else as configured."""
        chosen = self._preferences.current.smpp
        return (
            bool(self._settings.listen or self._settings.tls_listen) if chosen is None else chosen
        )

    @property
    def listen(self) -> str:
        """Where it is to listen without TLS; empty: nowhere."""
        if self._settings.listen or self._settings.tls_listen:
            return self._settings.listen
        return STANDARD_LISTEN

    async def switch(self, on: bool) -> None:
        """Switch the server on or off."""
        await self._preferences.change(smpp=on)
        self.changed.set()
