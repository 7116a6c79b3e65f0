"""Requests a second of the box beside an empty Litestar application on the same server, in turn; then the same
with a queue that grows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from sqlite3 import Connection
from statistics import median

import msgspec

from appliance.domain.ids import Ids
from appliance.store import archive, messages
from appliance.store.database import beside
from appliance.store.messages import NewMessage
from tests.bench.figures import Figures
from tests.bench.line import cpu_ms
from tests.bench.load import Plan, load
from tests.box.running import Client, RunningBox

CONNECTIONS = (1, 16, 64)
LENGTHS = (0, 10_000, 50_000, 99_000)
ROUNDS = 3
HOUR_MS = 3_600_000
# A modem that is away keeps the queue as it is; nothing limits the requests.
SETTINGS = {
    "ZIMBOX_READ_LIMIT": "0",
    "ZIMBOX_SENDING_OFFLINE_GRACE_MINUTES": "6000",
    "ZIMBOX_QUEUE_MAX_WAITING": "1000000",
}
BODY = '{"to": "+33612345678", "message": "Votre commande %d est en cours de livraison"}'


BULK = json.dumps({"message": "x", "recipients": [f"+3361234{k:04d}" for k in range(10)]})


class Cell(msgspec.Struct, frozen=True):
    """One request under one load: medians over the rounds."""

    per_second: float
    cpu_ms: float  # of the server, per request
    milliseconds: Figures


class Empty:
    """An empty Litestar application in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.empty"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        if self._process.stdout:
            self._process.stdout.close()


