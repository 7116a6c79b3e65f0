"""One run: traffic, faults, peace, and the comparison."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import requests
import structlog

from tests.box.listening import Listener, listening
from tests.box.outside import OutsideModem
from tests.box.running import QUICK_DRIVER, RunningBox, eventually, free_port
from tests.box.set_clock import SetClock
from tests.box.when import ago, ahead
from tests.torture import faults
from tests.torture.books import Books
from tests.torture.disk import Disk, small_disk
from tests.torture.faults import OTHERS, Fault, name
from tests.torture.traffic import Posted, User

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1  # between two looks whether enough messages were accepted
TELL_SECONDS = 60.0  # between two lines about the progress
PEACE_SECONDS = 600.0  # until all that was taken is settled, once nothing happens any more
STILL_SECONDS = 6.0  # longer than an uncertain message waits
MEMORY_KIB = 250_000_000 // 1024  # MemoryMax of zimbox.service
OTP_SECONDS = 1500.0  # within the expiry of the codes
SETTINGS = {
    **QUICK_DRIVER,
    "ZIMBOX_SENDING_UNCERTAIN_WINDOW_SECONDS": "4",
    "ZIMBOX_SENDING_PROBE_MINUTES": "0.005",
    "ZIMBOX_SENDING_WAIT_SECONDS": "0.2",
    "ZIMBOX_ARCHIVE_AFTER_MINUTES": "0.01",
    "ZIMBOX_STORAGE_RESERVE_MIB": "0",
    "ZIMBOX_WEBHOOK_RETRY_SECONDS": ",".join(["0.5"] * 60),
    "ZIMBOX_TIMING_NETWORK_SECONDS": "2",
    "ZIMBOX_TIMING_PROMPT_SECONDS": "1",
    "ZIMBOX_TIMING_COMMAND_SECONDS": "1",
}
NETWORK = (
    *("--latency", "5", "--latency-jitter", "4", "--report-delay", "60", "--report-jitter", "50"),
    "--no-magic",
)
EVENTS = ["sms.sent", "sms.delivered", "sms.failed", "sms.cancelled"]


class Plan(msgspec.Struct, frozen=True):
    """How long a run is, and what happens in it."""

    seconds: float
    kills: float = 0.5  # the share of kills among the faults
    power_cuts: float = 0.0  # the share of power cuts, besides those among the others
    others: Sequence[Fault] = OTHERS
    messages_per_fault: float = (
        0.0  # accepted ones, at least: on a busy machine the faults wait for the traffic
    )
    # What must have happened before the run ends, on a slow machine after more than its seconds.
    least_acknowledged: int = 100
    least_kills: int = 2
    least_power_cuts: int = 0
    least_kinds: int = 3  # of faults


class Gauge(msgspec.Struct):
    """The lowest and highest value that was seen of a resource of the box's process."""

    lowest: int
    highest: int

    def see(self, value: int) -> None:
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)


class Outcome(msgspec.Struct):
    """What a run did and found."""

    seed: int
    seconds: float
    faults: dict[str, int]
    posted: int
    acknowledged: int
    statuses: dict[str, int]
    parts: int  # that the network has
    received: int
    webhook_calls: int
    codes_verified: int
    uncertain: int  # failed, and nobody knows whether they left
    memory_kib: Gauge
    descriptors: Gauge
    threads: Gauge
    database_kib: int
    disagreements: list[str]


