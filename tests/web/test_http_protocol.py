"""One connection over real sockets, on an event loop whose clock the test sets."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import socket
import ssl
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send
from uvicorn.server import ServerState

from web import certificate, http_protocol
from web.connections import ConnectionLimiter
from web.http_protocol import HttpProtocol, HttpsProtocol

TCP_CLOSE = 7  # a state of the kernel: include/net/tcp_states.h
HEAD = b"POST /echo HTTP/1.1\r\nHost: box\r\n"


class SetLoop(asyncio.SelectorEventLoop):
    """A loop whose time goes on by itself, and further when it is told to."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


async def pass_time(seconds: float) -> None:
    """Let every timer run that is due within `seconds`."""
    cast("SetLoop", asyncio.get_running_loop()).ahead += seconds
    for _ in range(3):  # the timer, what it schedules, and what the transport then does
        await asyncio.sleep(0)


class Box:
    """A listener in this process."""

    def __init__(self, port: int, limiter: ConnectionLimiter, app: App) -> None:
        self.port, self.limiter, self.app = port, limiter, app
        self._lines: list[Line] = []

    async def connect(self, **options: Any) -> Line:
        line = Line(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self._lines.append(line)
        return line

    async def close(self) -> None:
        for line in self._lines:
            line.writer.transport.abort()
            with contextlib.suppress(OSError):
                await line.writer.wait_closed()


class Line:
    """The client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send it all, and let the listener read it."""
        self.writer.write(data)
        await self.writer.drain()
        while self._under_way():
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)

    def _under_way(self) -> bool:
        """Whether something is not with the listener's kernel yet: on a busy machine even loopback takes a while."""
        transport = self.writer.transport
        line = transport.get_extra_info("socket")
        descriptor = line.fileno()
        if transport.is_closing() or descriptor < 0:
            return False
        # The transport reads no more after the listener's FIN, so it does not see a reset. What was not sent never is.
        if line.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE:
            return False
        unsent = array.array("i", [0])
        fcntl.ioctl(descriptor, termios.TIOCOUTQ, unsent)
        return bool(transport.get_write_buffer_size() or unsent[0])

    async def response(self) -> bytes:
        """One response with its Content-Length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split()[0]
        return head + await self.reader.readexactly(int(length))

    async def ended(self) -> bool:
        """Wait until the listener closes, in whatever way, without another word."""
        with contextlib.suppress(ConnectionError):
            assert await self.rest() == b""
        return True

    async def rest(self) -> bytes:
        """What comes until the listener closes."""
        return await self.reader.read()


class App:
    """Answers `/echo` with the body, `/refuse` without reading it, `/wait` when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.disconnected = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == ScopeType.HTTP
        self.begun.set()
        body, status = b"", 200
        if scope["path"] == "/wait":
            await self.go_on.wait()
        if scope["path"] == "/refuse":
            status = 413
        else:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.disconnected.set()
                    return
                message = cast("HTTPReceiveMessage", message)
                assert message["type"] == "http.request"
                body += message["body"]
                more = message["more_body"]
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [length]})
        await send({"type": "http.response.body", "body": body, "more_body": False})


class Recording(asyncio.Transport):
    """A transport that keeps what is written, one entry a system call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass


def run(
    test: Callable[[Box], Awaitable[None]],
    limiter: ConnectionLimiter | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Run a test against a listener."""

    async def main() -> None:
        app, limits = App(), limiter or ConnectionLimiter(100, 100)
        config = uvicorn.Config(cast("Any", app), log_config=None, lifespan="off", ws="none")
        state = ServerState()
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            http = HttpProtocol(config, state, {}, loop, limiter=limits)
            return HttpsProtocol(http, tls, limits) if tls else http

        server = await loop.create_server(protocol, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            box = Box(port, limits, app)
            await test(box)
        finally:
            await box.close()
            server.close()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=SetLoop) as runner:
        runner.run(main())


def test_a_connection_that_sends_nothing_is_closed_without_a_response() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        await pass_time(http_protocol.FIRST_BYTE_SECONDS + 1)
        assert await line.rest() == b""

    run(test)


@pytest.mark.parametrize("sent", [b"P", HEAD, HEAD + b"A: b\r\nC"])
def test_a_head_that_does_not_end_is_408(sent: bytes) -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        await line.send(sent)
        for _ in range(5):  # a byte now and then does not help
            await pass_time(http_protocol.HEAD_SECONDS / 5 + 0.1)
            await line.send(b"x")
        assert (await line.response()).startswith(b"HTTP/1.1 408 ")
        assert await line.rest() == b""

    run(test)


