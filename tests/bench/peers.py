"""The box beside gammu-smsd and smstools, as Debian ships them, on the same simulated modem."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from modem.simulator import trace
from tests.bench import line
from tests.bench.line import TEXT, TO, Part
from tests.box.outside import OutsideModem
from tests.box.running import Client, RunningBox

STOP_SECONDS = 30.0
START_SECONDS = 60.0
LATENCIES_MS = (0, 50, 2000)
REPORT_MS = 200
COUNTED = 20  # messages of the run in which syncs are counted


class Gateway(ABC):
    """One program that sends SMS through a serial port."""

    name = ""

    def __init__(self, folder: Path, port: Path) -> None:
        self.folder, self.port = folder, port

    @abstractmethod
    def start(self) -> None:
        """Run it; what was queued before may go at once."""

    @abstractmethod
    def queue(self, first: int, n: int) -> None:
        """Hand over n messages, numbered from `first`."""

    @property
    @abstractmethod
    def pids(self) -> list[int]:
        """Its processes."""

    @abstractmethod
    def stop(self) -> None: ...


class Box(Gateway):
    name = "ZimBox"
    _box: RunningBox
    _client: Client

    def start(self) -> None:
        self._box = RunningBox(self.folder, modems=(str(self.port),)).start()
        self._client = self._box.client()

    def queue(self, first: int, n: int) -> None:
        if n == 1:
            self._client.send(TO, f"{first}: {TEXT}")
        else:
            line.burst(self._client, n)

    @property
    def pids(self) -> list[int]:
        return [self._box.pid]

    def stop(self) -> None:
        self._box.stop()


class Daemon(Gateway):
    """A program of Debian's with a configuration file and folders of messages."""

    program = ""
    _process: subprocess.Popen[bytes]

    def __init__(self, folder: Path, port: Path) -> None:
        super().__init__(folder, port)
        for name in ("inbox", "outbox", "sent", "failed", "checked"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.config = folder / "config"
        self.config.write_text(self.settings())

    @abstractmethod
    def settings(self) -> str:
        """The least that it needs; everything else as shipped."""

    @abstractmethod
    def command(self) -> list[str]: ...

    def start(self) -> None:
        with (self.folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True
            )

    @property
    def pids(self) -> list[int]:
        own = self._process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)


class Gammu(Daemon):
    name, program = "gammu-smsd", "gammu-smsd"

    def settings(self) -> str:
        return f"""[gammu]
device = {self.port}
connection = at115200

[smsd]
service = files
logfile = {self.folder}/log
deliveryreport = log
inboxpath = {self.folder}/inbox/
outboxpath = {self.folder}/outbox/
sentsmspath = {self.folder}/sent/
errorsmspath = {self.folder}/failed/
"""

    def command(self) -> list[str]:
        return ["gammu-smsd", "-c", str(self.config)]

    def queue(self, first: int, n: int) -> None:
        for k in range(first, first + n):
            subprocess.run(
                [
                    *("gammu-smsd-inject", "-c", str(self.config), "TEXT", TO),
                    *("-report", "-text", f"{k}: {TEXT}"),
                ],
                check=True,
                capture_output=True,
            )


class Smstools(Daemon):
    name, program = "smstools", "smsd"

    def settings(self) -> str:
        return f"""devices = GSM1
logfile = {self.folder}/log
infofile = {self.folder}/working
pidfile = {self.folder}/pid
outgoing = {self.folder}/outbox
checked = {self.folder}/checked
incoming = {self.folder}/inbox
sent = {self.folder}/sent
failed = {self.folder}/failed

[GSM1]
device = {self.port}
baudrate = 115200
incoming = yes
report = yes
"""

    def command(self) -> list[str]:
        return ["smsd", "-t", f"-c{self.config}"]

    def queue(self, first: int, n: int) -> None:
        for k in range(first, first + n):
            draft = self.folder / f"draft{k:05d}"
            draft.write_text(f"To: {TO[1:]}\nReport: yes\n\n{k}: {TEXT}")
            draft.rename(self.folder / "outbox" / f"message{k:05d}")


