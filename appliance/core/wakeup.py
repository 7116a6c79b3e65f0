"""Wake-up events between the legs. A lost event only delays work until the safety poll."""

from __future__ import annotations

import asyncio

SAFETY_POLL_SECONDS = 30.0  # every leg polls the store this often, even without an event


class WakeupEvents:
    """One event for each leg that waits, set after the commit that creates its work."""

    def __init__(self) -> None:
        self._outboxes: list[asyncio.Event] = []
        self.webhooks = asyncio.Event()
        self.housekeeping = asyncio.Event()
        self.watchers: set[asyncio.Event] = set()  # live pages

    def add_outbox(self) -> asyncio.Event:
        bell = asyncio.Event()
        self._outboxes.append(bell)
        return bell

    def remove_outbox(self, bell: asyncio.Event) -> None:
        self._outboxes.remove(bell)

    def work(self) -> None:
        """Notify the outboxes that there is something to send."""
        for bell in self._outboxes:
            bell.set()

    def changed(self) -> None:
        """Notify the webhooks and the live pages that a message or a modem has changed."""
        self.webhooks.set()
        for bell in self.watchers:
            bell.set()
