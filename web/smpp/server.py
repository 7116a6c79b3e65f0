"""The SMPP server: listens, admits connections, and hands receipts and received texts to the engines."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address

import structlog

from appliance.context import Context
from appliance.core.tasks import forever
from appliance.core.wakeup import SAFETY_POLL_SECONDS
from appliance.services import Services
from appliance.smpp.deliveries import EngineDelivery, EngineReceipt
from web.smpp.gateway import SmppGateway
from web.smpp.session import Bound, EngineSession
from web.smpp.status import CommandStatus

log = structlog.get_logger(__name__)

# An engine that refuses a delivery for now gets it again after this, doubled up to the longest.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 5.0, 600.0
# The engine will never take it (5.1.3); anything else passes.
REFUSED_FOR_GOOD: frozenset[int] = frozenset({CommandStatus.ESME_RX_P_APPN})
SESSIONS_OF_CLIENT = 8
# How much an engine may be ahead of what is handled; a PDU is at most twice that.
READ_AHEAD_OCTETS = 4096
# What the kernel keeps for an engine that does not read; by default it grows to megabytes.
SEND_BUFFER_OCTETS = 64 * 1024
TIDY_SECONDS = 15.0


class SmppServer:
    """Serves engines from `start` to `stop`."""

    def __init__(self, services: Services) -> None:
        self._box: Context = services.context
        self.gateway = SmppGateway(services)
        self._settings = self.gateway.settings
        self._servers: list[asyncio.Server] = []
        self._sessions: dict[EngineSession, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._wakeup = asyncio.Event()
        self._under_way: dict[int, int] = {}  # deliveries sent without an answer: their submission
        self._retries: dict[int, tuple[float, float]] = {}  # when again, and the pause before it
        self.refused_connections = 0

    @property
    def bound(self) -> int:
        """The number of engines that are bound."""
        return sum(session.bound is not Bound.NOT for session in self._sessions)

    @property
    def connections(self) -> int:
        """The number of connections, bound or not."""
        return len(self._sessions)

    async def start(self, sockets: Sequence[tuple[socket.socket, ssl.SSLContext | None]]) -> None:
        """Serve on listening sockets, over TLS where a context is given."""
        await self.gateway.submissions.start()
        for bound, tls in sockets:
            server = await asyncio.start_server(
                self._connected,
                sock=bound,
                ssl=tls,
                limit=READ_AHEAD_OCTETS,
                ssl_handshake_timeout=self._settings.bind_seconds if tls else None,
            )
            self._servers.append(server)
        self._box.wakeups.watchers.add(self._wakeup)
        self._loops = [asyncio.create_task(forever("smpp deliveries", self._deliver))]
        self._loops.append(asyncio.create_task(forever("smpp tidy", self._tidy)))

    async def stop(self) -> None:
        """Unbind from every engine, store what is known of the answers, and close."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*(session.unbind() for session in list(self._sessions)))
        if self._sessions:
            await asyncio.wait(list(self._sessions.values()))
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._box.wakeups.watchers.discard(self._wakeup)
        await self.gateway.submissions.ledger.close()
        await self.gateway.deliveries.close()

    # --- connections ---------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        address = str(name[0]) if name else ""
        reason = self._objection(address)
        if reason is not None:
            self.refused_connections += 1
            log.warning("smpp_connection_refused", address=address, reason=reason)
            writer.transport.abort()
            return
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_OCTETS
        )
        session = EngineSession(self.gateway, self, reader, writer, address)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[session] = task
        try:
            await session.run()
        finally:
            del self._sessions[session]
            self._wakeup.set()  # what it did not confirm goes to another one

    def _objection(self, address: str) -> str | None:
        """Return why a connection is not served; None if it is."""
        if not self._settings.public and not is_local(address):
            return "not on the LAN"
        if len(self._sessions) >= self._settings.connections:
            return "too many connections"
        of_address = Counter(session.address for session in self._sessions)[address]
        if of_address >= max(1, self._settings.connections // 2):
            return "too many connections from this address"
        return None

    def admit(self, _session: EngineSession, client: int) -> bool:
        """Return whether a client may have one more session."""
        of_client = sum(
            session.account is not None and session.account.client == client
            for session in self._sessions
        )
        return of_client < SESSIONS_OF_CLIENT

    def ready(self) -> None:
        """Deliver what waits."""
        self._wakeup.set()

    # --- deliveries ----------------------------------------------------------------------------------

    async def _deliver(self) -> None:
        while True:
            seconds = await self._deliver_due()
            await self._box.clock.wait(self._wakeup, seconds)

    async def _deliver_due(self) -> float:
        """Send what is due to engines that have room; return the seconds until something may be due again."""
        await self._end_revoked()
        tenants = {session.tenant for session in self._sessions if session.receives}
        held = False
        for tenant in tenants:
            held = await self._deliver_to(tenant) or held
        now = self._box.clock.monotonic()
        again = min((at - now for at, _ in self._retries.values()), default=SAFETY_POLL_SECONDS)
        if held:  # due without an event
            again = min(again, self.gateway.deliveries.hold_seconds)
        return max(0.05, min(again, SAFETY_POLL_SECONDS)) if tenants else SAFETY_POLL_SECONDS

    async def _end_revoked(self) -> None:
        for session in list(self._sessions):
            if session.bound is not Bound.NOT and not session.still_may():
                log.info("smpp_password_revoked", address=session.address)
                await session.unbind()

    async def _deliver_to(self, tenant: int) -> bool:
        """Send what is due to the engines of a client; return whether there are receipts that are held."""
        sessions = [s for s in self._sessions if s.receives and s.tenant == tenant]
        room = sum(max(0, self._settings.window - s.outstanding) for s in sessions)
        if not room:
            return False
        now = self._box.clock.monotonic()
        resting = {number for number, (at, _) in self._retries.items() if at > now}
        texts = any(session.reads_texts for session in sessions)
        found, held = await self.gateway.deliveries.due(
            tenant, resting | self._under_way.keys(), room, texts=texts
        )
        for one in found:
            submission = one.submission if isinstance(one, EngineReceipt) else 0
            if submission and submission in self._under_way.values():
                continue  # two receipts for a submission arrive in their order
            able = [
                s
                for s in sessions
                if s.receives
                and s.outstanding < self._settings.window
                and (s.reads_texts or isinstance(one, EngineReceipt))
            ]
            if able:
                self._send(min(able, key=lambda session: session.outstanding), one, submission)
        return held

    def _send(self, session: EngineSession, one: EngineDelivery, submission: int) -> None:
        self._under_way[one.id] = submission
        if not session.deliver(one, lambda status: self._answered(one, status)):
            del self._under_way[one.id]

    def _answered(self, one: EngineDelivery, status: int) -> None:
        del self._under_way[one.id]
        self._wakeup.set()
        deliveries = self.gateway.deliveries
        if status == CommandStatus.ESME_ROK or status in REFUSED_FOR_GOOD:
            self._retries.pop(one.id, None)
            deliveries.confirm(one.id)
            if status == CommandStatus.ESME_ROK:
                deliveries.delivered += 1
                return
        deliveries.refused += 1
        if status == -1:  # no answer: another session, or the next one
            return
        log.warning("smpp_delivery_refused", delivery=one.id, status=f"{status:#x}")
        if status in REFUSED_FOR_GOOD:
            return
        _, pause = self._retries.get(one.id, (0.0, FIRST_RETRY_SECONDS / 2))
        pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        self._retries[one.id] = (self._box.clock.monotonic() + pause, pause)

    async def _tidy(self) -> None:
        while True:
            await self.gateway.submissions.tidy()
            await asyncio.sleep(TIDY_SECONDS)


def is_local(address: str) -> bool:
    """Return whether an address is this machine's or one of the LAN."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if found.version == 6 and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_private or found.is_loopback or found.is_link_local