class Pace(msgspec.Struct, frozen=True):
    """One gateway on one network."""

    name: str
    latency_ms: int
    n: int
    per_second: float
    idle: float  # median of the line's idle time per message, milliseconds
    idle_mean: float

    @property
    def possible(self) -> float:
        """Of what the network could take, in percent; None of it is the network's at 0 ms."""
        return 100 * self.per_second * self.latency_ms / 1000


class Cost(msgspec.Struct, frozen=True):
    """What a message costs the machine."""

    name: str
    kib: float  # to the device, as /proc/PID/io counts
    syncs: float | None  # None: could not be counted here
    commands: float  # AT commands on the line, per message


class Run:
    """A gateway on a modem of its own, in a folder of its own."""

    def __init__(self, kind: type[Gateway], folder: Path, latency_ms: int) -> None:
        folder.mkdir(parents=True)
        self.trace = folder / "trace.jsonl"
        self.modem = OutsideModem(
            folder,
            *("--latency", str(latency_ms), "--report-delay", str(REPORT_MS)),
            *("--trace", str(self.trace)),
        )
        self.gateway = kind(folder, self.modem.port)

    def until_taken(self, n: int, seconds: float) -> None:
        def taken() -> bool:
            counts = self.modem.order("counters")["counters"]
            return bool(counts.get("submit", 0) >= n)

        last = time.monotonic() + seconds
        while not taken():
            assert time.monotonic() < last, f"{self.gateway.name}: not {n} parts in {seconds:g} s"
            time.sleep(line.POLL_SECONDS)  # polls another process
        time.sleep(line.POLL_SECONDS)  # the last answer

    def parts(self) -> list[Part]:
        return line.parts(trace.read(self.trace))

    def stop(self) -> None:
        self.gateway.stop()
        self.modem.stop()


def pace(kind: type[Gateway], folder: Path, latency_ms: int, n: int) -> Pace:
    """n messages in the queue at once."""
    run = Run(kind, folder, latency_ms)
    try:
        run.gateway.start()
        run.gateway.queue(0, n)
        run.until_taken(n, START_SECONDS + n * (3 + latency_ms / 500))
        sent = run.parts()[:n]
    finally:
        run.stop()
    seconds = (sent[-1].answered - sent[0].asked) / 1e9
    idle = line.idle(sent)
    return Pace(
        kind.name,
        latency_ms,
        len(sent),
        (len(sent) - 1) / (seconds - (sent[-1].answered - sent[-1].asked) / 1e9),
        statistics.median(idle),
        statistics.fmean(idle),
    )


def reaction(kind: type[Gateway], folder: Path, samples: int) -> list[float]:
    """Seconds from the hand-over of one message to an idle gateway until AT+CMGS."""
    chance = random.Random(4)
    run = Run(kind, folder, 0)
    found: list[float] = []
    try:
        run.gateway.start()
        run.gateway.queue(0, 1)
        run.until_taken(1, START_SECONDS)
        for k in range(1, samples + 1):
            time.sleep(chance.uniform(2.0, 12.0))  # any moment of its polling
            began = time.monotonic_ns()
            run.gateway.queue(k, 1)
            run.until_taken(k + 1, 2 * START_SECONDS)
            found.append((run.parts()[k].asked - began) / 1e9)
    finally:
        run.stop()
    return found


