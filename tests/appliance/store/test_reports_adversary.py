"""A network that does to reports all that networks do: the box never calls delivered what was not.

The store's own functions, a clock that is set, and a SIM whose reference wraps. What the network brought
to a phone stands in a list of its own: that is the truth.
"""

from __future__ import annotations

import heapq
import random
from sqlite3 import Connection
from typing import Literal

import msgspec
import pytest

from appliance.domain.report_matching import ReportFields
from appliance.store import attempts, reports, submissions
from appliance.store.queue import Job
from modem.interface import Fault, FaultKind, Outcome, Verdict
from tests.appliance.conftest import SIM, START, Stage

pytestmark = pytest.mark.seconds(10)

MINUTE = 60_000
HOUR = 60 * MINUTE
NUMBERS = ("+33612345678", "+33687654321", "+4915155501234")
UNCLEAR = Fault(Verdict.AGAIN, FaultKind.NETWORK, "CMS", 500, "Unknown error.")
BARRED = Fault(Verdict.NEVER, FaultKind.BARRED, "CMS", 10, "Call barred.")

Fate = Literal["taken", "doubt", "doubt, lost", "unclear", "unclear, taken", "refused", "crash"]

# What it does to number and reference of every report.
Rewriting = Literal["", "another number", "masked", "none", "name", "no reference"]


class Habits(msgspec.Struct, frozen=True):
    """What a network is like."""

    wrap: int = 256  # TP-MR counts modulo this
    loss: float = 0.0
    copies: float = 0.0
    late: float = 0.0  # chance of a report that takes up to `latest_ms`
    latest_ms: int = 20 * HOUR
    no_times: float = 0.0
    failed: float = 0.0
    trying: float = 0.0
    early: float = 0.0  # before the answer to AT+CMGS
    rewrites: Rewriting = ""
    zones: tuple[int, ...] = (0, 0, HOUR, -5 * HOUR)  # how wrong its zone may be
    fates: tuple[Fate, ...] = ("taken",)


class Report(msgspec.Struct, frozen=True, order=True):
    at: int
    serial: int
    heard: ReportFields
    status: int


