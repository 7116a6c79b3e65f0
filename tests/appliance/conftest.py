"""A real store in a temporary folder, and a `Stage` that does what intake, outbox and inbox do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from appliance.context import Context
from appliance.core.config import Config, Limits
from appliance.core.encryption import Encryption
from appliance.devices.balance import Balances
from appliance.domain import limits
from appliance.domain.ids import Ids
from appliance.domain.report_matching import Candidate, ReportFields
from appliance.domain.views import MessageView
from appliance.maintenance.jobs import MaintenanceJobs
from appliance.messaging.inbox import Inbox
from appliance.store import archive, attempts, clients, history, messages, queue, reports
from appliance.store.database import Database
from appliance.store.messages import NewMessage
from appliance.store.queue import Job, NothingReady, Sender, SendingRules
from modem.interface import Fault, FaultKind, Outcome, Verdict
from tests.manual_clock import ManualClock

START = 1_800_000_000_000
SIM = "8933010000000001"
NUMBER = "+33612345678"


class Stage:
    """Plays what intake, outbox and inbox do with the store; the clock is a number."""

    def __init__(self, db: Database, ids: Ids) -> None:
        self.db = db
        self.ids = ids
        self.now = START
        self.rules = SendingRules(ZoneInfo("UTC"))
        self.sender = Sender(1, False, SIM, Limits())
        self.trusted = True

    async def take(self, **changes: Any) -> int:
        """One message into the queue."""
        due = changes.get("scheduled_at") or self.now
        priority = changes.get("priority", 3)
        rank = changes.pop("rank", limits.rank(priority, due, 10))
        fields: dict[str, Any] = {
            "tenant": 2,
            "recipient": NUMBER,
            "body": "Bonjour",
            "alphabet": "GSM-7",
            "shift": 0,
            "parts": 1,
            "priority": priority,
            "device": 1,
            "bound": False,
            "due_at": due,
            "expires_at": due + 86_400_000,
            "max_attempts": 3,
            "on_uncertain": "fail",
        } | changes
        fresh = NewMessage(**fields)
        return await self.db.write(messages.insert, self.ids, fresh, rank, self.now)

    async def claim(self, sender: Sender | None = None) -> Job | NothingReady:
        return await self.db.write(
            queue.claim, self.ids, self.rules, sender or self.sender, self.now, self.trusted
        )

    async def must_claim(self, sender: Sender | None = None) -> Job:
        found = await self.claim(sender)
        assert isinstance(found, Job), found
        return found

    async def record(self, job: Job, outcome: Outcome, sender: Sender | None = None) -> None:
        await self.db.write(
            attempts.record, self.ids, self.rules, sender or self.sender, job, outcome, self.now
        )

    async def sent(self, reference: int, **changes: Any) -> int:
        """One message of one part that the network has."""
        number = await self.take(**changes)
        await self.record(await self.must_claim(), Outcome(Verdict.TAKEN, reference))
        return number

    async def report(
        self,
        reference: int,
        tp_status: int = 0,
        recipient: str = NUMBER,
        scts: int | None = None,
    ) -> Candidate | None:
        received = ReportFields(reference, recipient, scts, self.now)
        return await self.db.write(
            reports.arrived, self.ids, 1, SIM, received, tp_status, None, self.now
        )

    async def settle_uncertain(self, window_ms: int = 600_000) -> None:
        await self.db.write(attempts.settle_uncertain, self.ids, window_ms, self.now)

    async def expire(self) -> int:
        return await self.db.write(attempts.expire, self.ids, self.now, 100)

    async def archive(self) -> int:
        return await self.db.write(archive.move, 256, self.now)

    async def view(self, number: int, tenant: int = 2) -> MessageView:
        row = await self.db.read(history.one, tenant, number)
        assert row is not None
        return history.view(row)

    async def status(self, number: int) -> str:
        return (await self.view(number)).status

    async def events(self) -> list[str]:
        def work(db: Connection) -> list[str]:
            return [r["name"] for r in db.execute("SELECT name FROM event ORDER BY id")]

        return await self.db.read(work)


REFUSED = Fault(Verdict.AGAIN, FaultKind.NETWORK, "CMS", 41, "Temporary failure.")
NEVER = Fault(Verdict.NEVER, FaultKind.NUMBER, "CMS", 1, "No such number.")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "zimbox.db")
    await database.write(clients.add_client, "one", START)
    await database.write(clients.add_client, "two", START)
    yield database
    await database.close()


@pytest.fixture
async def stage(db: Database) -> Stage:
    return Stage(db, await db.read(archive.marks))


@pytest.fixture
def clock() -> ManualClock:
    """Where the stage begins; it goes its own way from there."""
    return ManualClock(START)


@pytest.fixture
def jobs(stage: Stage, clock: ManualClock, tmp_path: Path) -> MaintenanceJobs:
    """The housekeeping of the stage's store, by that clock."""
    box = Context(Config(), clock, stage.db, stage.ids, Encryption(tmp_path / "key"))
    return MaintenanceJobs(box, Inbox(box), Balances(clock, []))
