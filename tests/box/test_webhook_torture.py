"""Bad receivers and a box that is killed: at least once, in order, one event_id."""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests import receiver as receivers
from tests.box.running import Client, RunningBox, eventually
from tests.receiver import Behaviour, ReceivedCall, Receiver

pytestmark = pytest.mark.seconds(20)

TORTURES: dict[str, Behaviour] = {
    "hangs": receivers.hang,
    "redirects": receivers.answer(307, "Location: http://127.0.0.1:1/"),
    "answers 500": receivers.answer(500),
    "closes": receivers.close,
    "drips a head": receivers.drip_head,
    # These two answer 200, in their way.
    "returns gigabytes": receivers.Flood(),
    "drips a body": receivers.drip_body,
}
MESSAGES = 42
KILLS = 4
TIMEOUT_SECONDS = 0.4
WAITS = ",".join(["0.2"] * 30)  # nothing is given up in this test
END_SECONDS = 120.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receivers.beside() as running:
        yield running


def first(behaviours: list[Behaviour]) -> Behaviour:
    """One of these for each of the first calls, then 200."""
    left = iter(behaviours)
    well = receivers.answer(200)

    async def act(writer: receivers.Writer) -> None:
        await next(left, well)(writer)

    return act


class Stored(msgspec.Struct, frozen=True):
    """What the box holds of one path: its events in order, and whether all were delivered."""

    bodies: tuple[bytes, ...]
    states: tuple[str, ...]


def stored(box: RunningBox) -> dict[str, Stored]:
    """By path, straight from the box's store."""
    db = sqlite3.connect(box.data / "zimbox.db")
    try:
        rows = db.execute(
            "SELECT d.url, e.body, d.state FROM delivery d JOIN event e ON e.id = d.event ORDER BY d.id"
        ).fetchall()
    finally:
        db.close()
    found: dict[str, list[tuple[bytes, str]]] = defaultdict(list)
    for url, body, state in rows:
        found["/" + url.split("/", 3)[3]].append((body.encode(), state))
    return {
        path: Stored(tuple(b for b, _ in entries), tuple(s for _, s in entries))
        for path, entries in found.items()
    }


def called(receiver: Receiver, count: int) -> None:
    """Waits until it was called so often."""
    eventually(lambda: len(receiver.calls) >= count, f"{count} calls")


def squashed(calls: list[ReceivedCall]) -> list[bytes]:
    """The bodies in order, each run of the same one as one."""
    return [body for body, _ in itertools.groupby(one.raw for one in calls)]


def test_every_event_arrives_in_order_with_one_id_despite_bad_receivers_and_kills(
    own_box: Callable[..., RunningBox], receiver: Receiver
) -> None:
    box = own_box(
        webhook_timeout_seconds=str(TIMEOUT_SECONDS),
        webhook_retry_seconds=WAITS,
        sending_uncertain_window_seconds="1",
    )
    client = box.client()
    tortures = list(TORTURES.values())
    messages: dict[str, str] = {}
    for n in range(MESSAGES):
        path = f"/m/{n}"
        # Each message meets several tortures, each another mixture.
        receiver.behave[path] = first([tortures[(n + k * k) % len(tortures)] for k in range(4)])
        messages[path] = client.send(
            f"+336123400{n:02d}", f"Message {n}", webhook_url=receiver.url(path)
        )
    for kill in range(1, KILLS + 1):
        called(receiver, kill * MESSAGES // 2)
        box.kill()
        box.start()
        client = Client(box.url, client.client_id, client.api_key, client.key_id)
    statuses = {
        path: client.until(message_id, "sent", "delivered", "failed")["status"]
        for path, message_id in messages.items()
    }

    def all_delivered() -> bool:
        return all(set(one.states) == {"done"} for one in stored(box).values())

    eventually(all_delivered, "every event delivered", END_SECONDS)
    box.stop()

    kept = stored(box)
    assert kept.keys() == messages.keys()
    for path, message_id in messages.items():
        result = receiver.at(path)
        assert squashed(result) == list(kept[path].bodies), (path, statuses[path])
        # A report may have come after the status was read.
        assert result[-1].body["event"] in (f"sms.{statuses[path]}", "sms.delivered")
        events = [one.body for one in result]
        assert {event["data"]["message_id"] for event in events} == {message_id}
        ids = {(event["event"], event["event_id"]) for event in events}
        assert len(ids) == len(kept[path].bodies)
    # It was torture: most events needed more than one call.
    assert len(receiver.calls) > 2 * sum(len(one.bodies) for one in kept.values())


@pytest.mark.parametrize("torture", TORTURES)
def test_a_bad_receiver_does_not_delay_events_of_another(
    own_box: Callable[..., RunningBox], receiver: Receiver, torture: str
) -> None:
    # Longer than the whole test: not one time-out has to pass.
    box = own_box(webhook_timeout_seconds="300")
    client = box.client()
    receiver.behave["/bad"] = TORTURES[torture]
    for path in ("/bad", "/good"):
        client.post(
            "/webhooks/configure",
            {"url": receiver.url(path), "events": ["sms.sent", "sms.delivered"]},
        )
    sent = [client.send(f"+336123400{n:02d}", f"Message {n}") for n in range(10)]
    result = eventually(
        lambda: receiver.at("/good") if len(receiver.at("/good")) >= 20 else None, "20 calls"
    )
    by_message: dict[str, list[str]] = defaultdict(list)
    for one in result:
        by_message[one.body["data"]["message_id"]].append(one.body["event"])
    assert by_message == {message: ["sms.sent", "sms.delivered"] for message in sent}
    if torture == "hangs":
        assert len(receiver.at("/bad")) <= 4
    box.kill()  # a stop would wait for the open calls
