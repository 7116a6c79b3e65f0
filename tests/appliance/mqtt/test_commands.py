"""What counts as the same command, and what is answered: on a real box, without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.core.config import MqttSettings
from appliance.mqtt.commands import MqttCommands
from appliance.mqtt.packets import Publish
from tests.web.box import WebBox

ONE, TWO = "+33611112001", "+33611112002"
REPEAT_SECONDS = 60.0


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[WebBox]:
    settings = MqttSettings(
        host="nowhere", notify_to=(ONE, TWO), prefixes=("+33", "+49"), daily_cap=20
    )
    started = await WebBox.start(tmp_path, mqtt=settings, national_numbers=False)
    yield started
    await started.stop()


@pytest.fixture
def commands(box: WebBox) -> MqttCommands:
    return MqttCommands(box.services)


def packet(
    body: object, number: int = 1, *, dup: bool = False, retain: bool = False, topic: str = "send"
) -> Publish:
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Publish(f"zimbox/{topic}", payload, int(number > 0), number, retain, dup)


def sms(text: str, **more: object) -> dict[str, Any]:
    return {"to": ONE, "message": text, **more}


async def queued(box: WebBox) -> list[tuple[str, str]]:
    rows = await box.db.read(
        lambda db: db.execute("SELECT recipient, body FROM message ORDER BY id").fetchall()
    )
    return [tuple(row) for row in rows]


async def refused(commands: MqttCommands, message: Publish) -> str:
    answer = await commands.answer(message, 1)
    assert answer["success"] is False and answer["error"]["message"]
    return str(answer["error"]["code"])


async def test_a_command_is_queued_when_it_is_answered(box: WebBox, commands: MqttCommands) -> None:
    body = sms("Bonjour", id="door-1", priority="high", metadata={"room": 3})
    answer = await commands.answer(packet(body), 1)
    assert (answer["success"], answer["id"], answer["to"]) == (True, "door-1", ONE)
    found = (await box.db.read(lambda db: db.execute("SELECT * FROM message").fetchall()))[0]
    assert (found["priority"], found["metadata"]) == (2, '{"room":3}')
    assert answer["message_id"] == f"msg_{found['id']:016x}"


async def test_an_id_is_one_message_for_a_day(box: WebBox, commands: MqttCommands) -> None:
    first = await commands.answer(packet(sms("Alarme", id=7)), 1)
    box.clock.advance(REPEAT_SECONDS * 2)
    again = await commands.answer(packet(sms("Alarme", id=7), 2), 5)
    assert again == first
    assert await refused(commands, packet(sms("Autre", id=7), 3)) == "IDEMPOTENCY_CONFLICT"
    assert len(await queued(box)) == 1
    box.clock.advance(86_400)
    await commands.answer(packet(sms("Alarme", id=7), 4), 1)
    assert len(await queued(box)) == 2


async def test_an_equal_command_soon_after_is_the_same_message(
    box: WebBox, commands: MqttCommands
) -> None:
    first = await commands.answer(packet(sms("Porte"), 1), 1)
    box.clock.advance(REPEAT_SECONDS - 1)
    assert await commands.answer(packet(sms("Porte"), 2), 1) == first
    assert await commands.answer(packet(sms("Porte"), 0), 1) == first  # QoS 0
    assert (await commands.answer(packet(sms("Fenêtre"), 3), 1)) != first
    box.clock.advance(2)
    assert await commands.answer(packet(sms("Porte"), 4), 1) != first
    assert len(await queued(box)) == 3


async def test_what_the_broker_repeats_is_the_same_message_also_later(
    box: WebBox, commands: MqttCommands
) -> None:
    first = await commands.answer(packet(sms("Porte"), 9), 1)
    box.clock.advance(3600)  # the box was off in between
    assert await commands.answer(packet(sms("Porte"), 9, dup=True), 1) == first
    assert len(await queued(box)) == 1


@pytest.mark.parametrize(
    ("number", "session"), [(10, 1), (9, 2)], ids=["another packet", "another session"]
)
async def test_a_repetition_of_what_never_arrived_is_a_new_message(
    box: WebBox, commands: MqttCommands, number: int, session: int
) -> None:
    first = await commands.answer(packet(sms("Porte"), 9), 1)
    box.clock.advance(3600)
    assert await commands.answer(packet(sms("Porte"), number, dup=True), session) != first
    assert len(await queued(box)) == 2


async def test_a_packet_id_is_used_again_for_another_message(
    box: WebBox, commands: MqttCommands
) -> None:
    first = await commands.answer(packet(sms("Porte"), 9), 1)
    box.clock.advance(3600)
    second = await commands.answer(packet(sms("Porte"), 9), 1)
    assert second != first
    box.clock.advance(3600)
    assert await commands.answer(packet(sms("Porte"), 9, dup=True), 1) == second


async def test_a_scheduled_command_is_still_known_after_its_time(
    box: WebBox, commands: MqttCommands
) -> None:
    body = sms("Demain", id="later", scheduled_at="2025-01-15T11:00:00Z")
    first = await commands.answer(packet(body), 1)
    assert first["success"] and first["scheduled_at"]
    box.clock.advance(3600)
    assert await commands.answer(packet(body, dup=True), 1) == first


async def test_several_numbers_are_one_command(box: WebBox, commands: MqttCommands) -> None:
    answer = await commands.answer(
        packet({"to": ["06 11 11 20 01", TWO, "nobody"], "message": "Tous"}), 1
    )
    assert answer["success"] is True
    assert [(m["to"], m["status"]) for m in answer["messages"]] == [
        (ONE, "queued"),
        (TWO, "queued"),
        ("nobody", "failed"),
    ]
    assert answer["messages"][2]["error"]["code"] == "INVALID_PHONE_NUMBER"
    assert await queued(box) == [(ONE, "Tous"), (TWO, "Tous")]


async def test_plain_text_goes_to_the_numbers_of_the_settings(
    box: WebBox, commands: MqttCommands
) -> None:
    answer = await commands.answer(packet("Fumée à l'étage".encode(), topic="notify"), 1)
    assert (answer["success"], answer["topic"]) == (True, "notify")
    assert await queued(box) == [(ONE, "Fumée à l'étage"), (TWO, "Fumée à l'étage")]


REFUSED: list[tuple[object, str]] = [
    (b"garbage", "INVALID_REQUEST"),
    (b"[]", "INVALID_REQUEST"),
    (b"\xff\xfe", "INVALID_REQUEST"),
    (b"[" * 5000, "INVALID_REQUEST"),
    ({}, "INVALID_REQUEST"),
    ({"to": ONE}, "INVALID_REQUEST"),
    ({"to": [], "message": "x"}, "INVALID_REQUEST"),
    ({"to": {}, "message": "x"}, "INVALID_PHONE_NUMBER"),
    ({"to": "x", "message": "x"}, "INVALID_PHONE_NUMBER"),
    ({"to": ONE, "message": "x" * 1601}, "MESSAGE_TOO_LONG"),
    ({"to": ONE, "message": "x", "priority": 9}, "INVALID_PRIORITY"),
    ({"to": ONE, "message": "x", "id": ""}, "INVALID_REQUEST"),
    ({"to": ONE, "message": "x", "id": "é"}, "INVALID_REQUEST"),
    ({"to": ONE, "message": "x", "id": True}, "INVALID_REQUEST"),
    ({"to": ONE, "message": "x", "id": "x" * 201}, "INVALID_REQUEST"),
    ({"to": "+442079460000", "message": "x"}, "KEY_NOT_ALLOWED"),
]


async def test_a_refused_command_is_answered_with_its_code(
    box: WebBox, commands: MqttCommands
) -> None:
    for body, code in REFUSED:
        assert await refused(commands, packet(body)) == code, body
    assert await queued(box) == []


async def test_what_is_retained_is_never_sent(box: WebBox, commands: MqttCommands) -> None:
    assert await refused(commands, packet(sms("Vieux"), retain=True)) == "INVALID_REQUEST"
    assert await refused(commands, packet(b"Vieux", retain=True, topic="notify"))
    assert await queued(box) == []


async def test_what_is_too_large_is_refused(box: WebBox, commands: MqttCommands) -> None:
    too_large = Publish("zimbox/send", None, 1, 3)
    answer = await commands.answer(too_large, 1)
    assert (answer["topic"], answer["error"]["code"]) == ("send", "PAYLOAD_TOO_LARGE")


async def test_the_daily_cap_holds(box: WebBox, commands: MqttCommands) -> None:
    for number in range(20):
        assert (await commands.answer(packet(sms(f"Numéro {number}"), number + 1), 1))["success"]
    assert await refused(commands, packet(sms("Encore"), 30)) == "KEY_NOT_ALLOWED"
    box.clock.advance(86_400)
    assert (await commands.answer(packet(sms("Demain"), 31), 1))["success"]


async def test_the_client_of_the_settings_must_exist(tmp_path: Path) -> None:
    box = await WebBox.start(tmp_path, mqtt=MqttSettings(host="nowhere", client="client_99"))
    try:
        assert await refused(MqttCommands(box.services), packet(sms("x"))) == "INVALID_REQUEST"
    finally:
        await box.stop()


async def test_without_numbers_a_notification_is_refused(tmp_path: Path) -> None:
    box = await WebBox.start(tmp_path, mqtt=MqttSettings(host="nowhere"))
    try:
        answer = await MqttCommands(box.services).answer(packet(b"x", topic="notify"), 1)
        assert answer["error"]["details"]["field"] == "to"
    finally:
        await box.stop()