class Served:
    """A box whose modem is away, with what is asked of it."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.box = RunningBox(
            folder, SETTINGS | (settings or {}), modems=(str(folder / "no-modem"),)
        ).start()
        self.client = self.box.client()
        self.message = self.client.send("+33612345678", "Bonjour")

    @property
    def port(self) -> int:
        return int(self.box.url.rpartition(":")[2])

    def fill(self, n: int) -> None:
        """n more messages in the queue; the box is restarted."""
        self.box.stop()
        beside(self.box.data / "zimbox.db", lambda db: queue(db, self.client, n))
        self.box.start()
        self.client.url = self.box.url

    def ask(self, method: str, path: str, body: str = "", expected: int = 200) -> Plan:
        headers = {"Host": "localhost", "Content-Type": "application/json", **self.client.headers}
        head = "\r\n".join(
            [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        )
        return Plan(self.port, head, body, expected=expected)

    def send(self) -> Plan:
        """One message, numbered."""
        return self.ask("POST", "/v1/sms/send", BODY, 202)

    def read(self) -> Plan:
        """The status of one message."""
        return self.ask("GET", f"/v1/sms/status/{self.message}")


def queue(db: Connection, client: Client, n: int) -> None:
    """n messages as intake stores them, for many numbers; one in ten is for tomorrow."""
    new_ids: Ids = archive.marks(db)
    tenant = int(client.client_id.removeprefix("client_")) * 2
    now = db.execute("SELECT MAX(created_at) FROM message").fetchone()[0]
    for k in range(n):
        due = now + 24 * HOUR_MS if k % 10 == 0 else now
        messages.insert(
            db,
            new_ids,
            NewMessage(
                tenant=tenant,
                recipient=f"+336{k % 50_000:08d}",
                body=f"Votre commande {k} est en cours de livraison",
                alphabet="GSM-7",
                shift=0,
                parts=1,
                priority=3,
                device=0,
                bound=False,
                due_at=due,
                expires_at=due + 24 * HOUR_MS,
                max_attempts=3,
                on_uncertain="fail",
                scheduled_at=due if due > now else None,
            ),
            due,
            now + k // 100,
        )


def run(pid: int, plan: Plan) -> Cell:
    """One load, with the processor time that the server spent on it."""
    before = cpu_ms(pid)
    found = load(plan)
    spent = cpu_ms(pid) - before
    return Cell(found.per_second, spent / found.milliseconds.n, found.milliseconds)


def in_turn(asked: dict[str, tuple[int, Plan]], rounds: int) -> dict[str, Cell]:
    """Each of them in every round, so that whatever else the machine does hits all; medians."""
    cells: dict[str, list[Cell]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, (pid, plan) in asked.items():
            cells[name].append(run(pid, plan))
    return {name: _middle(found) for name, found in cells.items()}


def _middle(cells: list[Cell]) -> Cell:
    """The cell with the median rate, at the median processor time."""
    ordered = sorted(cells, key=lambda cell: cell.per_second)
    return msgspec.structs.replace(
        ordered[len(ordered) // 2], cpu_ms=median(cell.cpu_ms for cell in cells)
    )


def throughput(
    folder: Path,
    connections: tuple[int, ...] = CONNECTIONS,
    seconds: float = 2.0,
    rounds: int = ROUNDS,
    settings: dict[str, str] | None = None,
) -> dict[int, dict[str, Cell]]:
    """The empty application, POST and GET by id, at so many connections each."""
    empty = Empty()
    try:
        served = Served(folder, settings)
        try:
            asked = {
                "empty": (empty.pid, Plan(empty.port, "GET / HTTP/1.1\r\nHost: localhost")),
                "POST": (served.box.pid, served.send()),
                "GET": (served.box.pid, served.read()),
            }
            return {
                n: in_turn(
                    {
                        name: (
                            pid,
                            msgspec.structs.replace(plan, connections=n, seconds=seconds),
                        )
                        for name, (pid, plan) in asked.items()
                    },
                    rounds,
                )
                for n in connections
            }
        finally:
            served.box.stop()
    finally:
        empty.stop()


ROUTES: dict[str, Callable[[Served], Plan]] = {
    "POST send": Served.send,
    "POST send-bulk, 10": lambda s: s.ask(
        "POST",
        "/v1/sms/send-bulk",
        BULK,
        202,
    ),
    "POST send-otp": lambda s: s.ask("POST", "/v1/sms/send-otp", '{"to": "+336%08d"}', 202),
    "GET status": Served.read,
    "GET history": lambda s: s.ask("GET", "/v1/sms/history?limit=50"),
    "GET health": lambda s: s.ask("GET", "/health"),
}


def lengths(
    folder: Path, waiting: tuple[int, ...] = LENGTHS, requests: int = 200
) -> dict[str, list[Cell]]:
    """Each route, one request at a time, with so many messages in the queue."""
    found: dict[str, list[Cell]] = {name: [] for name in ROUTES}
    served = Served(folder)
    there = 0
    try:
        for n in waiting:
            if n > there:
                served.fill(n - there)
                there = n
            for name, plan_of in ROUTES.items():
                plan = plan_of(served)
                if "%08d" in plan.body:  # each to another number: the limit of codes is per number
                    plan = msgspec.structs.replace(
                        plan, body=plan.body.replace("%08d", f"60{len(found[name])}00%d")
                    )
                found[name].append(
                    run(served.box.pid, msgspec.structs.replace(plan, requests=requests))
                )
        return found
    finally:
        served.box.stop()


def measure(folder: Path, settings: dict[str, str] | None = None) -> Iterator[str]:
    """Both tables, line by line."""
    yield "Beside an empty Litestar application on the same server, medians of three rounds in turn"
    yield f"  {'':8} {'connections':>11} {'per s':>8} {'of empty':>9} {'CPU ms':>8}   latency, ms"
    for n, cells in throughput(folder / "throughput", settings=settings).items():
        for name, cell in cells.items():
            share = cell.per_second / cells["empty"].per_second
            yield (
                f"  {name:8} {n:11} {cell.per_second:8.0f} {share:9.2f} {cell.cpu_ms:8.3f}   "
                f"{cell.milliseconds}"
            )
    yield "With a queue that grows, one request at a time: median ms, and the server's CPU ms"
    yield f"  {'waiting':22} " + " ".join(f"{n:>9,}" for n in LENGTHS)
    for name, cells_of in lengths(folder / "lengths").items():
        yield f"  {name:22} " + " ".join(
            f"{cell.milliseconds.p50:5.1f}/{cell.cpu_ms:3.1f}" for cell in cells_of
        )