def test_the_head_of_a_second_request_has_a_time_of_its_own() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        for _ in range(3):
            await pass_time(http_protocol.HEAD_SECONDS * 0.6)
            await line.send(HEAD)
            await pass_time(http_protocol.HEAD_SECONDS * 0.6)
            await line.send(b"Content-Length: 1\r\n\r\nx")
            assert (await line.response()).startswith(b"HTTP/1.1 200 ")
        await line.send(HEAD)
        await pass_time(http_protocol.HEAD_SECONDS + 1)
        assert (await line.response()).startswith(b"HTTP/1.1 408 ")

    run(test)


def test_a_body_that_stops_is_408_and_its_reader_is_told() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        await line.send(HEAD + b"Content-Length: 10\r\n\r\n12345")
        await pass_time(http_protocol.BODY_SECONDS + 1)
        assert (await line.response()).startswith(b"HTTP/1.1 408 ")
        assert box.app.disconnected.is_set()

    run(test)


def test_a_slow_body_is_accepted() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        second = b"x" * http_protocol.BODY_BYTES_A_SECOND
        seconds = int(http_protocol.BODY_SECONDS * 3)
        await line.send(HEAD + b"Content-Length: %d\r\n\r\n" % (len(second) * seconds))
        for _ in range(seconds):
            await line.send(second)
            await pass_time(1)
        assert (await line.response()).endswith(second * seconds)

    run(test)


def test_a_body_is_not_late_while_the_application_does_not_read_it() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        body = b"x" * (4 << 20)
        head = b"POST /wait HTTP/1.1\r\nHost: box\r\nContent-Length: %d\r\n\r\n" % len(body)
        sending = asyncio.create_task(line.send(head + body))
        await box.app.begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)
            await pass_time(http_protocol.BODY_SECONDS)
        box.app.go_on.set()
        await sending
        assert (await line.response()).startswith(b"HTTP/1.1 200 ")

    run(test)


def test_an_idle_connection_lives_for_75_s_and_not_for_ever() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        for _ in range(3):
            await line.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
            assert (await line.response()).startswith(b"HTTP/1.1 200 ")
            await pass_time(75)
        await pass_time(http_protocol.KEEP_ALIVE_SECONDS - 74)
        assert await line.rest() == b""

    run(test)


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_a_refusal_is_readable_though_the_body_is_not_read(header: bytes) -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        size = 16 << 20
        await line.send(
            b"POST /refuse HTTP/1.1\r\nHost: box\r\n%bContent-Length: %d\r\n\r\n" % (header, size)
        )
        for _ in range(16):
            await line.send(b"x" * (1 << 20))
        assert (await line.response()).startswith(b"HTTP/1.1 413 ")
        if header:
            await pass_time(size / http_protocol.LINGER_BYTES_A_SECOND + 10)
            assert await line.rest() == b""
            return
        await line.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await line.response()).startswith(b"HTTP/1.1 200 ")
        await pass_time(http_protocol.KEEP_ALIVE_SECONDS + 1)
        assert await line.rest() == b""

    run(test)


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_a_refused_body_without_an_end_is_not_read_for_ever(header: bytes) -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        await line.send(
            b"POST /refuse HTTP/1.1\r\nHost: box\r\n%bTransfer-Encoding: chunked\r\n\r\n" % header
        )
        sent, chunk = 0, b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        with pytest.raises(ConnectionError):
            while sent < 2 * http_protocol.DISCARD_BYTES:
                await line.send(chunk)
                sent += len(chunk)
        assert sent > http_protocol.DISCARD_BYTES / 2

    run(test)


def test_a_refused_body_that_stops_is_closed() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        await line.send(b"POST /refuse HTTP/1.1\r\nHost: box\r\nContent-Length: 9999\r\n\r\nx")
        assert (await line.response()).startswith(b"HTTP/1.1 413 ")
        await pass_time(http_protocol.BODY_SECONDS + 1)
        assert await line.ended()

    run(test)


def test_a_client_that_ends_its_side_still_gets_its_response() -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        line.writer.write(b"GET /wait HTTP/1.1\r\nHost: box\r\n\r\n")
        line.writer.write_eof()
        for _ in range(5):
            await asyncio.sleep(0)
        box.app.go_on.set()
        assert (await line.rest()).startswith(b"HTTP/1.1 200 ")

    run(test)


