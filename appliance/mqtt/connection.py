"""A connection to an MQTT broker that costs a bounded amount of memory, whatever the broker sends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from appliance.core.config import MqttSettings
from appliance.mqtt import packets
from appliance.mqtt.packets import Connack, Packet, ProtocolError, Publish, Suback, Will

# The largest message that is kept; one SMS command has at most some 8 KiB. Larger ones are read and thrown away.
MOST_BYTES = 64 * 1024
CHUNK = 16 * 1024
KEEP_ALIVE_SECONDS = 30
# Connecting, an answer to anything, and the write of a packet: longer means that the broker is dead.
ANSWER_SECONDS = 20.0


class BrokerError(Exception):
    """The broker cannot be used now; the message says why, for the owner."""


# What ends a connection, or prevents it.
FAILURES = (BrokerError, ProtocolError, OSError)


def password(settings: MqttSettings) -> str:
    """Return the password, from its file if it has one. Raises OSError."""
    file = settings.password_file
    return Path(file).read_text("utf-8").rstrip("\r\n") if file else settings.password


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Return how to verify the broker; None without TLS. Raises BrokerError."""
    if not settings.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise BrokerError(f"mqtt.ca_file: {error}") from None
    if settings.fingerprint:  # stands for the verification: the certificate is known
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class BrokerConnection:
    """One connection. `open` it, read `packets` in one task, write from any."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.cycle(range(1, 0x10000))
        self.session_present = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, settings: MqttSettings, client_id: str, password: str, will: Will | None
    ) -> AsyncIterator[BrokerConnection]:
        """Connect, verify and log in. Raises BrokerError, ProtocolError, OSError."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(
                    settings.host, settings.port, ssl=tls_context(settings), limit=CHUNK
                )
        except TimeoutError:
            raise BrokerError(f"no connection within {ANSWER_SECONDS:g} s") from None
        except UnicodeError as error:  # of a name that is no host name
            raise BrokerError(f"mqtt.host: {error}") from None
        try:
            _check_fingerprint(writer, settings.fingerprint)
            connection = cls(reader, writer)
            await connection._log_in(settings, client_id, password, will)
            yield connection
        finally:
            writer.transport.abort()  # `close` would wait for a broker that reads nothing

    async def _log_in(
        self, settings: MqttSettings, client_id: str, password: str, will: Will | None
    ) -> None:
        await self.write(
            packets.connect(
                client_id,
                user=settings.user,
                password=password,
                keep_alive=KEEP_ALIVE_SECONDS,
                will=will,
            )
        )
        answer = await self.read()
        if not isinstance(answer, Connack):
            raise ProtocolError("no CONNACK")
        if answer.code:
            raise BrokerError(packets.REFUSALS.get(answer.code, f"refused with {answer.code}"))
        self.session_present = answer.session_present

    async def write(self, packet: bytes) -> None:
        """Write a packet. Raises BrokerError if the broker reads nothing for too long."""
        self._writer.write(packet)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._writer.drain()
        except TimeoutError:
            raise BrokerError(f"the broker read nothing for {ANSWER_SECONDS:g} s") from None

    def next_number(self) -> int:
        """Return the next packet id."""
        return next(self._numbers)

    async def subscribe(self, filters: list[str]) -> None:
        """Subscribe with QoS 1; `check` the SUBACK when it comes."""
        await self.write(packets.subscribe(self.next_number(), filters))

    @staticmethod
    def check(answer: Suback) -> None:
        """Raise BrokerError if the broker refuses a subscription."""
        if packets.FAILED_SUBSCRIPTION in answer.codes:
            raise BrokerError("the broker refuses the subscription; see the rights of the user")

    async def read(self) -> Packet:
        """Return the next packet. Raises BrokerError after a silence, ProtocolError, OSError.

        The broker answers a PINGREQ, so a silence of more than one and a half times the keep-alive is an end.
        """
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS * 1.5):
                first = (await self._reader.readexactly(1))[0]
            async with asyncio.timeout(ANSWER_SECONDS):
                length = await self._remaining_length()
                if length <= MOST_BYTES:
                    return packets.parse(first, await self._reader.readexactly(length))
            return await self._without_payload(first, length)
        except asyncio.IncompleteReadError:
            raise BrokerError("the broker closed the connection") from None
        except TimeoutError:
            raise BrokerError("the broker is silent") from None

    async def _remaining_length(self) -> int:
        length = 0
        for place in range(4):
            digit = (await self._reader.readexactly(1))[0]
            length |= (digit & 0x7F) << 7 * place
            if not digit & 0x80:
                return length
        raise ProtocolError("a remaining length of more than four bytes")

    async def _without_payload(self, first: int, length: int) -> Publish:
        """Read a message that is too large, and keep only its head, so that it can be acknowledged."""
        if first >> 4 != packets.PacketType.PUBLISH:
            raise ProtocolError(f"a packet of type {first >> 4} with {length} bytes")
        async with asyncio.timeout(ANSWER_SECONDS):
            start = await self._reader.readexactly(2)
            left = packets.head_bytes(first & 0x0F, start) - 2
            head = start + await self._reader.readexactly(left)
        left = length - len(head)
        while left > 0:
            async with asyncio.timeout(ANSWER_SECONDS):
                left -= len(await self._reader.readexactly(min(left, CHUNK)))
        return packets.publish_head(first & 0x0F, head)


def _check_fingerprint(writer: asyncio.StreamWriter, fingerprint: str) -> None:
    if not fingerprint:
        return
    certificate = writer.get_extra_info("ssl_object").getpeercert(True)
    found = hashlib.sha256(certificate).hexdigest()
    if found != fingerprint.replace(":", "").lower():
        raise BrokerError(f"the broker's certificate has the fingerprint {found}")