class Network:
    """The SIM, its service centre, and what comes from there, by the network's clock."""

    def __init__(self, stage: Stage, habits: Habits, seed: int) -> None:
        self.stage, self.habits = stage, habits
        self.chance = random.Random(seed)
        self.reference = self.chance.randrange(habits.wrap)
        # The service centre's clock: minutes off, and perhaps in a wrong zone.
        self.ahead = self.chance.randint(-8 * MINUTE, 8 * MINUTE) + self.chance.choice(habits.zones)
        self.due: list[Report] = []
        self.delivered: set[tuple[int, int]] = set()  # message, part: what a phone has
        self.serial = 0

    def luck(self, chance: float) -> bool:
        return self.chance.random() < chance

    def take(self, job: Job) -> int:
        """The network has it. Returns its reference."""
        reference = self.reference
        self.reference = (reference + 1) % self.habits.wrap
        sent = (self.stage.now + self.ahead) // 1000 * 1000
        if self.luck(self.habits.failed):
            statuses = [self.chance.choice((0x41, 0x46, 0x62))]
        else:
            statuses = [0x00]
            self.delivered.add((job.message, job.number))
        if self.luck(self.habits.trying):
            statuses.insert(0, 0x30)
        timed = not self.luck(self.habits.no_times)
        for place, status in enumerate(statuses):
            if self.luck(self.habits.loss):
                continue
            wait = self.chance.randint(2_000, 20_000) * (place + 1)
            if self.luck(self.habits.late):
                wait = self.chance.randint(MINUTE, self.habits.latest_ms)
            if self.luck(self.habits.early):
                wait = 0
            self.report(job, reference, sent if timed else None, status, wait)
            while self.luck(self.habits.copies):
                wait += self.chance.randint(0, self.habits.latest_ms)
                self.report(job, reference, sent if timed else None, status, wait)
        return reference

    def report(self, job: Job, reference: int, sent: int | None, status: int, wait: int) -> None:
        at = self.stage.now + wait
        self.serial += 1
        result = {
            "another number": "+33700000000",
            "masked": job.recipient[:-4] + "****",
            "none": "",
            "name": "Operator",
        }.get(self.habits.rewrites, job.recipient)
        if self.habits.rewrites == "no reference":
            reference = 0
        received = ReportFields(reference, result, sent, at)
        heapq.heappush(self.due, Report(at, self.serial, received, status))

    async def bring(self, until: int) -> None:
        """Time passes, and the reports that are due come."""
        while self.due and self.due[0].at <= until:
            due = heapq.heappop(self.due)
            self.stage.now = max(self.stage.now, due.at)
            received = msgspec.structs.replace(due.heard, arrived_at=self.stage.now)
            await self.stage.db.write(
                reports.arrived, self.stage.ids, 1, SIM, received, due.status, None, self.stage.now
            )
        self.stage.now = max(self.stage.now, until)

    async def send_next(self) -> None:
        """One part over the line, with whatever becomes of it."""
        stage = self.stage
        job = await stage.claim()
        if not isinstance(job, Job):
            await self.bring(stage.now + 5_000)
            return
        fate = self.chance.choice(self.habits.fates)
        await self.bring(stage.now + self.chance.randint(500, 4_000))
        reference = (
            self.take(job) if fate in ("taken", "doubt", "unclear, taken", "crash") else None
        )
        await self.bring(stage.now + self.chance.randint(500, 4_000))
        match fate:
            case "taken":
                await stage.record(job, Outcome(Verdict.TAKEN, reference))
            case "doubt" | "doubt, lost":
                await self.bring(stage.now + self.chance.choice((1_000, 130_000)))
                await stage.record(job, Outcome(Verdict.UNKNOWN))
            case "unclear" | "unclear, taken":
                await stage.record(job, Outcome(Verdict.AGAIN, fault=UNCLEAR))
            case "refused":
                await stage.record(job, Outcome(Verdict.NEVER, fault=BARRED))
            case "crash":
                await self.bring(stage.now + self.chance.randint(1_000, MINUTE))
                await stage.db.write(attempts.mark_uncertain_after_start, stage.ids, stage.now)


async def play(stage: Stage, network: Network, messages: int) -> dict[int, int]:
    """So many messages through it; then three days. Returns them, with their numbers of parts."""
    chance = network.chance
    taken: dict[int, int] = {}
    while len(taken) < messages:
        parts = chance.choice((1, 1, 1, 2))
        on_uncertain = chance.choice(("fail", "resend"))
        number = await stage.take(
            recipient=chance.choice(NUMBERS), parts=parts, on_uncertain=on_uncertain
        )
        taken[number] = parts
        if chance.random() < 0.8:
            await network.send_next()
        if chance.random() < 0.02:
            await network.bring(stage.now + chance.randint(MINUTE, 3 * HOUR))
        if chance.random() < 0.1:
            await housekeep(stage)
        await network.bring(stage.now + chance.randint(0, 2_000))
    for _ in range(2 * messages):
        await network.send_next()
    for _ in range(36):
        await network.bring(stage.now + 2 * HOUR)
        await housekeep(stage)
    return taken


async def housekeep(stage: Stage) -> None:
    """As the box does, with its own windows."""
    await stage.settle_uncertain()
    await stage.db.write(attempts.close_reports, stage.ids, stage.now - 72 * HOUR, stage.now)
    await stage.db.write(submissions.forget, stage.now - 72 * HOUR - 15 * HOUR)
    await stage.db.write(reports.forget_strays, stage.now - 60 * MINUTE)
    await stage.archive()


async def claimed(stage: Stage, taken: dict[int, int]) -> dict[int, str]:
    return {number: await stage.status(number) for number in taken}


