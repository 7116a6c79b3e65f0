"""A small HTTP/1.1 load generator: keep-alive connections, one request at a time on each.

Run as a process of its own, so that its processor time is not the server's:
`python -m tests.bench.load` reads a `Plan` from standard input and writes a `Load` to standard output.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import cast

import msgspec
import uvloop

from tests.bench.figures import Figures


class Plan(msgspec.Struct, frozen=True):
    """What to send: the same request again and again, on so many connections, for so long."""

    port: int
    head: str  # request line and headers, without Content-Length and the empty line
    body: str = ""  # "%d" becomes the number of the request
    connections: int = 1
    seconds: float = 1.0
    requests: int = 0  # 0: as many as fit into `seconds`; else exactly so many
    expected: int = 200


class Load(msgspec.Struct, frozen=True):
    """What came of a plan."""

    per_second: float
    milliseconds: Figures
    seconds: float


class _Connection(asyncio.Protocol):
    """Sends one request after the other until the run is over."""

    transport: asyncio.Transport

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._began = 0.0
        loop = asyncio.get_running_loop()
        # One request that does not count: libuv accepts one connection a turn of the server's loop, so under
        # load the last of many is accepted late, which says nothing about requests.
        self.warm: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._send(self._run.request())

    def begin(self) -> None:
        """Send one request after the other from now on."""
        self._next()

    def _next(self) -> None:
        request = self._run.next_request()
        if request is None:
            self.transport.close()
            self.done.set_result(None)
            return
        self._send(request)

    def _send(self, request: bytes) -> None:
        self._began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        if int(head[9:12]) != self._run.plan.expected:
            self._fail(f"unexpected response: {head[:60]!r} {rest[:300]!r}")
            return
        self._received = b""
        if not self.warm.done():
            self.warm.set_result(None)
            return
        self._run.samples.append((time.perf_counter() - self._began) * 1000)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._fail("the server closed the connection")

    def _fail(self, why: str) -> None:
        failed = self.done if self.warm.done() else self.warm
        failed.set_exception(RuntimeError(why))
        self.transport.close()


class _Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.samples: list[float] = []
        self._sent = 0
        self._numbered = 0
        self._ends = 0.0

    def next_request(self) -> bytes | None:
        plan = self.plan
        if plan.requests:
            if self._sent >= plan.requests:
                return None
        elif time.perf_counter() >= self._ends:
            return None
        self._sent += 1
        return self.request()

    def request(self) -> bytes:
        """The next request, with a number of its own."""
        plan = self.plan
        self._numbered += 1
        body = plan.body.replace("%d", str(self._numbered)).encode()
        length = f"content-length: {len(body)}\r\n" if plan.body else ""
        return f"{plan.head}\r\n{length}\r\n".encode() + body

    async def go(self) -> Load:
        loop = asyncio.get_running_loop()
        opened = [
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.plan.port)
            for _ in range(self.plan.connections)
        ]
        await asyncio.gather(*(protocol.warm for _, protocol in opened))
        began = time.perf_counter()
        self._ends = began + self.plan.seconds
        for _, protocol in opened:
            protocol.begin()
        await asyncio.gather(*(protocol.done for _, protocol in opened))
        seconds = time.perf_counter() - began
        return Load(len(self.samples) / seconds, Figures.of(self.samples), seconds)


def load(plan: Plan) -> Load:
    """Run a plan in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Load)


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_Run(wanted).go())))
