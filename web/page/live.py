"""Live pages: one snapshot for all open streams, at most once per second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic

from appliance.core.i18n import Language
from appliance.core.tasks import forever
from appliance.domain.errors import ApiError
from appliance.domain.requests import PageFilter
from appliance.monitoring.dashboard import Overview
from appliance.services import Services
from web.page.chart import draw
from web.page.rendering import fragment
from web.page.visitor import Visitor

# At most one snapshot per second. A slow snapshot (a full queue on a small board) is followed by a pause
# twenty times as long, so that sending keeps the processor.
POLL_SECONDS = 1.0
REST_PER_READ = 20
SAFETY_SECONDS = 10.0  # signal and ages change without a wake-up event
BREATH_SECONDS = 15.0  # interval of comments on a silent stream, as a sign of life for both ends
STREAMS_MOST = 40
STRANGERS_MOST = 20  # of these; visitors on the LAN cannot take the owner's places

NEWEST = PageFilter()  # the part of a conversation that is shown live

REGIONS = ("verdict", "modems", "queue", "today", "chart", "latest", "network")


class Live:
    """Takes snapshots while somebody watches, and sends each stream its changes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._wakeup = asyncio.Event()
        self._turn = asyncio.Event()  # replaced with each snapshot, which wakes its waiters
        self._streams = 0
        self._strangers = 0
        self._closed = False
        self._looking: asyncio.Task[None] | None = None
        self._seen: Overview | None = None
        self._seen_at = -POLL_SECONDS
        self._regions: dict[tuple[Language, bool], dict[str, str]] = {}
        self._one_look = asyncio.Lock()

    def close(self) -> None:
        """End every stream: the box is stopping."""
        self._closed = True
        self._turn.set()
        if self._looking is not None:
            self._looking.cancel()

    # --- snapshots -----------------------------------------------------------------------------------

    async def read(self) -> Overview:
        """Return a snapshot that is at most a second old; many callers share one."""
        async with self._one_look:
            if self._seen is None or monotonic() - self._seen_at >= POLL_SECONDS:
                self._seen = await self._services.dashboard.take()
                self._seen_at = monotonic()
                self._regions.clear()
            return self._seen

    def stale(self) -> None:
        """Discard the snapshot, after an action on the page."""
        self._seen = None

    async def _watch(self) -> None:
        watchers = self._services.context.wakeups.watchers
        watchers.add(self._wakeup)
        try:
            while self._streams and not self._closed:
                begun = monotonic()
                await self.read()
                turn, self._turn = self._turn, asyncio.Event()
                turn.set()
                took = monotonic() - begun
                await asyncio.sleep(max(POLL_SECONDS, REST_PER_READ * took))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAFETY_SECONDS):
                        await self._wakeup.wait()
                self._wakeup.clear()
                # A visitor may have taken a snapshot since, but before the change that rang.
                self._seen = None
            self._looking = None  # the last stream has gone: the next one starts again
        finally:
            watchers.discard(self._wakeup)

    def regions(self, seen: Overview, visitor: Visitor) -> dict[str, str]:
        """Return the regions of the status page for visitors of this kind."""
        kind = (visitor.language.code, visitor.admin)
        if seen is not self._seen or kind not in self._regions:
            result = {
                name: fragment(f"live/{name}.html", visitor, seen=seen, chart=draw(seen.days))
                for name in REGIONS
            }
            if visitor.admin:
                result |= {
                    f"modem-{n}": fragment("live/modem.html", visitor, modem=modem)
                    for n, modem in enumerate(seen.modems, start=1)
                }
            if seen is not self._seen:
                return result
            self._regions[kind] = result
        return self._regions[kind]

    # --- streaming -----------------------------------------------------------------------------------

    async def stream(
        self, visitor: Visitor, message_id: str | None, conversation: tuple[int, str] | None = None
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events: changed regions of the status page, of a message or of a conversation.

        A conversation is named by its client and its number.
        """
        stranger = int(not visitor.admin)
        if self._streams >= STREAMS_MOST or (stranger and self._strangers >= STRANGERS_MOST):
            return
        self._streams += 1
        self._strangers += stranger
        if self._looking is None:
            self._looking = asyncio.create_task(forever("live page", self._watch))
        sent: dict[str, str] = {}
        checked = monotonic()
        try:
            yield b"retry: 3000\n\n"
            while not self._closed:
                turn = self._turn
                for name, text in (await self._shown(visitor, message_id, conversation)).items():
                    if sent.get(name) != text:
                        sent[name] = text
                        yield event(name, text)
                try:
                    async with asyncio.timeout(BREATH_SECONDS):
                        await turn.wait()
                except TimeoutError:
                    yield b": breath\n\n"
                if visitor.admin and monotonic() - checked > BREATH_SECONDS:
                    checked = monotonic()
                    if not await self._services.admin.auth.is_admin(visitor.session):
                        return
        finally:
            self._streams -= 1
            self._strangers -= stranger

    async def _shown(
        self, visitor: Visitor, message_id: str | None, conversation: tuple[int, str] | None
    ) -> dict[str, str]:
        if conversation is not None:
            client, number = conversation
            thread = await self._services.admin.messages.conversation(client, number, NEWEST)
            now = self._services.context.clock.now()
            return {"thread": fragment("live/thread.html", visitor, thread=thread, now=now)}
        if message_id is None:
            seen = await self.read()
            # A form belongs to its visitor: it carries a token.
            codes = {"codes": fragment("live/codes.html", visitor, seen=seen)}
            return self.regions(seen, visitor) | (codes if visitor.admin else {})
        try:
            timeline = await self._services.admin.messages.timeline(message_id)
        except ApiError:
            return {}
        now = self._services.context.clock.now()
        return {
            name: fragment(f"live/{name}.html", visitor, timeline=timeline, now=now)
            for name in ("progress", "timeline")
        }


def event(name: str, text: str) -> bytes:
    """Encode a server-sent event, one data line per line of text (WHATWG HTML 9.2.6)."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() if line.strip())
    return f"event: {name}\n{lines}\n".encode()
