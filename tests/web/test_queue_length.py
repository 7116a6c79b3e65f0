"""No route costs more when more messages wait: SQLite's own steps are counted, not time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import httpx
import pytest

from appliance.assembly import Assembly
from appliance.core.config import Config, Limits, ModemSettings, SendingSettings
from appliance.domain.ids import message_id
from appliance.domain.message import Status
from appliance.domain.requests import HistoryFilter
from appliance.store import clients, counters, devices, messages
from appliance.store.database import READERS
from appliance.store.messages import NewMessage
from tests.manual_clock import ManualClock
from web.app import create
from web.page.routes import StatusPage

STEPS_PER_CALL = 10  # of SQLite's virtual machine, between two calls of the progress handler
FEW, MANY = 400, 4_000
# B-trees get deeper and steps are counted by the ten; a scan of the queue would be ten times as much.
GROWTH, SLACK = 1.2, 150
HOUR_MS = 3_600_000
Ask = Callable[[], Awaitable[httpx.Response]]


class Counted:
    """A box whose statements are counted: `steps` of SQLite, and the plan of each."""

    def __init__(self, box: Assembly, client: httpx.AsyncClient) -> None:
        self.box = box
        self.client = client
        self.steps = 0
        self.statements: set[str] = set()

    async def count(self) -> None:
        """Count from now on, on every connection of the store."""
        db = self.box.box.db
        await db.write(self.watch)
        together = threading.Barrier(READERS)

        def watch(connection: Connection) -> None:
            together.wait()
            self.watch(connection)

        await asyncio.gather(*(db.read(watch) for _ in range(READERS)))

    def watch(self, connection: Connection) -> None:
        connection.set_progress_handler(self._step, STEPS_PER_CALL)
        connection.set_trace_callback(self.statements.add)

    def _step(self) -> int:
        self.steps += STEPS_PER_CALL
        return 0

    async def cost(self, ask: Ask, expected: int) -> int:
        """SQLite's steps for one request once its statements are compiled, without what the box does beside it."""
        found = []
        for _ in range(4):
            self.box.box.clock.advance(60)  # type: ignore[attr-defined]  # a ManualClock: what is cached for a time is stale
            self.steps = 0
            response = await ask()
            assert response.status_code == expected, response.text
            found.append(self.steps)
        return min(found[1:])

    async def plans(self) -> list[str]:
        """EXPLAIN QUERY PLAN of all that was asked."""

        def explain(connection: Connection) -> list[str]:
            connection.set_trace_callback(None)
            return [
                row["detail"]
                for statement in self.statements
                if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH"))
                for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
            ]

        return await self.box.box.db.write(explain)


def fill(db: Connection, box: Assembly, n: int, tenant: int) -> None:
    """n messages in the queue: most may go, some are for tomorrow, some for one modem alone."""
    now = box.box.clock.now()
    for k in range(n):
        due = now + 24 * HOUR_MS if k % 10 == 0 else now
        messages.insert(
            db,
            box.box.ids,
            NewMessage(
                tenant=tenant + k % 2,
                recipient=f"+336{k:08d}",
                body=f"Votre commande {k} est en livraison",
                alphabet="GSM-7",
                shift=0,
                parts=1,
                priority=1 + k % 3,
                device=1,
                bound=k % 7 == 0,
                due_at=due,
                expires_at=due + 48 * HOUR_MS,
                max_attempts=3,
                on_uncertain="fail",
                scheduled_at=due if due > now else None,
            ),
            due,
            now,
        )


def settle(db: Connection, tenant: int) -> None:
    """One message that was sent lies under the queue."""
    row = db.execute(
        "SELECT * FROM message WHERE tenant = ? ORDER BY id LIMIT 1", (tenant,)
    ).fetchone()
    db.execute("UPDATE message SET status = 'sent' WHERE id = ?", (row["id"],))
    counters.move(db, tenant, row["device"], row["created_at"], Status.QUEUED, Status.SENT)