def reported_delivered(db: Connection) -> set[tuple[int, int]]:
    """Parts in motion that the box calls delivered."""
    rows = db.execute("SELECT message, number FROM part WHERE state = 'delivered'")
    return {(row[0], row[1]) for row in rows}


ANGRY = Habits(
    loss=0.2,
    copies=0.3,
    late=0.3,
    no_times=0.05,
    failed=0.15,
    trying=0.2,
    early=0.1,
    fates=("taken",) * 8
    + ("doubt", "doubt, lost", "unclear", "unclear, taken", "refused", "crash"),
)


@pytest.mark.parametrize("wrap", [12, 40, 256])
@pytest.mark.parametrize("seed", range(2))
async def test_no_undelivered_message_is_reported_as_delivered(
    stage: Stage, wrap: int, seed: int
) -> None:
    network = Network(stage, msgspec.structs.replace(ANGRY, wrap=wrap), seed)
    taken = await play(stage, network, 120)
    delivered = {
        number
        for number, parts in taken.items()
        if all((number, k + 1) in network.delivered for k in range(parts))
    }
    status = await claimed(stage, taken)
    wrongly = [n for n in taken if status[n] == "delivered" and n not in delivered]
    assert not wrongly
    assert await stage.db.read(reported_delivered) <= network.delivered
    result = sum(status[n] == "delivered" for n in delivered)
    assert result > len(delivered) // 3, "it says nothing false, but not by saying nothing"


REWRITTEN = [
    *(
        Habits(rewrites=way, zones=(0,))
        for way in ("another number", "masked", "none", "name", "no reference")
    ),
    Habits(zones=(HOUR // 2 * 11,)),
    Habits(zones=(HOUR // 4 * 23,)),
]


def name(habits: Habits) -> str:
    return habits.rewrites or f"{habits.zones[0] // MINUTE} min ahead"


@pytest.mark.parametrize("habits", REWRITTEN, ids=name)
@pytest.mark.parametrize("wrap", [40, 256])
async def test_nothing_is_called_delivered_by_reports_that_were_rewritten(
    stage: Stage, wrap: int, habits: Habits
) -> None:
    angry = msgspec.structs.replace(
        ANGRY, wrap=wrap, rewrites=habits.rewrites, zones=habits.zones, no_times=0.0
    )
    network = Network(stage, angry, 3)
    taken = await play(stage, network, 60)
    status = await claimed(stage, taken)
    delivered = {
        number
        for number, parts in taken.items()
        if all((number, k + 1) in network.delivered for k in range(parts))
    }
    assert not [n for n in taken if status[n] == "delivered" and n not in delivered]
    assert await stage.db.read(reported_delivered) <= network.delivered


@pytest.mark.parametrize(
    # Without a reference, the parts to one number are not told apart (test_rewritten_reports.py).
    "habits",
    [one for one in REWRITTEN if one.rewrites != "no reference"],
    ids=name,
)
async def test_rewritten_reports_of_a_calm_network_are_placed_all_the_same(
    stage: Stage, habits: Habits
) -> None:
    calm = msgspec.structs.replace(habits, copies=0.2, trying=0.2)
    network = Network(stage, calm, 5)
    taken = await play(stage, network, 60)
    status = await claimed(stage, taken)
    result = sum(one == "delivered" for one in status.values())
    assert result >= len(taken) - 2


async def test_delayed_and_repeated_reports_leave_no_message_open(stage: Stage) -> None:
    calm = Habits(copies=0.3, late=0.3, latest_ms=2 * HOUR, early=0.1, trying=0.2)
    network = Network(stage, msgspec.structs.replace(calm, wrap=64), seed=7)
    taken = await play(stage, network, 120)
    assert set((await claimed(stage, taken)).values()) == {"delivered"}
    assert stage.now > START + 72 * HOUR
