"""An engine in the test's own loop: what it sends octet by octet, and what it does with each PDU it gets."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.core.config import SmppSettings
from appliance.domain.views import Permissions
from appliance.store import clients
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import Stage
from tests.waiting import HANG_SECONDS, eventually
from tests.web.box import ICCID, NOW, TO, WebBox
from web.server import bound_to
from web.smpp import codec
from web.smpp.codec import CommandId, PduHeader, PeerAddress, ShortMessage
from web.smpp.server import SmppServer
from web.smpp.status import CommandStatus

SOURCE = PeerAddress(5, 0, "Shop")


class Peer:
    """A connection; `pdus` are those that nobody waited for yet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self.answers: dict[int, tuple[PduHeader, bytes]] = {}
        self.delivered: list[ShortMessage] = []
        self.nacks: list[int] = []
        self.deliver_status = 0  # answers deliver_sm; None: no answer
        self.silent = False  # answers nothing at all
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                head = codec.header(await self._reader.readexactly(16))
                body = await self._reader.readexactly(head.length - 16)
                self._handle(head, body)

    def _handle(self, head: PduHeader, body: bytes) -> None:
        if head.command == codec.GENERIC_NACK:
            self.nacks.append(head.status)
        elif head.command & codec.RESPONSE:
            self.answers[head.sequence] = (head, body)
        else:
            if head.command == CommandId.DELIVER_SM:
                self.delivered.append(codec.short_message(body))
            status = self.deliver_status if head.command == CommandId.DELIVER_SM else 0
            if not self.silent:
                answer = codec.text("") if head.command == CommandId.DELIVER_SM else b""
                self.write(codec.pdu(head.command | codec.RESPONSE, head.sequence, answer, status))

    def write(self, octets: bytes) -> None:
        self._writer.write(octets)

    def send(self, command: int, body: bytes = b"") -> int:
        """Send a request without waiting; its sequence."""
        sequence = next(self._numbers)
        self.write(codec.pdu(command, sequence, body))
        return sequence

    async def answer(self, sequence: int) -> tuple[PduHeader, bytes]:
        await eventually(lambda: sequence in self.answers, f"an answer to {sequence}")
        return self.answers[sequence]

    async def request(self, command: int, body: bytes = b"") -> tuple[CommandStatus, bytes]:
        head, answer = await self.answer(self.send(command, body))
        return CommandStatus(head.status), answer

    async def bind(
        self, who: tuple[str, str], command: CommandId = CommandId.BIND_TRANSCEIVER
    ) -> CommandStatus:
        return (await self.request(command, codec.encode_bind(codec.BindBody(*who))))[0]

    def submit(self, text: bytes = b"Bonjour", **more: Any) -> int:
        """Submit a message without waiting; its sequence."""
        fields: dict[str, Any] = {
            "source": SOURCE,
            "destination": PeerAddress(1, 1, TO[1:]),
            "short_message": text,
            "registered_delivery": 1,
        }
        pdu = ShortMessage(**{**fields, **more})
        return self.send(CommandId.SUBMIT_SM, codec.encode_short_message(pdu))

    async def accepted(self, text: bytes = b"Bonjour", **more: Any) -> str:
        """Submit a message; the id of its answer."""
        head, body = await self.answer(self.submit(text, **more))
        assert head.status == 0, CommandStatus(head.status)
        return body.rstrip(b"\0").decode()

    async def refused(self, text: bytes = b"Bonjour", **more: Any) -> CommandStatus:
        """Submit a message; the status of its answer, which is no success."""
        head, _ = await self.answer(self.submit(text, **more))
        assert head.status
        return CommandStatus(head.status)

    async def enquire(self) -> None:
        """Wait until the box has handled all that was sent."""
        await self.request(CommandId.ENQUIRE_LINK)

    async def receipt(self, number: int = 0) -> str:
        """The line of a receipt, as soon as it has come."""
        await eventually(lambda: len(self.delivered) > number, "a receipt")
        return self.delivered[number].short_message.decode()

    async def hung_up(self) -> None:
        """Wait until the box has closed the connection."""
        async with asyncio.timeout(HANG_SECONDS):
            await self._task

    def close(self) -> None:
        """End the connection in order."""
        self._writer.close()

    async def drop(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()
        await self._task


class SmppBox:
    """A box with an SMPP server, and the network that its messages go to."""

    def __init__(self, box: WebBox, port: int, server: SmppServer) -> None:
        self.box, self.port, self.server = box, port, server
        self._peers: list[Peer] = []
        self._stage = Stage(box.db, box.services.context.ids)
        self._references = itertools.count(1)

    async def connect(self, tls: ssl.SSLContext | None = None) -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port, ssl=tls))
        self._peers.append(peer)
        return peer

    async def account(self, *, test: bool = False, **may: Any) -> tuple[str, str]:
        """A new client with a password."""
        client = await self.box.db.write(clients.add_client, "engine", NOW)
        made = await self.box.db.write(
            clients.add_key, client.id, NOW, test=test, smpp=True, permissions=Permissions(**may)
        )
        return f"client_{client.id}", made.key

    async def bound(
        self,
        who: tuple[str, str] | None = None,
        command: CommandId = CommandId.BIND_TRANSCEIVER,
        *,
        silent: bool = False,
    ) -> Peer:
        """A bound connection, of a client of its own unless told."""
        peer = await self.connect()
        peer.silent = silent
        assert await peer.bind(who or await self.account(), command) is CommandStatus.ESME_ROK
        return peer

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        found = await self.box.db.read(
            lambda db: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        )
        return int(found[0])

    async def texts(self) -> list[str]:
        """The texts in the queue, in order."""
        rows = await self.box.db.read(
            lambda db: db.execute("SELECT body FROM message ORDER BY id").fetchall()
        )
        return [row[0] for row in rows]

    async def lost(self, count: int = 1) -> None:
        """Wait until so many answers are stored as lost."""

        async def found() -> bool:
            row = await self.box.db.read(
                lambda db: db.execute(
                    "SELECT COUNT(*) FROM smpp_submission WHERE answer = 2"
                ).fetchone()
            )
            return bool(row[0] == count)

        await eventually(found, f"{count} lost answers")

    async def settle(self, *, reported: bool = True, verdict: Verdict = Verdict.TAKEN) -> None:
        """The network takes the next part, and reports it unless told otherwise."""
        self._stage.now = self.box.clock.now()
        reference = next(self._references)
        job = await self._stage.must_claim()
        await self._stage.record(
            job, Outcome(verdict, reference if verdict is Verdict.TAKEN else None)
        )
        if reported and verdict is Verdict.TAKEN:
            await self.report(reference)
        self.box.services.context.wakeups.changed()

    async def report(self, reference: int) -> None:
        self._stage.now = self.box.clock.now()
        assert await self._stage.report(reference) is not None
        self.box.services.context.wakeups.changed()

    async def give_up_uncertain(self) -> None:
        """The window of uncertain messages is over."""
        self._stage.now = self.box.clock.now()
        await self._stage.settle_uncertain(window_ms=0)
        self.box.services.context.wakeups.changed()

    async def restart(self, tls: ssl.SSLContext | None = None) -> None:
        """The server starts again on another port, as after the end of the process."""
        self.server = SmppServer(self.box.services)
        self.port = await _start(self.server, tls)

    async def stop(self) -> None:
        for peer in self._peers:
            await peer.drop()
        await self.server.stop()


async def _start(server: SmppServer, tls: ssl.SSLContext | None = None) -> int:
    (bound,) = bound_to("127.0.0.1:0")
    await server.start([(bound, tls)])
    return int(bound.getsockname()[1])


@asynccontextmanager
async def smpp_box(folder: Path, **settings: Any) -> AsyncIterator[SmppBox]:
    """A box with these settings of `[smpp]`; receipts are not held unless told."""
    chosen = SmppSettings(**{"receipt_seconds": 0.0, **settings})
    box = await WebBox.start(folder, smpp=chosen)
    assert ICCID  # the SIM of the modem that the stage plays
    server = SmppServer(box.services)
    running = SmppBox(box, await _start(server), server)
    try:
        yield running
    finally:
        await running.stop()
        await box.stop()
