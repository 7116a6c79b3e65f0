"""What a message writes to the card: bytes and syncs from its 202 to `delivered`, idle and busy; and what slow
syncs do to the API. Counted by strace, so that it is the same on every machine."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tests.bench.api import Served
from tests.bench.figures import Figures
from tests.bench.line import Bench, burst, from_202
from tests.bench.load import load
from tests.box.running import STOP_SECONDS, Client, eventually

IDLE, BUSY, POSTS = 40, 2000, 100
DELAYS_MS = (5, 20)
SECONDS = 5.0
ATTACH_SECONDS = 1.0  # strace does not say when it has attached
SETTLE_SECONDS = 600.0
WRITE = re.compile(r"pwrite64\(\d+<([^>]*)>.*?\)?\s*= (\d+)$")
SYNC = re.compile(r"\bf(?:data)?sync\(")


class Written(msgspec.Struct, frozen=True):
    """What a process wrote to the files of the store."""

    log_bytes: int  # zimbox.db-wal
    database_bytes: int  # zimbox.db, by checkpoints
    syncs: int

    def per(self, messages: int) -> str:
        log, database = (n / 1024 / messages for n in (self.log_bytes, self.database_bytes))
        return f"{log + database:6.1f} KiB ({log:.1f} log, {database:.1f} database), {self.syncs / messages:.2f} syncs"


class Watch:
    """Counts what a process writes, from `start` to `stop`."""

    def __init__(self, pid: int, log: Path) -> None:
        self._pid, self._log = pid, log

    def __enter__(self) -> Watch:
        self._strace = subprocess.Popen(
            ["strace", "-f", "-q", "-y", "-e", "trace=pwrite64,fsync,fdatasync", "-s", "0"]
            + ["-o", str(self._log), "-p", str(self._pid)],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(ATTACH_SECONDS)  # strace attaches in this time
        return self

    def __exit__(self, *_: object) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(STOP_SECONDS)

    def written(self) -> Written:
        """What was written; asked after the end."""
        log = database = syncs = 0
        for line in self._log.read_text().splitlines():
            if SYNC.search(line):
                syncs += 1
            elif found := WRITE.search(line):
                if found[1].endswith("zimbox.db-wal"):
                    log += int(found[2])
                elif found[1].endswith("zimbox.db"):
                    database += int(found[2])
        return Written(log, database, syncs)


@contextlib.contextmanager
def slow_syncs(pid: int, milliseconds: int) -> Iterator[None]:
    """Every sync of a process takes so much longer."""
    delay = f"inject=fsync,fdatasync:delay_enter={milliseconds * 1000}"
    strace = subprocess.Popen(
        ["strace", "-f", "-q", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-e", delay]
        + ["-o", "/dev/null", "-p", str(pid)],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(ATTACH_SECONDS)  # strace attaches in this time
    try:
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(STOP_SECONDS)


def delivered(client: Client) -> int:
    """How many messages of the client are delivered."""
    return int(client.get("/sms/stats").json()["stats"]["delivered"])


def whole_life(folder: Path, messages: int, *, busy: bool) -> Written:
    """From the 202 of each message to its report."""
    bench = Bench(folder, latency_ms=0.0 if busy else 20.0)
    try:
        with Watch(bench.box.pid, folder / "strace") as watch:
            if busy:
                burst(bench.client, messages)
            else:
                from_202(bench.client, messages, 0.5)
            eventually(
                lambda: delivered(bench.client) >= messages, "all are delivered", SETTLE_SECONDS
            )
        return watch.written()
    finally:
        bench.stop()


def posts(folder: Path, messages: int, connections: int) -> Written:
    """The POST alone: a modem that is away leaves the messages in the queue."""
    served = Served(folder)
    try:
        plan = msgspec.structs.replace(served.send(), connections=connections, requests=messages)
        with Watch(served.box.pid, folder / "strace") as watch:
            load(plan)
        return watch.written()
    finally:
        served.box.stop()


def slow_card(folder: Path, milliseconds: int) -> Iterator[str]:
    """POST at 1 connection (one commit per request) and at 64, and GET beside 64 with and without the delay."""
    served = Served(folder)
    try:
        quick = _reads_beside_posts(served)
        with slow_syncs(served.box.pid, milliseconds):
            alone = load(msgspec.structs.replace(served.send(), seconds=SECONDS))
            many = load(msgspec.structs.replace(served.send(), connections=64, seconds=SECONDS))
            slow = _reads_beside_posts(served)
        yield f"  POST,  1 connection   {alone.per_second:7.0f} per s   {alone.milliseconds}"
        yield (
            f"  POST, 64 connections  {many.per_second:7.0f} per s   {many.milliseconds}   "
            f"{many.per_second / alone.per_second:.1f} x"
        )
        yield f"  GET beside 64 POSTs, no delay           {quick}"
        yield f"  GET beside 64 POSTs, with it            {slow}   p99 {slow.p99 / quick.p99:.2f} x"
    finally:
        served.box.stop()


def _reads_beside_posts(served: Served) -> Figures:
    posting = msgspec.structs.replace(served.send(), connections=64, seconds=SECONDS + 1)
    with ThreadPoolExecutor(1) as beside:
        posted = beside.submit(load, posting)
        time.sleep(0.5)  # the posts have begun
        reads = load(msgspec.structs.replace(served.read(), seconds=SECONDS - 1))
        posted.result()
    return reads.milliseconds


def measure(folder: Path) -> Iterator[str]:
    yield "Written to the files of the store, per message"
    for connections in (1, 64):
        found = posts(folder / f"posts-{connections}", POSTS * connections, connections)
        yield f"  POST alone, {connections:2} connections    {found.per(POSTS * connections)}"
    found = whole_life(folder / "idle", IDLE, busy=False)
    yield f"  202 to delivered, idle        {found.per(IDLE)}"
    found = whole_life(folder / "busy", BUSY, busy=True)
    yield f"  202 to delivered, in a burst  {found.per(BUSY)}"
    for delay in DELAYS_MS:
        yield f"With syncs that take {delay} ms longer"
        yield from slow_card(folder / f"slow-{delay}", delay)
