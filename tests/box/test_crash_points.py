"""A crash between two steps that belong together loses and repeats nothing."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.box.crash_points import VARIABLE, CrashPoint, environment
from tests.box.listening import listening
from tests.box.outside import OutsideModem
from tests.box.running import Client, RunningBox, eventually, free_port

pytestmark = pytest.mark.seconds(10)

SETTINGS = {
    "ZIMBOX_SENDING_UNCERTAIN_WINDOW_SECONDS": "1",
    "ZIMBOX_WEBHOOK_RETRY_SECONDS": ",".join(["0.2"] * 30),
}
TEXTS = {"one": "one", "two": "two", "long": "long " * 40}
RECEIVED = "received in between"
POINTS = [
    # A commit that is on disk, and nobody knows yet; and one that never was.
    CrashPoint("appliance.store.database:group", "after"),
    CrashPoint("appliance.store.database:group", "after", call=4),
    CrashPoint("appliance.store.database:group", "before"),
    CrashPoint("appliance.store.database:group", "before", call=4),
    # The part is stored as submitted, and the modem has or has not been given it.
    CrashPoint("modem.driver.device:ModemDriver.send", "before"),
    CrashPoint("modem.driver.device:ModemDriver.send", "after"),
    CrashPoint("modem.driver.device:ModemDriver.send", "after", call=3),
    CrashPoint("appliance.store.attempts:record", "before"),
    CrashPoint("appliance.store.attempts:record", "after"),
    # A report or a received text is in the store, and the modem has or has not forgotten it.
    CrashPoint("modem.driver.device:ModemDriver.forget", "before"),
    CrashPoint("modem.driver.device:ModemDriver.forget", "after"),
    CrashPoint("appliance.store.received:store", "after"),
    CrashPoint("appliance.store.reports:arrived", "after"),
    # A receiver has answered, and that is not stored.
    CrashPoint("appliance.store.deliveries:record", "before"),
    CrashPoint("appliance.store.deliveries:record", "after"),
]


def post(client: Client, name: str) -> str | None:
    """Send one text with its idempotency key; None if the box died before it answered."""
    body = {"to": "+33612345678", "message": TEXTS[name]}
    try:
        answer = client.post("/sms/send", body, headers={"Idempotency-Key": name})
    except requests.RequestException:
        return None
    assert answer.status_code == 202, answer.text
    message_id: str = answer.json()["message_id"]
    return message_id


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_crash_there_loses_nothing_and_repeats_nothing(tmp_path: Path, point: CrashPoint) -> None:
    armed = tmp_path / "armed"
    crash = CrashPoint(point.function, point.when, str(armed), point.call)
    modem = OutsideModem(tmp_path, "--latency", "5", "--report-delay", "30")
    box = RunningBox(tmp_path, {**SETTINGS, **environment(crash)}, modems=(str(modem.port),))
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    try:
        with listening() as listener:
            box.start(*listen)
            client = box.client()
            hook = {"url": listener.url, "events": ["sms.sent", "sms.delivered", "sms.failed"]}
            assert client.post("/webhooks/configure", hook).status_code == 200
            eventually(
                lambda: client.get("/auth/test").json()["device_status"] == "online", "online"
            )
            armed.touch()
            first = {name: post(client, name) for name in TEXTS}
            modem.order("incoming", sender="+33698765432", text=RECEIVED)
            assert box.died() == -signal.SIGKILL
            box.without(VARIABLE)
            box.start(*listen)
            messages = {name: post(client, name) for name in TEXTS}
            for name, message_id in first.items():
                assert message_id in (None, messages[name]), "the first answer again"
            last = {
                n: client.until(str(m), "delivered", "sent", "failed") for n, m in messages.items()
            }
            eventually(lambda: len(inbox(client)) >= 1, "it is received")
            eventually(lambda: reported(listener.calls, messages), "every message is reported")
        assert client.get("/sms/history").json()["pagination"]["total_items"] == len(TEXTS)
        assert inbox(client) == [RECEIVED]
        truth = modem.truth()
        for name, message in last.items():
            parts = truth.of_text(TEXTS[name], "+33612345678")
            times = Counter(part.number for part in parts)
            assert all(count == 1 for count in times.values()), f"{name} went out twice"
            if message["status"] == "failed":
                assert message["uncertain"] and message["error"]["code"] == "SMS_SEND_TIMEOUT"
            else:
                assert len(parts) == message["parts"]
        assert sum(message["status"] == "failed" for message in last.values()) <= 1
        bodies: dict[str, bytes] = {}
        for call in listener.calls:
            assert bodies.setdefault(call.body["event_id"], call.raw) == call.raw
        events = Counter(
            (call["event"], call["data"]["message_id"]) for call in unique(listener.calls)
        )
        assert all(count == 1 for count in events.values()), events
    finally:
        box.stop()
        modem.stop()


def unique(calls: list[Any]) -> list[dict[str, Any]]:
    return list({call.body["event_id"]: call.body for call in calls}.values())


def reported(calls: list[Any], messages: dict[str, str | None]) -> bool:
    return {body["data"]["message_id"] for body in unique(calls)} >= set(messages.values())


def inbox(client: Client) -> list[str]:
    return [entry["message"] for entry in client.get("/sms/inbox").json()["data"]]