async def _written(app: ASGIApp) -> list[bytes]:
    """What the protocol writes for one request to this application."""
    config = uvicorn.Config(cast("Any", app), log_config=None, lifespan="off", ws="none")
    loop = asyncio.get_running_loop()
    http = HttpProtocol(config, ServerState(), {}, loop, limiter=ConnectionLimiter(1, 1))
    transport = Recording()
    http.connection_made(transport)
    http.data_received(b"POST /echo HTTP/1.1\r\nHost: box\r\nContent-Length: 2\r\n\r\nhi")
    await asyncio.gather(*http.server_state.tasks)
    http.connection_lost(None)
    return transport.written


def test_head_and_body_of_a_response_are_written_at_once() -> None:
    (response,) = asyncio.run(_written(App()))
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(b"\r\n\r\nhi")


def test_the_head_of_a_stream_does_not_wait_for_its_first_piece() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0)
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    head, *pieces = asyncio.run(_written(stream))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n")
    assert pieces == [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]


def test_beyond_the_connection_limit_the_longest_idle_one_is_closed() -> None:
    async def test(box: Box) -> None:
        first, second = await box.connect(), await box.connect()
        for line in (second, first):
            await line.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
            await line.response()
        third = await box.connect()
        await third.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await third.response()).startswith(b"HTTP/1.1 200 ")
        assert await second.ended()
        await first.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await first.response()).startswith(b"HTTP/1.1 200 ")

    run(test, ConnectionLimiter(2, 2))


def test_a_connection_beyond_the_limit_is_429_and_accepted_later() -> None:
    async def test(box: Box) -> None:
        lines = [await box.connect() for _ in range(2)]
        for line in lines:
            await line.send(b"GET /wait HTTP/1.1\r\nHost: box\r\n\r\n")
        refused = await box.connect()
        answer = await refused.response()
        assert answer.startswith(b"HTTP/1.1 429 ") and b"retry-after: 1" in answer
        box.app.go_on.set()
        for line in lines:
            assert (await line.response()).startswith(b"HTTP/1.1 200 ")
        again = await box.connect()
        await again.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await again.response()).startswith(b"HTTP/1.1 200 ")

    run(test, ConnectionLimiter(4, 2))


def test_only_some_refused_connections_get_a_response() -> None:
    async def test(box: Box) -> None:
        lines = [await box.connect() for _ in range(4)]
        for line in lines:
            await line.send(b"GET /wait HTTP/1.1\r\nHost: box\r\n\r\n")
        result, silent = await box.connect(), await box.connect()
        assert await silent.ended()
        assert (await result.response()).startswith(b"HTTP/1.1 429 ")
        assert await result.ended()
        await pass_time(http_protocol.LINGER_SECONDS + 1)
        assert (await (await box.connect()).response()).startswith(b"HTTP/1.1 429 ")

    run(test, ConnectionLimiter(4, 4))


def test_one_address_cannot_use_all_connections() -> None:
    async def test(box: Box) -> None:
        other = await box.connect(local_addr=("127.0.0.2", 0))
        for _ in range(10):
            await box.connect(local_addr=("127.0.0.3", 0))
        await other.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await other.response()).startswith(b"HTTP/1.1 200 ")

    run(test, ConnectionLimiter(4, 2))


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return certificate.context(tmp_path, "", "")


@pytest.fixture
def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_tls_is_answered_and_kept(tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def test(box: Box) -> None:
        line = await box.connect(ssl=trusting)
        for body in (b"x", b"y" * 300_000):
            await line.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert (await line.response()).endswith(body)

    run(test, tls=tls)


def test_a_tls_handshake_that_does_not_come_gives_way_and_ends(
    tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def test(box: Box) -> None:
        silent = [await box.connect() for _ in range(8)]
        line = await box.connect(ssl=trusting)
        await line.send(b"GET /echo HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await line.response()).startswith(b"HTTP/1.1 200 ")
        assert await silent[0].ended()
        await pass_time(http_protocol.HANDSHAKE_SECONDS + 1)
        assert await silent[-1].ended()

    run(test, ConnectionLimiter(4, 4), tls)


def test_no_tls_on_the_tls_port_is_closed(tls: ssl.SSLContext) -> None:
    async def test(box: Box) -> None:
        line = await box.connect()
        await line.send(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
        assert await line.ended()

    run(test, tls=tls)
