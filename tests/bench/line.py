"""The line: from a 202 to the first byte of AT+CMGS, and the pause between two messages of a burst."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import msgspec
import requests

from modem.simulator import trace
from modem.simulator.trace import TraceEntry
from tests.bench.figures import Figures, syncs
from tests.box.outside import OutsideModem
from tests.box.running import REQUEST_SECONDS, Client, RunningBox, eventually

TO = "+33612345678"
TEXT = "Votre commande 4711 est en cours de livraison, elle arrive demain entre 9 h et 11 h."
PATIENCE_SECONDS = 600.0
POLL_SECONDS = 0.5


class Part(msgspec.Struct, frozen=True):
    """One part as the modem saw it, moments in nanoseconds."""

    asked: int  # the first byte of AT+CMGS
    prompted: int
    given: int  # Ctrl-Z
    answered: int  # the final OK


def parts(passed: list[TraceEntry]) -> list[Part]:
    """The sends of a trace that went well from AT+CMGS to OK, in order."""
    found: list[Part] = []
    asked = prompted = given = 0
    for piece in passed:
        if piece.way == "in":
            if "AT+CMGS" in piece.data.upper():
                asked, prompted, given = piece.mono, 0, 0
            elif asked and not given and "\x1a" in piece.data:
                given = piece.mono
        elif asked and not prompted and "> " in piece.data:
            prompted = piece.mono
        elif given and "\r\nOK\r\n" in piece.data:
            found.append(Part(asked, prompted, given, piece.mono))
            asked = prompted = given = 0
    return found


def gaps(sent: list[Part]) -> list[float]:
    """Milliseconds from the OK of one message to the first byte of the next AT+CMGS."""
    return [(b.asked - a.answered) / 1e6 for a, b in itertools.pairwise(sent)]


def idle(sent: list[Part]) -> list[float]:
    """All the line's time per message that neither modem nor network asked for: the pause before
    AT+CMGS, and the one between the prompt and Ctrl-Z."""
    waits = [(part.given - part.prompted) / 1e6 for part in sent[1:]]
    return [gap + wait for gap, wait in zip(gaps(sent), waits, strict=True)]


class Bench:
    """A box on a simulated modem in a process of its own, whose line is noted byte by byte."""

    def __init__(self, folder: Path, latency_ms: float = 0.0, report_ms: float = 200.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.trace = folder / "trace.jsonl"
        self.modem = OutsideModem(
            folder,
            *("--latency", str(latency_ms), "--report-delay", str(report_ms)),
            *("--trace", str(self.trace)),
        )
        self.box = RunningBox(folder, modems=(str(self.modem.port),)).start()
        self.client = self.box.client()
        eventually(self.ready, "the modem is ready")

    def ready(self) -> bool:
        health = requests.get(f"{self.box.url}/health", timeout=REQUEST_SECONDS).json()
        return bool(health["status"] == "ok")

    def sent(self) -> list[Part]:
        return parts(trace.read(self.trace))

    def until_taken(self, n: int) -> None:
        """Until the network has n parts; asked so seldom that the asking changes nothing."""
        last = time.monotonic() + PATIENCE_SECONDS
        while self.modem.order("counters")["counters"].get("submit", 0) < n:
            assert time.monotonic() < last, f"not {n} parts within {PATIENCE_SECONDS:g} s"
            time.sleep(POLL_SECONDS)  # polls another process

    def stop(self) -> None:
        self.box.stop()
        self.modem.stop()


class Line(msgspec.Struct, frozen=True):
    """What was measured in one run."""

    sync: Figures  # one page after the other
    paced_sync: Figures  # … and one page every so often, in the rhythm of the burst
    to_first_byte: Figures
    gap: Figures
    per_second: float
    cpu_ms: float  # of the box, per message of the burst, its report included


def from_202(client: Client, n: int, pause_seconds: float) -> list[int]:
    """The moments at which n single messages were answered 202, far apart."""
    answered: list[int] = []
    with requests.Session() as session:
        for _ in range(n):
            answer = session.post(
                f"{client.url}/v1/sms/send",
                json={"to": TO, "message": TEXT},
                headers=client.headers,
                timeout=REQUEST_SECONDS,
            )
            answered.append(time.monotonic_ns())
            assert answer.status_code == 202, answer.text
            time.sleep(pause_seconds)  # the pace of the measurement itself
    return answered


def burst(client: Client, n: int) -> None:
    """n messages as a batch, all at once in the queue."""
    for start in range(0, n, 1000):
        batch = [{"to": TO, "message": f"{k}: {TEXT}"} for k in range(start, min(n, start + 1000))]
        answer = client.post("/sms/send-bulk", {"messages": batch})
        assert answer.status_code == 202, answer.text


def cpu_ms(pid: int) -> float:
    """Processor time that a process has used so far, in milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(
    folder: Path, *, singles: int = 200, bursts: int = 1000, latency_ms: float = 20
) -> Line:
    """All of it in one run; the disk is measured before, between and after."""
    bench = Bench(folder, latency_ms)
    try:
        disk, paced = syncs(folder, 100), syncs(folder, 50, latency_ms / 1000)
        answered = from_202(bench.client, singles, 0.06)
        bench.until_taken(singles)
        first = [
            (part.asked - moment) / 1e6 for part, moment in zip(bench.sent(), answered, strict=True)
        ]
        disk += syncs(folder, 100)
        paced += syncs(folder, 50, latency_ms / 1000)
        before = cpu_ms(bench.box.pid)
        burst(bench.client, bursts)
        bench.until_taken(singles + bursts)
        spent = cpu_ms(bench.box.pid) - before
        crowd = bench.sent()[singles:]
        disk += syncs(folder, 100)
        paced += syncs(folder, 50, latency_ms / 1000)
        seconds = (crowd[-1].answered - crowd[0].asked) / 1e9
        return Line(
            Figures.of(disk),
            Figures.of(paced),
            Figures.of(first),
            Figures.of(gaps(crowd)),
            len(crowd) / seconds,
            spent / bursts,
        )
    finally:
        bench.stop()


def tell(line: Line, latency_ms: float) -> str:
    return f"""The line (network takes {latency_ms:g} ms a part, reports come 200 ms later), in milliseconds
  durable pages, one after the other   {line.sync}
  durable pages, one every {latency_ms:3g} ms      {line.paced_sync}
  202 → first byte of AT+CMGS, idle    {line.to_first_byte}
  OK → first byte of next AT+CMGS      {line.gap}
  in the burst: {line.per_second:.1f} SMS/s of {1000 / latency_ms:.0f} possible
  processor time of the box per message, report included: {line.cpu_ms:.1f}"""
