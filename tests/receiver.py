"""Receivers of webhooks over real sockets, which record calls and behave as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

START_SECONDS = 60.0
DRIP_SECONDS = 0.05


class ReceivedCall(msgspec.Struct, frozen=True):
    """One request as it came in; header names as they were written."""

    path: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes
    peer: str

    @property
    def body(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.raw)
        return result

    def header(self, name: str) -> str:
        return next(value for key, value in self.headers if key.lower() == name.lower())


Writer = asyncio.StreamWriter
Behaviour = Callable[[Writer], Awaitable[None]]


def answer(status: int, *headers: str, body: bytes = b"ok") -> Behaviour:
    """Answers at once."""

    async def act(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return act


async def hang(writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing until the caller hangs up."""
    await writer.wait_closed()


async def close(writer: asyncio.StreamWriter) -> None:
    """Hangs up without a word."""
    writer.close()


async def drip_head(writer: asyncio.StreamWriter) -> None:
    """One header after the other, for ever, and never the empty line."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-More: yes\r\n")
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)  # the pace of a slow receiver


async def drip_body(writer: asyncio.StreamWriter) -> None:
    """200, and then a body that does not end, an octet at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(DRIP_SECONDS)  # the pace of a slow receiver


class Flood:
    """200, and gigabytes; counts what really left."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8000000000\r\n\r\n")
        chunk = bytes(65536)
        while not writer.is_closing():
            writer.write(chunk)
            await writer.drain()
            self.sent += len(chunk)


class Receiver:
    """A server on a loopback address. `behave[path]` acts; without one it answers 200."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[ReceivedCall] = []
        self.behave: dict[str, Behaviour] = {}
        self.otherwise: Behaviour = answer(200)
        self.came = asyncio.Event()
        self._host = host
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Nobody listens any more; open connections are cut."""
        if self._server:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            await asyncio.gather(*self._serving, return_exceptions=True)
            self._server = None

    def url(self, path: str = "/hook") -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def at(self, path: str) -> list[ReceivedCall]:
        """What was told at this path, in order."""
        return [result for result in self.calls if result.path == path]

    async def until(self, count: int, path: str | None = None) -> list[ReceivedCall]:
        """What came, once so many came."""
        while True:
            found = self.calls if path is None else self.at(path)
            if len(found) >= count:
                return found
            self.came.clear()
            async with asyncio.timeout(START_SECONDS):
                await self.came.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        # The box hangs up when it has heard enough.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            result = await self._read(reader, writer)
            self.calls.append(result)
            self.came.set()
            await self.behave.get(result.path, self.otherwise)(writer)
            writer.close()
            await writer.wait_closed()
        writer.close()
        self._writers.discard(writer)
        self._serving.discard(task)

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> ReceivedCall:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        method, path, _ = head[0].split(" ")
        assert method == "POST"
        headers = tuple((n, v.strip()) for n, _, v in (line.partition(":") for line in head[1:-2]))
        length = int({n.lower(): v for n, v in headers}["content-length"])
        peer: str = writer.get_extra_info("peername")[0]
        return ReceivedCall(path, headers, await reader.readexactly(length), peer)


@contextlib.contextmanager
def beside() -> Iterator[Receiver]:
    """A receiver in a thread of its own, for tests that wait for a process."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    receiver = Receiver()
    try:
        asyncio.run_coroutine_threadsafe(receiver.start(), loop).result(START_SECONDS)
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(receiver.stop(), loop).result(START_SECONDS)
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_SECONDS)
        loop.close()
