"""Webhook delivery with a real store, real receivers over sockets and a settable clock."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

import msgspec
import pytest

from appliance.context import Context
from appliance.core.config import Config, WebhookSettings
from appliance.core.encryption import Encryption
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.requests import PageFilter, WebhookEvent
from appliance.domain.schemas import WebhookBody
from appliance.domain.views import ConfiguredAnswer, WebhookLog
from appliance.store import archive, clients, dashboard, deliveries, events
from appliance.store.database import Database
from appliance.webhooks.concurrency import PLACES
from appliance.webhooks.dispatcher import WebhookDispatcher
from appliance.webhooks.http_client import egress_rules
from appliance.webhooks.registry import WebhookRegistry
from tests import receiver as receivers
from tests.manual_clock import ManualClock
from tests.receiver import ReceivedCall, Receiver
from tests.waiting import HANG_SECONDS, POLL_SECONDS, eventually

START = 1_800_000_000_000
SCOPE, TEST_SCOPE, OTHER_SCOPE = 2, 3, 4
SETTLE_SECONDS = 30.0
PATIENT_SECONDS = 60.0  # a time-out that does not come within a test, however busy the machine is
HASTY_SECONDS = 1.0  # … and one that a test waits for
ALL: tuple[WebhookEvent, ...] = ("sms.sent", "sms.delivered", "sms.failed", "sms.received")


class DispatcherBench:
    """A box that only tells; `restart` is a crash and a new start on the same data."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        chosen: dict[str, Any] = {
            "timeout_seconds": PATIENT_SECONDS,
            "retry_seconds": [60.0, 300.0],
            "allow_loopback": True,
        }
        self.config = Config(webhook=WebhookSettings(**(chosen | settings)))
        self.clock = ManualClock(START)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> DispatcherBench:
        db = await Database.open(self.folder / "zimbox.db")
        marks = await db.read(archive.marks)
        self.box = Context(
            self.config, self.clock, db, marks, Encryption(self.folder / "secret.key")
        )
        self.dispatcher = WebhookDispatcher(self.box)
        self.webhooks = WebhookRegistry(self.box, self.dispatcher)
        self._task = asyncio.create_task(self.dispatcher.run())
        return self

    async def crash(self) -> None:
        """Everything in memory is gone, in whatever state it was."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self.dispatcher.close()
            await self.box.db.close()

    async def stop(self) -> None:
        """As SIGTERM does."""
        assert self._task
        self.dispatcher.stop()
        await self._task
        self._task = None
        await self.box.db.close()

    async def configure(
        self,
        url: str,
        *names: WebhookEvent,
        tenant: int = SCOPE,
        secret: str | None = None,
    ) -> ConfiguredAnswer:
        return await self.webhooks.configure(tenant, WebhookBody(url, names or ALL, secret))

    async def emit(
        self,
        name: str = "sms.sent",
        *,
        stream: str = "m1",
        tenant: int = SCOPE,
        own_url: str | None = None,
        **data: Any,
    ) -> None:
        """Something happened, and its commit rings."""

        def work(db: Connection) -> None:
            now = self.clock.now()
            events.emit(
                db, self.box.ids, tenant, name, lambda: data, now, stream=stream, own_url=own_url
            )

        await self.box.db.write(work)
        self.box.wakeups.changed()

    async def rows(self, statement: str) -> list[Row]:
        return await self.box.db.read(lambda db: db.execute(statement).fetchall())

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.rows("SELECT state FROM delivery ORDER BY id")]

    async def logged(self, count: int, tenant: int = SCOPE) -> list[WebhookLog]:
        """The attempts, oldest first, once there are so many and no call is open."""
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                page = await self.webhooks.logs(tenant, PageFilter(limit=1000))
                if page.total >= count and not self.dispatcher.open_calls:
                    return list(reversed(page.logs))
                await asyncio.sleep(POLL_SECONDS)  # polls the store

    async def pass_time(self, seconds: float) -> None:
        """Time passes, and the leg has seen it."""
        await asyncio.sleep(0)
        self.clock.advance(seconds)
        self.box.wakeups.changed()


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., DispatcherBench]]:
    made: list[DispatcherBench] = []

    def new(**settings: Any) -> DispatcherBench:
        made.append(DispatcherBench(tmp_path, **settings))
        return made[-1]

    yield new
    for bench in made:
        await bench.crash()


async def _with_clients(bench: DispatcherBench) -> DispatcherBench:
    await bench.start()
    await bench.box.db.write(clients.add_client, "one", START)
    await bench.box.db.write(clients.add_client, "two", START)
    return bench


@pytest.fixture
async def bench(make: Callable[..., DispatcherBench]) -> DispatcherBench:
    return await _with_clients(make())


@pytest.fixture
async def hasty(make: Callable[..., DispatcherBench]) -> DispatcherBench:
    """For receivers that never answer."""
    return await _with_clients(make(timeout_seconds=HASTY_SECONDS))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    running = await Receiver().start()
    yield running
    await running.stop()


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    running = await Receiver().start()
    yield running
    await running.stop()


def names(calls: list[ReceivedCall]) -> list[str]:
    return [one.body["event"] for one in calls]


def texts(calls: list[ReceivedCall]) -> list[Any]:
    return [one.body["data"].get("n") for one in calls]


def signed(call: ReceivedCall, secret: str) -> bool:
    return (
        call.header("X-Webhook-Signature")
        == hmac.digest(secret.encode(), call.raw, hashlib.sha256).hex()
    )


# --- deliveries -------------------------------------------------------------------------------------


async def test_an_event_is_delivered_at_once_with_exactly_the_documented_headers(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    view = await bench.configure(receiver.url())
    assert view.secret is not None
    assert view.secret.startswith("whsec_")
    await bench.emit("sms.sent", text="é", n=1)
    (result,) = await receiver.until(1)
    assert [name for name, _ in result.headers] == [
        *("Host", "Content-Type", "User-Agent", "X-Webhook-Signature", "Content-Length")
    ]
    assert result.header("Content-Type") == "application/json"
    assert result.header("User-Agent") == "ZimSend-Webhook/1.0"
    assert signed(result, view.secret)
    assert result.body.keys() == {"event", "event_id", "timestamp", "data"}
    assert result.body["data"] == {"text": "é", "n": 1}
    assert result.body["event_id"].startswith("evt_") and len(result.body["event_id"]) == 16
    assert result.body["timestamp"] == "2027-01-15T08:00:00Z"
    (entry,) = await bench.logged(1)
    assert (entry.event, entry.event_id) == ("sms.sent", result.body["event_id"])
    assert (entry.webhook_id, entry.url) == (view.webhook_id, receiver.url())
    assert (entry.response_status, entry.success, entry.attempt) == (200, True, 1)
    assert entry.reason is None
    assert await bench.states() == ["done"]


async def test_only_the_chosen_events_are_delivered(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url(), "sms.failed")
    await bench.emit("sms.sent")
    await bench.emit("sms.failed")
    assert names(await receiver.until(1)) == ["sms.failed"]
    assert len(await bench.rows("SELECT 1 FROM event")) == 1


async def test_a_webhook_signs_with_its_own_secret(
    bench: DispatcherBench, receiver: Receiver, other: Receiver
) -> None:
    view = await bench.configure(receiver.url(), secret="mine of old")
    assert view.secret == "mine of old"
    second = await bench.configure(other.url())
    assert second.secret
    await bench.emit()
    assert signed((await receiver.until(1))[0], "mine of old")
    assert signed((await other.until(1))[0], second.secret)
    assert receiver.calls[0].body["event_id"] == other.calls[0].body["event_id"]
    assert receiver.calls[0].raw == other.calls[0].raw


async def test_a_messages_own_url_replaces_the_webhooks_and_signs_with_the_clients_secret(
    bench: DispatcherBench, receiver: Receiver, other: Receiver
) -> None:
    await bench.configure(receiver.url())
    client = await bench.box.db.read(clients.client, 1)
    assert client is not None
    await bench.emit(own_url=other.url("/mine?a=1"))
    (result,) = await other.until(1)
    assert result.path == "/mine?a=1"
    assert signed(result, client.signing_secret)
    (entry,) = await bench.logged(1)
    assert entry.webhook_id is None
    assert receiver.calls == []


async def test_a_replaced_signing_secret_signs_pending_deliveries(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    receiver.otherwise = receivers.answer(500)
    await bench.emit(own_url=receiver.url())
    await bench.logged(1)
    new = await bench.box.db.write(clients.replace_signing_secret, 1)
    assert new
    await bench.pass_time(60)
    assert signed((await receiver.until(2))[1], new)


async def test_test_mode_is_a_tenant_of_its_own(bench: DispatcherBench, receiver: Receiver) -> None:
    await bench.configure(receiver.url("/live"))
    await bench.configure(receiver.url("/test"), tenant=TEST_SCOPE)
    await bench.emit(n="live")
    await bench.emit(n="test", tenant=TEST_SCOPE)
    await receiver.until(2)
    assert texts(receiver.at("/live")) == ["live"]
    assert texts(receiver.at("/test")) == ["test"]


# --- retries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour", [receivers.hang, receivers.close, receivers.answer(500), receivers.answer(302)]
)
async def test_a_delivery_is_retried_after_1_and_5_minutes_then_given_up(
    make: Callable[..., DispatcherBench], receiver: Receiver, behaviour: receivers.Behaviour
) -> None:
    seconds = HASTY_SECONDS if behaviour is receivers.hang else PATIENT_SECONDS
    bench = await _with_clients(make(timeout_seconds=seconds))
    await bench.configure(receiver.url())
    receiver.otherwise = behaviour
    await bench.emit(n=1)
    for attempt, wait in ((1, 60.0), (2, 300.0)):
        log = await bench.logged(attempt)
        assert [entry.attempt for entry in log] == list(range(1, attempt + 1))
        assert await bench.states() == ["due"]
        await bench.pass_time(wait - 1)
        assert len(receiver.calls) == attempt
        await bench.pass_time(1)
    log = await bench.logged(3)
    assert [(entry.attempt, entry.success) for entry in log] == [(1, False), (2, False), (3, False)]
    assert await bench.states() == ["given_up"]
    assert len({result.raw for result in receiver.calls}) == 1
    assert bench.dispatcher.counters.given_up == 1
    assert await bench.box.db.read(dashboard.given_up, 0) == 1
    await bench.pass_time(86_400)
    assert len(receiver.calls) == 3


async def test_the_schedule_is_a_setting(
    make: Callable[..., DispatcherBench], bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.crash()
    impatient = await make(retry_seconds=[]).start()
    receiver.otherwise = receivers.answer(503)
    await impatient.configure(receiver.url())
    await impatient.emit()
    await impatient.logged(1)
    assert await impatient.states() == ["given_up"]


async def test_retries_go_on_across_a_crash(bench: DispatcherBench, receiver: Receiver) -> None:
    receiver.otherwise = receivers.answer(500)
    await bench.configure(receiver.url())
    await bench.emit(n=1)
    await bench.logged(1)
    await bench.crash()
    bench.clock.advance(60)
    receiver.otherwise = receivers.answer(200)
    await bench.start()
    log = await bench.logged(2)
    assert [entry.attempt for entry in log] == [1, 2]
    assert receiver.calls[0].raw == receiver.calls[1].raw
    assert await bench.states() == ["done"]


async def test_a_call_cut_by_a_crash_is_made_again(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.hang
    await bench.emit(n=1)
    await receiver.until(1)
    await bench.crash()
    receiver.otherwise = receivers.answer(200)
    await bench.start()
    result = await receiver.until(2)
    assert result[0].raw == result[1].raw
    (entry,) = await bench.logged(1)
    assert (entry.attempt, entry.success) == (1, True)


async def test_a_clock_set_back_delays_no_retry_of_a_delivery(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    receiver.otherwise = receivers.answer(500)
    await bench.configure(receiver.url())
    await bench.emit()
    await bench.logged(1)
    bench.clock.step(-10 * 365 * 86_400_000)
    await bench.pass_time(30)  # the safety look
    assert len(await bench.logged(2)) == 2


async def test_open_calls_finish_at_a_stop(bench: DispatcherBench, receiver: Receiver) -> None:
    answered = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await answered.wait()
        await receivers.answer(200)(writer)

    receiver.otherwise = late
    await bench.configure(receiver.url())
    await bench.emit(n=1)
    await receiver.until(1)
    ending = asyncio.create_task(bench.stop())
    await asyncio.sleep(0)
    answered.set()
    await ending
    await bench.start()
    assert await bench.states() == ["done"]


async def test_events_due_at_a_stop_are_delivered(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    await bench.emit(n=1)
    await bench.stop()
    assert texts(receiver.calls) == [1]


# --- order and independence ------------------------------------------------------------------------


async def test_events_of_one_message_arrive_in_order_also_when_one_is_retried(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit("sms.sent", stream="m1")
    await bench.emit("sms.delivered", stream="m1")
    await bench.logged(1)
    assert await bench.states() == ["due", "behind"]
    receiver.otherwise = receivers.answer(200)
    await bench.pass_time(60)
    await bench.logged(3)
    assert names(receiver.calls) == ["sms.sent", "sms.sent", "sms.delivered"]


async def test_after_a_given_up_event_the_next_one_of_its_message_is_delivered(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit("sms.sent")
    await bench.emit("sms.delivered")
    await bench.logged(1)
    await bench.pass_time(60)
    await bench.logged(2)
    await bench.pass_time(300)
    await bench.logged(4)
    assert names(receiver.calls) == ["sms.sent"] * 3 + ["sms.delivered"]
    assert await bench.states() == ["given_up", "due"]


async def test_a_retried_event_does_not_delay_other_messages(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit(stream="m1", n=1)
    await bench.logged(1)
    receiver.otherwise = receivers.answer(200)
    await bench.emit(stream="m2", n=2)
    await bench.logged(2)
    assert texts(receiver.calls) == [1, 2]


async def test_a_stopped_receiver_with_a_long_queue_never_delays_another(
    bench: DispatcherBench, receiver: Receiver, other: Receiver
) -> None:
    receiver.otherwise = receivers.hang
    await bench.configure(receiver.url())
    await bench.configure(other.url())
    for n in range(40):
        await bench.emit(stream=f"m{n}", n=n)
    await other.until(40)
    assert sorted(texts(other.calls)) == list(range(40))
    # Not even one round of the other's time-outs was waited for.
    assert len(receiver.calls) <= 4


async def test_a_stopped_path_does_not_delay_another_at_the_same_host(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    receiver.behave["/stuck"] = receivers.hang
    await bench.configure(receiver.url("/stuck"))
    await bench.configure(receiver.url("/well"))
    for n in range(30):
        await bench.emit(stream=f"m{n}", n=n)
    await receiver.until(30, "/well")
    # Not even one round of the other's time-outs was waited for.
    assert len(receiver.at("/stuck")) <= 4


async def test_many_stopped_receivers_do_not_delay_a_working_one(
    make: Callable[..., DispatcherBench], other: Receiver
) -> None:
    # Long beside twenty calls on a busy machine, short beside the rest of the test.
    bench = await _with_clients(make(timeout_seconds=5.0))
    stuck = [await Receiver().start() for _ in range(6)]
    try:
        for host in stuck:
            host.otherwise = receivers.hang
            for n in range(5):
                await bench.configure(host.url(f"/{n}"), "sms.failed")
        for n in range(20):
            await bench.emit("sms.failed", stream=f"m{n}")
        # All places were theirs until they were known to be slow.
        await called(stuck, PLACES.total + PLACES.slow)
        await bench.configure(other.url(), "sms.sent")
        for n in range(20):
            await bench.emit("sms.sent", stream=f"m{n}", n=n)
            await other.until(n + 1)
        # The twenty together took less than three rounds of the others' time-outs.
        assert sum(len(host.calls) for host in stuck) < PLACES.total + 4 * PLACES.slow
    finally:
        for host in stuck:
            await host.stop()


async def called(hosts: list[Receiver], count: int) -> None:
    """Until these hosts were called so often, all together."""
    await eventually(
        lambda: sum(len(host.calls) for host in hosts) >= count,
        "sum(len(host.calls) for host in hosts) < count",
    )


async def test_a_receiver_is_called_no_more_often_at_once_than_its_share(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    open_now, most = 0, 0
    go = asyncio.Event()

    async def count(writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await go.wait()
        open_now -= 1
        await receivers.answer(200)(writer)

    receiver.otherwise = count
    await bench.configure(receiver.url())
    for n in range(12):
        await bench.emit(stream=f"m{n}", n=n)
    await receiver.until(4)
    go.set()
    await bench.logged(12)
    assert most == 4


# --- configure, list, delete, test, logs, replay ---------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://169.254.169.254/", "http://0x7f.1/", "ftp://nas/"]
)
async def test_a_forbidden_url_is_refused_when_it_is_configured(
    bench: DispatcherBench, url: str
) -> None:
    with pytest.raises(ApiError, match="INVALID_WEBHOOK_URL") as caught:
        await bench.configure(url)
    assert caught.value.details is not None
    assert caught.value.details["field"] == "url"
    with pytest.raises(ApiError, match="INVALID_WEBHOOK_URL") as caught:
        egress_rules(bench.config.webhook).check_url(url)
    assert caught.value.details is not None
    assert caught.value.details["field"] == "webhook_url"


async def test_without_the_setting_the_box_itself_is_never_called(
    make: Callable[..., DispatcherBench], bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    await bench.crash()
    strict = await make(allow_loopback=False).start()
    with pytest.raises(ApiError, match="INVALID_WEBHOOK_URL"):
        await strict.configure(receiver.url())
    await strict.emit()
    (entry,) = await strict.logged(1)
    assert (entry.success, entry.response_status) == (False, None)
    assert "the URL leads to the box itself" in (entry.reason or "")
    assert receiver.calls == []


async def test_the_list_shows_only_own_webhooks_without_secrets(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    one = await bench.configure(receiver.url("/1"), "sms.sent", "sms.received")
    await bench.configure(receiver.url("/2"), tenant=OTHER_SCOPE)
    (listed,) = await bench.webhooks.listed(SCOPE)
    assert "secret" not in msgspec.to_builtins(listed)
    assert (listed.webhook_id, listed.url) == (one.webhook_id, receiver.url("/1"))
    assert (listed.events, listed.status) == (["sms.sent", "sms.received"], "active")


async def test_a_deleted_webhook_gets_no_events(bench: DispatcherBench, receiver: Receiver) -> None:
    view = await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit("sms.sent")
    await bench.emit("sms.delivered")
    (entry,) = await bench.logged(1)
    await bench.webhooks.delete(SCOPE, view.webhook_id)
    await bench.emit("sms.failed")
    await bench.pass_time(600)
    assert await bench.states() == ["dropped", "dropped"]
    assert len(receiver.calls) == 1
    assert await bench.webhooks.listed(SCOPE) == ()
    assert [e.log_id for e in await bench.logged(1)] == [entry.log_id]
    for attempt in (
        bench.webhooks.delete(SCOPE, view.webhook_id),
        bench.webhooks.test(SCOPE, view.webhook_id),
        bench.webhooks.replay(SCOPE, entry.log_id),
    ):
        with pytest.raises(ApiError, match="WEBHOOK_NOT_FOUND"):
            await attempt


async def test_a_webhook_deleted_during_its_call_stays_deleted(
    hasty: DispatcherBench, receiver: Receiver
) -> None:
    view = await hasty.configure(receiver.url())
    receiver.otherwise = receivers.hang
    await hasty.emit()
    await receiver.until(1)
    await hasty.webhooks.delete(SCOPE, view.webhook_id)
    await hasty.logged(1)
    assert await hasty.states() == ["dropped"]


async def test_a_webhook_deleted_while_its_test_begins_is_not_called(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    view = await bench.configure(receiver.url())
    tested, _ = await asyncio.gather(
        bench.webhooks.test(SCOPE, view.webhook_id),
        bench.webhooks.delete(SCOPE, view.webhook_id),
        return_exceptions=True,
    )
    assert isinstance(tested, ApiError) and tested.code == "WEBHOOK_NOT_FOUND"
    assert receiver.calls == []  # it would have been signed with nothing


async def test_a_client_erased_during_a_call_leaves_nothing(
    hasty: DispatcherBench, receiver: Receiver
) -> None:
    await hasty.configure(receiver.url())
    receiver.otherwise = receivers.hang
    await hasty.emit()
    await receiver.until(1)
    await hasty.box.db.write(clients.erase, 1, START)
    await eventually(lambda: not hasty.dispatcher.open_calls, "no open call")
    for table in ("webhook", "event", "delivery", "delivery_log"):
        assert await hasty.rows(f"SELECT 1 FROM {table}") == []


async def test_a_test_call_is_signed_and_logged_and_returns_the_receiver_s_answer(
    hasty: DispatcherBench, receiver: Receiver
) -> None:
    view = await hasty.configure(receiver.url(), "sms.failed")
    assert view.secret
    receiver.otherwise = receivers.answer(418)
    assert (await hasty.webhooks.test(SCOPE, view.webhook_id)).response_status == 418
    receiver.otherwise = receivers.hang
    assert (await hasty.webhooks.test(SCOPE, view.webhook_id)).response_status is None
    result = receiver.calls[0]
    assert signed(result, view.secret)
    assert result.body["event"] == "webhook.test"
    assert result.body["data"]["webhook_id"] == view.webhook_id
    log = await hasty.logged(2)
    assert [(e.event, e.response_status) for e in log] == [
        *(("webhook.test", 418), ("webhook.test", None))
    ]
    await hasty.pass_time(60)  # a test call is not retried
    assert len(receiver.calls) == 2


async def test_logs_are_paged_newest_first(bench: DispatcherBench, receiver: Receiver) -> None:
    await bench.configure(receiver.url())
    for n in range(7):
        await bench.emit(stream="one", n=n)
    await bench.logged(7)
    page = await bench.webhooks.logs(SCOPE, PageFilter(page=2, limit=3))
    assert page.total == 7
    result = {one.body["event_id"]: one.body["data"]["n"] for one in receiver.calls}
    assert [result[entry.event_id] for entry in page.logs] == [3, 2, 1]
    assert (await bench.webhooks.logs(SCOPE, PageFilter(page=9, limit=3))).logs == ()


async def test_a_replayed_event_has_the_whole_retry_schedule(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit(n=1)
    for attempt, wait in ((1, 60), (2, 300)):
        await bench.logged(attempt)
        await bench.pass_time(wait)
    log = await bench.logged(3)
    replayed = await bench.webhooks.replay(SCOPE, log[0].log_id)
    assert (replayed.log_id, replayed.event_id) == (log[0].log_id, log[0].event_id)
    await bench.logged(4)
    assert await bench.states() == ["due"]
    receiver.otherwise = receivers.answer(200)
    await bench.pass_time(60)
    log = await bench.logged(5)
    assert [entry.attempt for entry in log] == [1, 2, 3, 4, 5]
    assert len({result.raw for result in receiver.calls}) == 1
    assert await bench.states() == ["done"]


async def test_an_event_replayed_during_its_last_attempt_is_delivered_again(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    asked = asyncio.Event()

    async def refuse_then(writer: receivers.Writer) -> None:
        await asked.wait()
        await receivers.answer(500)(writer)

    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit()
    await bench.logged(1)
    await bench.pass_time(60)
    (entry, _) = await bench.logged(2)
    receiver.otherwise = refuse_then
    await bench.pass_time(300)
    await receiver.until(3)
    await bench.webhooks.replay(SCOPE, entry.log_id)
    asked.set()
    await bench.logged(3)
    receiver.otherwise = receivers.answer(200)
    await bench.pass_time(60)
    await bench.logged(4)
    assert await bench.states() == ["done"]


async def test_an_event_read_as_due_before_its_attempt_was_recorded_is_not_delivered_twice(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    """The look that saw it and the record of the attempt run beside each other."""
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit()
    await bench.logged(1)
    (row,) = await bench.rows("SELECT id, state FROM delivery")
    assert row["state"] == "due"  # in a minute
    now = bench.clock.now()
    assert await bench.box.db.read(deliveries.call, row["id"], now) is None
    assert await bench.box.db.read(deliveries.call, row["id"], now + 60_000) is not None


async def test_a_delivered_event_can_be_replayed(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.emit(own_url=receiver.url())
    (entry,) = await bench.logged(1)
    await bench.webhooks.replay(SCOPE, entry.log_id)
    await bench.logged(2)
    assert receiver.calls[0].raw == receiver.calls[1].raw


async def test_a_waiting_event_is_delivered_at_once_on_request_and_keeps_its_order(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    receiver.otherwise = receivers.answer(500)
    await bench.emit("sms.sent")
    await bench.emit("sms.delivered")
    (entry,) = await bench.logged(1)
    receiver.otherwise = receivers.answer(200)
    await bench.webhooks.replay(SCOPE, entry.log_id)
    await bench.logged(3)
    assert names(receiver.calls) == ["sms.sent", "sms.sent", "sms.delivered"]


async def test_a_replay_beside_a_later_event_of_its_message_waits_for_it(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    await bench.emit("sms.sent")
    (entry,) = await bench.logged(1)
    receiver.otherwise = receivers.answer(500)
    await bench.emit("sms.delivered")
    await bench.logged(2)
    await bench.webhooks.replay(SCOPE, entry.log_id)
    assert await bench.states() == ["behind", "due"]
    receiver.otherwise = receivers.answer(200)
    await bench.pass_time(60)
    await bench.logged(4)
    assert await bench.states() == ["done", "done"]
    assert names(receiver.calls) == ["sms.sent", "sms.delivered", "sms.delivered", "sms.sent"]


async def test_webhooks_and_logs_of_others_are_not_found(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    view = await bench.configure(receiver.url())
    await bench.emit()
    (entry,) = await bench.logged(1)
    for tenant in (OTHER_SCOPE, TEST_SCOPE):
        page = await bench.webhooks.logs(tenant, PageFilter())
        assert (page.logs, page.total) == ((), 0)
        assert await bench.webhooks.listed(tenant) == ()
        for attempt in (
            bench.webhooks.delete(tenant, view.webhook_id),
            bench.webhooks.test(tenant, view.webhook_id),
            bench.webhooks.replay(tenant, entry.log_id),
        ):
            with pytest.raises(ApiError, match="WEBHOOK_NOT_FOUND"):
                await attempt
    assert len(await bench.webhooks.listed(SCOPE)) == 1
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("written", ["wh_99", "wh_", "1", "", "wh_1x", "log_000000000001", "wh_-1"])
async def test_an_invalid_webhook_id_is_not_found(bench: DispatcherBench, written: str) -> None:
    for attempt in (
        bench.webhooks.delete(SCOPE, written),
        bench.webhooks.test(SCOPE, written),
        bench.webhooks.replay(SCOPE, written),
    ):
        with pytest.raises(ApiError, match="WEBHOOK_NOT_FOUND"):
            await attempt


# --- the store -------------------------------------------------------------------------------------


async def test_only_old_and_finished_deliveries_are_removed(
    bench: DispatcherBench, receiver: Receiver
) -> None:
    await bench.configure(receiver.url())
    await bench.emit(n="old")
    await bench.logged(1)
    receiver.otherwise = receivers.answer(500)
    await bench.emit(n="old and due")
    await bench.logged(2)
    bench.clock.advance(10)
    receiver.otherwise = receivers.answer(200)
    await bench.emit(stream="m2", n="new")
    await bench.logged(3)
    before = bench.clock.now() - 5000
    while await bench.box.db.write(deliveries.tidy, before, 1):
        pass
    assert await bench.states() == ["due", "done"]
    assert len(await bench.rows("SELECT 1 FROM event")) == 2
    assert len((await bench.webhooks.logs(SCOPE, PageFilter())).logs) == 1


def steps_of_a_look(connection: Connection) -> int:
    """How many steps SQLite's machine takes to see who is next."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(step, 1)
    try:
        look = deliveries.due(connection, START, START + 1, 8)
    finally:
        connection.set_progress_handler(None, 0)
    assert [len(one.calls) for one in look.due] == [8] * 4
    return count


async def test_reading_due_deliveries_costs_the_same_with_ten_thousand_waiting(
    db: Database,
) -> None:
    """The receivers are hopped over; their queues are not read."""
    new_ids = ids.Ids(0, 0)

    def fill(connection: Connection, events_: range) -> None:
        for n in events_:
            for hook in range(4):
                deliveries.add(
                    connection, new_ids, n, SCOPE, hook, "http://nas/", START, stream=str(n)
                )

    await db.write(fill, range(10))
    few = await db.write(steps_of_a_look)
    await db.write(fill, range(10, 2500))
    assert await db.write(steps_of_a_look) < few * 1.2
