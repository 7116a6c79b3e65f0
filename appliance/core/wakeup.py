"""Wake-up events between the legs. A lost event only delays work until the safety poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SAFETY_POLL_SECONDS = 30.0  # every leg polls the store this often, even without an event


class WakeupEvents:
    """One event for each leg that waits, set after the commit that creates its work."""

    def __init__(self) -> None:
        self._outboxes: list[asyncio.Event] = []
        # Of outboxes: each claims in the next commit if it waits for work.
        self.claims: set[Callable[[], None]] = set()
        self.webhooks = asyncio.Event()
        self.housekeeping = asyncio.Event()
        self.watchers: set[asyncio.Event] = set()  # live pages

    def add_outbox(self) -> asyncio.Event:
        event = asyncio.Event()
        self._outboxes.append(event)
        return event

    def remove_outbox(self, event: asyncio.Event) -> None:
        self._outboxes.remove(event)

    def work(self) -> None:
        """Notify the outboxes that there is something to send."""
        for event in self._outboxes:
            event.set()

    def accepting(self) -> None:
        """Let an outbox that waits for work claim in the commit that accepts a message, which is queued already."""
        for claim in self.claims:
            claim()

    def changed(self) -> None:
        """Notify the webhooks and the live pages that a message or a modem has changed."""
        self.webhooks.set()
        for event in self.watchers:
            event.set()
