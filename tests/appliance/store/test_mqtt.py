"""The position in the events that are published by MQTT."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from appliance.core.config import MqttSettings
from appliance.store import deliveries, mqtt
from tests.web.box import WebBox

SENDER = "+33611115001"


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[WebBox]:
    started = await WebBox.start(tmp_path, mqtt=MqttSettings(host="nowhere"))
    yield started
    await started.stop()


def tenant(box: WebBox) -> int:
    return int(box.client.removeprefix("client_")) * 2


async def names(box: WebBox) -> list[str]:
    return [event.name for event in await box.db.read(mqtt.pending, None, 100)]


async def stored(box: WebBox) -> int:
    def count(db: Connection) -> int:
        found: int = db.execute("SELECT COUNT(*) FROM event").fetchone()[0]
        return found

    return await box.db.read(count)


async def test_nothing_is_stored_while_it_is_off(box: WebBox) -> None:
    before = await stored(box)
    await box.receive(SENDER, "avant")
    assert await stored(box) == before
    await box.db.write(mqtt.switch_on, tenant(box))
    await box.receive(SENDER, "pendant")
    assert await names(box) == ["sms.received"]
    await box.db.write(mqtt.switch_off)
    await box.receive(SENDER, "après")
    assert await stored(box) == before + 1
    await box.db.write(mqtt.switch_on, tenant(box))
    assert await names(box) == [], "what is older than the switch is not published"


async def test_a_restart_goes_on_where_the_broker_was(box: WebBox) -> None:
    await box.db.write(mqtt.switch_on, tenant(box))
    for text in ("un", "deux", "trois"):
        await box.receive(SENDER, text)
    first, second, third = await box.db.read(mqtt.pending, None, 100)
    await box.db.write(mqtt.published, [first.id], first.id)
    await box.db.write(mqtt.switch_on, tenant(box))  # as at the next start
    assert await box.db.read(mqtt.pending, None, 100) == [second, third]
    assert await stored(box) == 2, "what was published and has no webhook is removed"


async def test_an_event_that_a_webhook_waits_for_stays(box: WebBox) -> None:
    await box.db.write(
        deliveries.add_webhook, tenant(box), "http://10.0.0.9/", ["sms.received"], "s", 0
    )
    await box.db.write(mqtt.switch_on, tenant(box))
    await box.receive(SENDER, "deux chemins")
    (event,) = await box.db.read(mqtt.pending, None, 100)
    await box.db.write(mqtt.published, [event.id], event.id)
    assert await names(box) == []
    assert await stored(box) == 1


async def test_the_oldest_are_given_up_for_a_broker_that_stays_away(box: WebBox) -> None:
    await box.db.write(mqtt.switch_on, tenant(box))
    for text in ("un", "deux", "trois", "quatre"):
        await box.receive(SENDER, text)
    every = await box.db.read(mqtt.pending, None, 100)
    assert await box.db.write(mqtt.drop_oldest, 3) == 1
    assert await box.db.write(mqtt.drop_oldest, 3) == 0
    assert await box.db.read(mqtt.pending, None, 100) == every[1:]
    assert await box.db.read(mqtt.count_pending, 2) == 2


async def test_a_session_has_a_number_until_the_broker_forgets_it(box: WebBox) -> None:
    first = await box.db.write(mqtt.session, present=False)
    assert await box.db.write(mqtt.session, present=True) == first
    assert await box.db.write(mqtt.session, present=False) == first + 1
    name = await box.db.write(mqtt.identity, "zimbox-1")
    assert await box.db.write(mqtt.identity, "zimbox-2") == name == "zimbox-1"
