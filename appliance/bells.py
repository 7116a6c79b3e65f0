"""Bells make a leg look sooner. A lost ring costs a safety look, never a message."""

from __future__ import annotations

import asyncio

SAFETY_LOOK_SECONDS = 30.0  # every leg looks at the store this often even if no bell rang


class Bells:
    """One bell for each leg that waits; rung after the commit that gives it work."""

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
        """There is something to send."""
        for bell in self._outboxes:
            bell.set()

    def changed(self) -> None:
        """Something became of a message or a modem: tell the webhooks and whoever watches."""
        self.webhooks.set()
        for bell in self.watchers:
            bell.set()