def written(pids: list[int]) -> int:
    """Bytes that these processes have caused to be written to the device."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/io").read_text()
        if match := re.search(r"^write_bytes: (\d+)$", text, re.MULTILINE):
            total += int(match[1])
    return total


def cost(kind: type[Gateway], folder: Path, n: int = COUNTED) -> Cost:
    """Bytes, syncs (where strace may look) and AT commands per message, without the start-up."""
    run = Run(kind, folder, 0)
    counter: subprocess.Popen[bytes] | None = None
    log = folder / "syncs"
    try:
        run.gateway.start()
        run.gateway.queue(0, 1)
        run.until_taken(1, START_SECONDS)
        pids = run.gateway.pids
        if shutil.which("strace"):
            attach = [word for pid in pids for word in ("-p", str(pid))]
            counter = subprocess.Popen(
                ["strace", "-f", "-q", "-e", "trace=fsync,fdatasync", "-o", str(log), *attach],
                stderr=subprocess.DEVNULL,
            )
            time.sleep(1.0)  # strace says nothing when it has attached
        before = written(pids)
        passed = len(trace.read(run.trace))
        run.gateway.queue(1, n)
        run.until_taken(n + 1, START_SECONDS + 3 * n)
        time.sleep(2.0)  # the reports
        after = written(pids)
        syncs: float | None = None
        if counter is not None:
            counter.terminate()
            counter.wait(STOP_SECONDS)
            syncs = len(re.findall(r"\bf(?:data)?sync\(", log.read_text())) / n
        commands = sum(
            piece.data.upper().count("AT+") + piece.data.upper().count("AT\r")
            for piece in trace.read(run.trace)[passed:]
            if piece.way == "in"
        )
    finally:
        run.stop()
    return Cost(kind.name, (after - before) / 1024 / n, syncs, commands / n)


KINDS: tuple[type[Gateway], ...] = (Box, Gammu, Smstools)


def available() -> list[type[Gateway]]:
    return [k for k in KINDS if not issubclass(k, Daemon) or shutil.which(k.program)]


def measure(folder: Path) -> Iterator[str]:
    """All of them, one after the other, on the same disk and network; each line as it is known."""
    yield "Beside others, as Debian ships them, on the same simulated modem; line idle in milliseconds"
    yield "a message (from OK to the next AT+CMGS, and from the prompt to Ctrl-Z)"
    yield f"  {'':12} {'ms/part':>8} {'n':>5} {'SMS/s':>8} {'idle p50':>9} {'idle mean':>10}"
    for latency in LATENCIES_MS:
        for kind in available():
            yield _tolerant(kind, partial(_pace_line, kind, folder, latency))
    yield "From hand-over to AT+CMGS on an idle line, seconds, each sample"
    for kind in available():
        yield _tolerant(kind, partial(_reaction_line, kind, folder))
    yield "Per message, without the start-up, reports included"
    for kind in available():
        yield _tolerant(kind, partial(_cost_line, kind, folder))


def _tolerant(kind: type[Gateway], line_of: Callable[[], str]) -> str:
    """The others' figures are worth having when one of them does not finish."""
    try:
        return line_of()
    except AssertionError as why:
        return f"  {kind.name:12} did not finish: {why}"


def _pace_line(kind: type[Gateway], folder: Path, latency: int) -> str:
    quick = kind is Box
    n = {0: 300 if quick else 15, 50: 200 if quick else 15, 2000: 6}[latency]
    found = pace(kind, folder / f"{kind.name}-{latency}", latency, n)
    share = f"   {found.possible:5.1f} % of the network" if latency else ""
    return (
        f"  {found.name:12} {latency:8} {found.n:5} {found.per_second:8.2f} "
        f"{found.idle:9.2f} {found.idle_mean:10.2f}{share}"
    )


def _reaction_line(kind: type[Gateway], folder: Path) -> str:
    samples = reaction(kind, folder / f"{kind.name}-reaction", 10 if kind is Box else 3)
    result = " ".join(f"{s:.4f}" if s < 1 else f"{s:.1f}" for s in samples)
    return f"  {kind.name:12} {result}"


def _cost_line(kind: type[Gateway], folder: Path) -> str:
    spent = cost(kind, folder / f"{kind.name}-cost")
    syncs = "-" if spent.syncs is None else f"{spent.syncs:.1f}"
    return (
        f"  {kind.name:12} {spent.kib:7.1f} KiB to the device, {syncs} syncs, "
        f"{spent.commands:.1f} AT commands"
    )