@pytest.fixture
async def counted(tmp_path: Path) -> AsyncIterator[Counted]:
    config = Config(
        rate_limit=0,
        sending=SendingSettings(offline_grace_minutes=100_000.0),
        limits=Limits(per_minute=0, per_day=1_000_000, recipients_per_month=1_000_000),
    )
    clock = ManualClock(1_800_000_000_000)
    box = await Assembly.build(tmp_path, config, clock)
    await box.box.db.write(devices.known, "350000000000001", "", False, clock.now())
    await box.start([ModemSettings(port="/nowhere", limits=config.limits)])
    made = await box.box.db.write(clients.add_client, "one", clock.now())
    key = await box.box.db.write(clients.add_key, made.id, clock.now())
    page = StatusPage(box.services)
    app: Any = create(box.services, page.handlers, page.lost)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://box",
        headers={"X-API-Key": key.key, "X-Client-ID": f"client_{made.id}"},
    ) as client:
        yield Counted(box, client)
    page.close()
    await box.stop()
    await box.webhooks.close()


SEND = {"to": "+33712345678", "message": "Bonjour"}


def requests(box: Counted, queued: list[int]) -> dict[str, tuple[int, Ask]]:
    """Every route that looks at messages, with the status it answers."""
    client = box.client

    def get(path: str, **query: str) -> Ask:
        return lambda: client.get(path, params=query)

    def post(path: str, body: dict[str, Any] | None = None) -> Ask:
        return lambda: client.post(path, json=body)

    later = {"scheduled_at": "2027-02-01T10:00:00Z"}
    return {
        "send": (202, post("/v1/sms/send", SEND)),
        "send later": (202, post("/v1/sms/send", SEND | later)),
        "bulk": (202, post("/v1/sms/send-bulk", {"recipients": ["+33712345678"], "message": "x"})),
        "otp": (202, post("/v1/sms/send-otp", {"to": "+33712345679"})),
        "cancel": (200, lambda: client.delete(f"/v1/sms/{message_id(queued.pop())}")),
        "status": (200, get(f"/v1/sms/status/{message_id(queued[0])}")),
        "history": (200, get("/v1/sms/history")),
        "history, queued": (200, get("/v1/sms/history", status="queued")),
        "history, sent": (200, get("/v1/sms/history", status="sent")),
        "history, deep": (200, get("/v1/sms/history", page="10", limit="20")),
        "stats": (200, get("/v1/sms/stats")),
        "devices": (200, get("/v1/devices")),
        "health": (200, get("/health")),
        "metrics": (200, get("/metrics")),
        "inbox": (200, get("/v1/sms/inbox")),
        "conversations": (200, get("/v1/conversations")),
        "contacts": (200, get("/v1/contacts")),
        "status page": (200, lambda: _shown(box.box.services.dashboard.take())),
        "messages page": (
            200,
            lambda: _shown(
                box.box.services.admin.messages.page(HistoryFilter(), test=False, client=None)
            ),
        ),
    }


async def _shown(view: Awaitable[object]) -> httpx.Response:
    """What a page shows, gathered without a visitor's password."""
    await view
    return httpx.Response(200)


# The page's handlers name their path parameters as Litestar 2 does.
@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
async def test_no_route_costs_more_when_more_waits(counted: Counted) -> None:
    db = counted.box.box.db
    await db.write(fill, counted.box, FEW, 2)
    await db.write(settle, 2)
    queued = await db.read(
        lambda c: [
            r[0]
            for r in c.execute(
                "SELECT id FROM message WHERE status = 'queued' AND tenant = 2 LIMIT 99"
            )
        ]
    )
    counted.box.housekeeping.stop()  # its jobs fall due with the clock, and are not part of a request
    await counted.count()
    asked = requests(counted, queued)
    few = {name: await counted.cost(ask, status) for name, (status, ask) in asked.items()}
    await db.write(fill, counted.box, MANY - FEW, 2)
    many = {name: await counted.cost(ask, status) for name, (status, ask) in asked.items()}
    grown = {
        name: (few[name], many[name]) for name in few if many[name] > few[name] * GROWTH + SLACK
    }
    assert not grown
    assert sum(few.values()) > 100 * len(few), "nothing was counted"
    scans = {
        plan
        for plan in await counted.plans()
        if plan.split()[:2] in (["SCAN", "part"], ["SCAN", "message"])
    }
    assert not {plan for plan in scans if "USING" not in plan}
