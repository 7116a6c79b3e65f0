"""A modem behind a serial server: a bridge from TCP to a pseudo-terminal, and a link in front that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import re
import shutil
import sys
import tempfile
import textwrap
import tty
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from modem.interface import ModemState, Outcome, Verdict
from modem.simulator import Settings, Simulator
from modem.timeouts import Timing
from tests.modem.driven import PATIENCE, Driven, attached, part, quick
from tests.waiting import eventually

CHUNK = 4096
ROOT = Path(__file__).parents[2]


class LoopbackServer:
    """A TCP server on the loopback; after `stop` and `start` it has the same port."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections."""
        assert self._server is not None
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Link(LoopbackServer):
    """A TCP relay to `upstream` that is cut after a number of bytes, counted in both directions."""

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self._upstream = upstream
        self._relays: set[asyncio.Task[None]] = set()
        self._begin = b""  # counting starts with these bytes to the modem
        self._left: int | None = None  # bytes until the cut; None: no cut is planned
        self.passed = 0  # bytes since the counting began
        self.cuts = 0

    async def stop(self) -> None:
        """Refuse connections and end the present ones."""
        await super().stop()
        for relay in list(self._relays):
            relay.cancel()
        if self._relays:
            await asyncio.wait(self._relays)

    def cut_after(self, count: int, begin: bytes = b"") -> None:
        """Cut the link once `count` more bytes have passed, from the next `begin` to the modem on."""
        self._begin, self._left, self.passed = begin, count, 0

    def keep(self) -> None:
        """Plan no cut."""
        self._begin, self._left = b"", None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.current_task()
        assert relay is not None
        self._relays.add(relay)
        try:
            behind, into = await asyncio.open_connection("127.0.0.1", self._upstream)
            try:
                ways = [
                    asyncio.create_task(self._pump(reader, into, to_modem=True)),
                    asyncio.create_task(self._pump(behind, writer, to_modem=False)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.wait(ways)
            finally:
                into.transport.abort()
        except OSError:
            pass  # the server behind is not there: this connection ends, too
        except asyncio.CancelledError:
            pass  # the link is stopped
        finally:
            writer.transport.abort()
            self._relays.discard(relay)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_modem: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._begin:
                    if to_modem and self._begin in data:
                        self._begin = b""
                    else:
                        writer.write(data)
                        await writer.drain()
                        continue
                allowed = len(data) if self._left is None else min(len(data), self._left)
                self.passed += allowed
                if self._left is not None:
                    self._left -= allowed
                writer.write(data[:allowed])
                await writer.drain()
                if self._left == 0:
                    self._left = None
                    self.cuts += 1
                    return


class Bridge(LoopbackServer):
    """A serial server for one connection at a time, as ser2net, without its process; on TCP or a Unix socket."""

    def __init__(self, device: str, socket: str = "") -> None:
        super().__init__()
        self._device, self._socket = device, socket
        self._busy = False
        self.refused = 0

    async def start(self) -> None:
        if self._socket:
            self._server = await asyncio.start_unix_server(self._accept, self._socket)
        else:
            await super().start()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._busy:
            self.refused += 1
            writer.write(b"Port already in use\r\n")
            writer.close()
            return
        self._busy = True
        descriptor = os.open(self._device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(descriptor)
        loop = asyncio.get_running_loop()

        def readable() -> None:
            with contextlib.suppress(OSError):
                writer.write(os.read(descriptor, CHUNK))

        loop.add_reader(descriptor, readable)
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(CHUNK):
                    os.write(descriptor, data)
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            writer.transport.abort()
            self._busy = False


@contextlib.asynccontextmanager
async def ser2net(folder: Path, device: str, accepter: str = "tcp") -> AsyncIterator[int]:
    """Debian's ser2net in front of `device`; yields its port."""
    program = shutil.which("ser2net", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "ser2net is not installed"
    file = folder / "ser2net.yaml"
    file.write_text(documented(f"{accepter},127.0.0.1,0", device))
    log = folder / "ser2net.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, "-n", "-u", "-c", str(file), stderr=output
        )
    try:
        await eventually(
            lambda: listening(process.pid) or process.returncode is not None, "ser2net listens"
        )
        assert process.returncode is None, "ser2net ended"
        assert "Unknown config item" not in log.read_text(), log.read_text()
        (port,) = listening(process.pid)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def documented(accepter: str, device: str) -> str:
    """The configuration in docs/operations.md, with another accepter and device."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (block,) = re.findall(r"^    connection: &modem\n(?: {6}.*\n)+", text, re.MULTILINE)
    block = textwrap.dedent(block)
    block, accepters = re.subn(r"(?<=accepter: ).*", accepter, block)
    block, devices = re.subn(r"(?<=serialdev,)[^,]*", device, block)
    assert (accepters, devices) == (1, 1), "the example has one accepter and one device"
    return str(block)


def listening(pid: int) -> list[int]:
    """The TCP ports on which a process listens, read from the kernel (proc(5))."""
    own = set()
    with contextlib.suppress(FileNotFoundError):  # it has ended, or a descriptor was closed
        own = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in own
    ]


async def deliver(box: Driven, text: str, to: str = "+4915112340001") -> Outcome:
    """Send as the gateway does: again while the modem cannot send, never after an unknown outcome."""
    tpdu = part(text, to)
    async with asyncio.timeout(PATIENCE):
        while True:
            await box.until(lambda: box.device.status.state is ModemState.READY)
            outcome = await box.device.send(tpdu)
            if outcome.verdict in (Verdict.TAKEN, Verdict.UNKNOWN):
                return outcome
            await asyncio.sleep(0)  # the state of a lost port arrives with the next event


def check(box: Driven, outcomes: dict[str, Outcome]) -> tuple[int, int]:
    """Assert that nothing went twice, and that every claim is true; return how many are certain and uncertain."""
    texts = [line["text"] for line in box.journal()]
    assert len(texts) == len(set(texts)), "a message was sent twice"
    assert set(texts) <= set(outcomes)
    certain = {text for text, one in outcomes.items() if one.verdict is Verdict.TAKEN}
    assert certain <= set(texts), "a message that counts as sent was lost"
    return len(certain), len(outcomes) - len(certain)


# A cut is noticed at once; who waits for an answer here waits for a busy machine only.
TIMING = quick(
    command_seconds=10,
    slow_command_seconds=10,
    prompt_seconds=10,
    network_seconds=30,
    resync_seconds=5,
    boot_seconds=20,
    vanished_seconds=30,
)
BOXES = 6  # driven side by side by `cut_at_each_byte`


@contextlib.asynccontextmanager
async def simulator(folder: Path) -> AsyncIterator[tuple[Simulator, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    one = Simulator(Settings(magic=False), journal=folder / "journal", link=folder / "port")
    path = await one.start()
    try:
        yield one, path
    finally:
        await one.stop()


@contextlib.asynccontextmanager
async def behind(
    folder: Path, *, timing: Timing = TIMING
) -> AsyncIterator[tuple[Driven, Link, Bridge]]:
    """A driver on a link to a bridge to a simulated modem."""
    async with simulator(folder) as (one, path):
        bridge = Bridge(path)
        await bridge.start()
        link = Link(bridge.port)
        await link.start()
        try:
            address = f"socket://127.0.0.1:{link.port}"
            async with attached(address, one, folder / "journal", timing=timing) as box:
                yield box, link, bridge
        finally:
            await link.stop()
            await bridge.stop()


async def cut_at_each_byte(folder: Path, step: int = 1) -> tuple[int, int]:
    """Cut a send after each `step`th byte of its dialogue; return how many are certain and uncertain."""

    async def some(number: int) -> tuple[int, int]:
        async with behind(folder / f"box{number}") as (box, link, _):
            outcomes: dict[str, Outcome] = {}
            link.cut_after(10_000, begin=b"AT+CMGS=")
            outcomes["uncut"] = await deliver(box, "uncut")
            length = link.passed
            assert length > 60
            for place in range(1 + number * step, length + 1, BOXES * step):
                link.cut_after(place, begin=b"AT+CMGS=")
                outcomes[f"m{place:04d}"] = await deliver(box, f"m{place:04d}")
            return check(box, outcomes)

    counts = await asyncio.gather(*(some(number) for number in range(BOXES)))
    return sum(certain for certain, _ in counts), sum(uncertain for _, uncertain in counts)


async def through_ser2net(
    folder: Path, scheme: str, *, messages: int, cuts: int, seed: int
) -> tuple[int, int]:
    """Send through ser2net while the link is cut at random bytes; return how many are certain and uncertain."""
    accepter = "tcp" if scheme == "socket" else "telnet(rfc2217),tcp"
    chance = random.Random(seed)
    async with simulator(folder) as (one, path), ser2net(folder, path, accepter) as port:
        link = Link(port)
        await link.start()
        address = f"{scheme}://127.0.0.1:{link.port}"
        async with attached(address, one, folder / "journal", timing=TIMING) as box:
            outcomes: dict[str, Outcome] = {}
            for number in range(messages):
                if number % (messages // cuts) == 1:
                    link.cut_after(chance.randrange(1, 150))
                outcomes[f"m{number:04d}"] = await deliver(box, f"m{number:04d}")
            counts = check(box, outcomes)
        await link.stop()
    assert link.cuts == cuts, "a cut did not happen"
    return counts


async def long_form() -> None:
    """Every byte of a send, and 200 messages with 20 cuts through ser2net."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _print("each byte of a send", await cut_at_each_byte(base / "bytes"))
        for scheme in ("socket", "rfc2217"):
            counts = await through_ser2net(base / scheme, scheme, messages=200, cuts=20, seed=2217)
            _print(f"{scheme}, 200 messages, 20 cuts", counts)


def _print(what: str, counts: tuple[int, int]) -> None:
    certain, uncertain = counts
    sys.stdout.write(f"{what}: {certain} sent once, {uncertain} uncertain, none twice, none lost\n")


def main() -> int:
    """Run the long form and print what became of the messages."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(long_form())
    return 0
