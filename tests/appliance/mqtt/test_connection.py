"""A broker that is hostile: whatever it sends costs a bounded amount of memory, and ends in an error."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from appliance.core.config import MqttSettings
from appliance.mqtt import packets
from appliance.mqtt.connection import MOST_BYTES, BrokerConnection, BrokerError
from appliance.mqtt.packets import ProtocolError, Publish

ACCEPTED = b"\x20\x02\x00\x00"
HUGE = 8 * 1024 * 1024

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def broker(serve: Serve) -> AsyncIterator[MqttSettings]:
    """A server that does `serve` after the CONNECT."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(2)
            with contextlib.suppress(OSError):
                await serve(reader, writer)
                await writer.drain()
                await reader.read()  # until the box has gone
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield MqttSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    finally:
        server.close()


def saying(data: bytes) -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return serve


async def read_one(settings: MqttSettings) -> packets.Packet:
    async with BrokerConnection.open(settings, "zb", "", None) as connection:
        return await connection.read()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x20\x02\x00\x05", "not authorized"),
        (b"\x20\x02\x00\x04", "bad user name or password"),
        (b"\x20\x02\x00\x63", "refused with 99"),
    ],
)
async def test_a_refused_login_says_why(data: bytes, said: str) -> None:
    async with broker(saying(data)) as settings:
        with pytest.raises(BrokerError, match=said):
            await read_one(settings)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100,
        b"\xd0\x00",  # another packet instead of a CONNACK
        ACCEPTED + b"\x30\xff\xff\xff\xff\x01",  # five bytes of length
        ACCEPTED + b"\xf0\x00",
        ACCEPTED + b"\x34\x05\x00\x01t\x01\x02",  # QoS 2
        ACCEPTED + b"\x90\xff\xff\x7f" + b"x" * 100,  # a large packet that has no payload
    ],
)
async def test_what_is_not_mqtt_ends_the_connection(data: bytes) -> None:
    async with broker(saying(data)) as settings:
        with pytest.raises((ProtocolError, BrokerError)):
            await read_one(settings)


async def test_a_broker_that_hangs_up_is_an_error_with_words() -> None:
    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED + b"\x30")
        writer.write_eof()

    async with broker(leave) as settings:
        with pytest.raises(BrokerError, match="closed the connection"):
            await read_one(settings)


async def test_a_huge_message_is_thrown_away_while_it_is_read() -> None:
    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"\x00\x04zb/s\x00\x07"
        writer.write(ACCEPTED + b"\x32" + packets.remaining_length(len(head) + HUGE) + head)
        chunk = bytes(64 * 1024)
        for _ in range(HUGE // len(chunk)):
            writer.write(chunk)
            await writer.drain()
        writer.write(packets.publish("zb/s", b"next", packet_id=8))

    async with (
        broker(flood) as settings,
        BrokerConnection.open(settings, "zb", "", None) as connection,
    ):
        tracemalloc.start()
        try:
            huge = await connection.read()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert huge == Publish("zb/s", None, 1, 7)
        assert await connection.read() == Publish("zb/s", b"next", 1, 8)
    assert peak < HUGE // 8


async def test_the_largest_message_that_is_kept() -> None:
    head = 2 + len("zb/s")
    for size, kept in ((MOST_BYTES - head, True), (MOST_BYTES - head + 1, False)):
        message = packets.publish("zb/s", b"x" * size)
        async with broker(saying(ACCEPTED + message)) as settings:
            read = await read_one(settings)
        assert isinstance(read, Publish)
        assert (read.payload is not None) == kept


async def test_a_host_name_that_is_none_is_an_error_with_words() -> None:
    with pytest.raises((BrokerError, OSError)):
        await read_one(MqttSettings(host="a" * 70 + ".example"))