class Run:
    """A box, its modem, its clients and its receiver."""

    def __init__(self, folder: Path, seed: int, disk: Disk | None, listener: Listener) -> None:
        self.folder = folder
        self.seed = seed
        self.books: Books | None = None
        self.chance = random.Random(seed)
        self.disk = disk
        self.listener = listener
        self.port = free_port()
        self.modem = OutsideModem(folder, *NETWORK, "--seed", str(seed))
        self.clock = SetClock(folder / "clock")
        settings = {**SETTINGS, **self.clock.environment}
        self.box = RunningBox(folder, settings, modems=(str(self.modem.port),))
        if disk is not None:
            disk.hold_data_of(self.box)
        self.faults: Counter[str] = Counter()
        self.incoming: Counter[str] = Counter()
        self.gauges: dict[str, Gauge] = {}
        self._begun = time.monotonic()
        self._ended = threading.Event()
        self.start()
        self.users = [self._user(n, seed) for n in (1, 2, 3)]

    def start(self) -> None:
        self.box.start("--listen", f"127.0.0.1:{self.port}")

    def lasts(self, shortest: float, longest: float) -> None:
        time.sleep(self.chance.uniform(shortest, longest))  # a random moment

    def _user(self, number: int, seed: int) -> User:
        client = self.box.client()
        hook = {"url": f"{self.listener.url}/{number}", "events": EVENTS}
        assert client.post("/webhooks/configure", hook).status_code == 200
        return User(client, str(number), seed * 10 + number, self.listener.url)

    def enough(self) -> None:
        """End the traffic after the present fault, whatever the plan says."""
        self._ended.set()

    def go(self, plan: Plan) -> None:
        """Let faults happen under traffic."""
        for user in self.users:
            user.start()
        try:
            last = time.monotonic() + plan.seconds
            told = time.monotonic()
            while not self._ended.is_set() and (
                time.monotonic() < last or not self._worth_comparing(plan)
            ):
                if self._acknowledged() < self.faults.total() * plan.messages_per_fault:
                    self._ended.wait(LOOK_SECONDS)
                else:
                    self._happen(self._next(plan))
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    log.info("progress", **self._progress())
        finally:
            for user in self.users:
                user.stop()

    def _next(self, plan: Plan) -> Fault:
        chance = self.chance.random()
        if chance < plan.kills:
            return faults.kill
        if chance < plan.kills + plan.power_cuts:
            return faults.power_cut
        return self.chance.choice(plan.others)

    def _progress(self) -> dict[str, int]:
        return {
            "seconds": round(time.monotonic() - self._begun),
            "acknowledged": self._acknowledged(),
            "kills": self.faults[name(faults.kill)],
            "power_cuts": self.faults[name(faults.power_cut)],
            "faults": self.faults.total(),
        }

    def _acknowledged(self) -> int:
        return sum(user.accepted for user in self.users)

    def _worth_comparing(self, plan: Plan) -> bool:
        return (
            self._acknowledged() >= plan.least_acknowledged
            and self.faults[name(faults.kill)] >= plan.least_kills
            and self.faults[name(faults.power_cut)] >= plan.least_power_cuts
            and len(self.faults) >= plan.least_kinds
        )

    def _happen(self, fault: Fault) -> None:
        faults.pause(self.chance.uniform(0.0, 0.6))
        if self.chance.random() < 0.5:
            text = f"received {sum(self.incoming.values())}"
            faults.incoming(self, text)
            self.incoming[text] += 1
        fault(self)
        self.faults[name(fault)] += 1
        self._measure()

    def _measure(self) -> None:
        status = Path(f"/proc/{self.box.pid}/status").read_text()
        told = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        found = {
            "memory": int(told["VmHWM"].split()[0]),
            "threads": int(told["Threads"]),
            "descriptors": len(list(Path(f"/proc/{self.box.pid}/fd").iterdir())),
        }
        for what, value in found.items():
            self.gauges.setdefault(what, Gauge(value, value)).see(value)

    # --- peace -----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until all that was taken is where it stays, and all is told."""
        self.modem.order("reset")
        self.modem.order("release")
        self.box.stop()  # and all that is left in memory with it
        self.start()
        # Messages that began on the other SIM wait for it.
        for iccid in (faults.OTHER_ICCID, faults.FIRST_ICCID):
            faults.insert(self, iccid)
            eventually(self._still, f"nothing more is sent through {iccid}", PEACE_SECONDS)
        eventually(lambda: not self._queued(), "nothing is queued", PEACE_SECONDS)
        eventually(
            lambda: all(p.settled for p in self.modem.truth().parts), "all reports", PEACE_SECONDS
        )
        # The modem has handed them out; the box may still have to record them.
        eventually(self._reports_recorded, "all reports are recorded", PEACE_SECONDS)
        eventually(self._told, "every event is told", PEACE_SECONDS)
        eventually(
            lambda: sum(self._inbox().values()) >= len(self.incoming), "the inbox", PEACE_SECONDS
        )

    def _still(self) -> bool:
        """Whether the modem is ready, and what is queued stays so for a while."""
        health = requests.get(f"{self.box.url}/health", timeout=30).json()
        if not any(device["state"] == "ready" for device in health["devices"]):
            return False
        before = self._queued()
        if not before:
            return True
        time.sleep(STILL_SECONDS)  # nothing may change in this time
        return self._queued() == before

    def _reports_recorded(self) -> bool:
        before = self._count("sent")
        time.sleep(STILL_SECONDS)  # nothing may change in this time
        return self._count("sent") == before

    def _queued(self) -> int:
        return self._count("queued")

    def _count(self, status: str) -> int:
        total = 0
        for user in self.users:
            page = user.client.get("/sms/history", params={"status": status, "limit": 1}).json()
            total += page["pagination"]["total_items"]
        return total

    def _told(self) -> bool:
        lines = requests.get(f"{self.box.url}/metrics", timeout=30).text.splitlines()
        open_events = [line for line in lines if line.startswith("zimbox_webhook_pending_events ")]
        assert open_events, "the metric is there"
        return float(open_events[0].split()[1]) == 0

    def _rows(self) -> dict[str, dict[str, Any]]:
        found = {}
        for user in self.users:
            for line in user.client.get("/sms/export?format=jsonl").text.split("\n"):
                if line:
                    row = json.loads(line)
                    found[row["message_id"]] = row
        return found

    def _inbox(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for user in self.users:
            page = 1
            while True:
                told = user.client.get(f"/sms/inbox?limit=100&page={page}").json()
                found.update(entry["message"] for entry in told["data"])
                if len(told["data"]) < 100:
                    break
                page += 1
        return found

    def _totals(self) -> dict[str, int]:
        totals: Counter[str] = Counter()
        for user in self.users:
            # The clock was set: some messages were created on another day.
            period = {"from_date": ago(days=3), "to_date": ahead(days=3)}
            stats = user.client.get("/sms/stats", params=period).json()["stats"]
            for field in ("total_sent", "pending", "failed"):
                totals[field] += stats[field]
        return dict(totals)

    def outcome(self) -> Outcome:
        posted = [one for user in self.users for one in user.posted]
        rows, truth = self._rows(), self.modem.truth()
        books = Books(
            posted,
            rows,
            self._totals(),
            list(self.listener.calls),
            truth,
            self.incoming,
            self._inbox(),
        )
        self.books = books
        wrong = [f"{user.name}: {odd}" for user in self.users for odd in user.odd]
        wrong += books.disagreements()
        verified, unverified = self._verify(posted)
        wrong += unverified
        if self.gauges["memory"].highest > MEMORY_KIB:
            wrong.append(f"the box needed {self.gauges['memory'].highest} KiB of memory")
        log = self.box.log()
        wrong += [
            line
            for line in log.splitlines()
            if ("event=loop_failed" in line and "StorageFull" not in line) or "status=500" in line
        ][:5]
        return Outcome(
            seed=self.seed,
            seconds=round(time.monotonic() - self._begun, 1),
            faults=dict(self.faults.most_common()),
            posted=len(posted),
            acknowledged=sum(one.message_id is not None for one in posted),
            statuses=dict(Counter(row["status"] for row in rows.values())),
            parts=len(truth.parts),
            received=sum(self.incoming.values()),
            webhook_calls=len(self.listener.calls),
            codes_verified=verified,
            uncertain=sum(bool(row["uncertain"]) for row in rows.values()),
            memory_kib=self.gauges["memory"],
            descriptors=self.gauges["descriptors"],
            threads=self.gauges["threads"],
            database_kib=(self.box.data / "zimbox.db").stat().st_size // 1024,
            disagreements=wrong,
        )

    def keep_books(self) -> None:
        """Write what was compared beside the logs of box and modem."""
        assert self.books is not None
        for what in ("posted", "rows", "calls", "incoming", "inbox"):
            value = getattr(self.books, what)
            (self.folder / f"{what}.json").write_bytes(msgspec.json.encode(value))

    def _verify(self, posted: list[Posted]) -> tuple[int, list[str]]:
        """Every code that the network has is right, once. Codes of a long run may have expired."""
        if time.monotonic() - self._begun > OTP_SECONDS:
            posted = posted[-200:]
        texts = {part.recipient: part.text for part in self.modem.truth().parts}
        right, wrong = 0, []
        for user in self.users:
            for one in (o for o in posted if o in user.posted and o.otp_id and o.to in texts):
                body = {"otp_id": one.otp_id, "code": texts[one.to].rpartition(" ")[2]}
                told = user.client.post("/sms/verify-otp", body)
                if told.status_code == 200 and told.json()["valid"]:
                    right += 1
                else:
                    wrong.append(f"{one.otp_id}: the code that went out is {told.text}")
        return right, wrong

    def end(self) -> None:
        self.box.stop()
        self.modem.stop()


def torture(folder: Path, seed: int, plan: Plan) -> Outcome:
    """Run, and compare. SIGTERM ends the faults early."""
    with ExitStack() as opened:
        disk = opened.enter_context(small_disk(folder))
        if disk is None:  # a power cut would be a kill, and a full disk a failing one
            others = [one for one in plan.others if one not in faults.NEED_DISK]
            plan = msgspec.structs.replace(plan, power_cuts=0.0, least_power_cuts=0, others=others)
        listener = opened.enter_context(listening())
        run = Run(folder, seed, disk, listener)
        opened.callback(run.end)
        with _at_sigterm(run.enough):
            run.go(plan)
        run.settle()
        outcome = run.outcome()
        if outcome.disagreements:
            run.keep_books()
        return outcome


@contextmanager
def _at_sigterm(act: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
