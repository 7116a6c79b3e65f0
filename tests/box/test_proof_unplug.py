"""The modem is unplugged during a part and comes back: the box continues by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.box.outside import OutsideModem, expected, order
from tests.box.running import REQUEST_SECONDS, Client, RunningBox, eventually

pytestmark = pytest.mark.seconds(15)

TEXTS = [f"{n}: Bonjour de la boîte, {'encore ' * 30 if n == 3 else ''}à bientôt" for n in range(8)]
NUMBER = "+33612345678"


@pytest.fixture
def modem(tmp_path: Path) -> Iterator[OutsideModem]:
    outside = OutsideModem(tmp_path, "--latency", "20", "--report-delay", "50")
    yield outside
    outside.stop()


@pytest.fixture
def box(tmp_path: Path, modem: OutsideModem) -> Iterator[RunningBox]:
    settings = {"ZIMBOX_SENDING_UNCERTAIN_WINDOW_SECONDS": "5"}
    running = RunningBox(tmp_path, settings, modems=(str(modem.port),)).start()
    yield running
    running.stop()


def health(box: RunningBox) -> dict[str, Any]:
    result: dict[str, Any] = requests.get(f"{box.url}/health", timeout=REQUEST_SECONDS).json()
    return result


def ready(box: RunningBox) -> None:
    eventually(lambda: health(box)["status"] == "ok", "the modem is ready")


def what_the_box_says(box: RunningBox, client: Client) -> tuple[str, str, str]:
    """In all the places where somebody would look."""
    (device,) = health(box)["devices"]
    (listed,) = client.get("/devices").json()["devices"]
    tested = client.get("/auth/test").json()
    return device["status"], listed["status"], tested["device_status"]


@pytest.mark.parametrize("at", ["body", "taken"])
def test_a_modem_unplugged_in_the_middle_of_a_part(
    box: RunningBox, modem: OutsideModem, at: str
) -> None:
    """`body`: the network has not got the part; `taken`: it has, and the box did not hear of it."""
    client = box.client()
    ready(box)
    # Nothing is reported, and the modem stays away, until the test has seen what the box says meanwhile.
    modem.order("report", hold=True, times=None)
    modem.order("send", at=at, skip=3, unplug=True, stays_away=True)
    sent = [client.send(NUMBER, text) for text in TEXTS]

    eventually(
        lambda: what_the_box_says(box, client) == ("offline",) * 3, "the box says it is offline"
    )
    assert health(box)["status"] == "degraded"
    doubtful = eventually(lambda: _uncertain(client, sent) or None, "one message is uncertain")
    assert len(doubtful) == 1

    modem.order("plug")
    ready(box)
    assert what_the_box_says(box, client) == ("online",) * 3
    modem.order("reset")
    modem.order("release")
    result = [client.until(message_id, "sent", "delivered", "failed") for message_id in sent]
    for text, one in zip(TEXTS, result, strict=True):
        wanted = eventually(partial(_settled, modem, text, one), "a last report")
        last_answer = client.until(one["message_id"], wanted)
        lost = at == "body" and one["message_id"] in doubtful
        assert (wanted == "failed") == lost
        if lost:
            assert last_answer["error"]["code"] == "SMS_SEND_TIMEOUT"
    assert "loop_failed" not in box.log()


def _settled(modem: OutsideModem, text: str, answer: dict[str, Any]) -> str | None:
    """What the message must be, once the modem has received every report."""
    parts = modem.truth().of_text(text, NUMBER)
    assert len({part.number for part in parts}) == len(parts), "sent twice"
    return expected(parts, answer["parts"]) if all(part.settled for part in parts) else None


def _uncertain(client: Client, sent: list[str]) -> list[str]:
    return [message_id for message_id in sent if client.status(message_id)["uncertain"]]


def test_the_box_s_own_simulated_modem_comes_back_too(tmp_path: Path) -> None:
    """`serve --modem sim`: the port has another name after each plug."""
    box = RunningBox(tmp_path).start()
    try:
        client = box.client()
        ready(box)
        order(box.control, "unplug")
        eventually(lambda: health(box)["status"] == "degraded", "the box says it is offline")
        holder = Path("/dev/ptmx").open("rb")  # noqa: SIM115 - takes the name the port had
        try:
            order(box.control, "plug")
            client.until(client.send(NUMBER, "Me revoici"), "delivered")
        finally:
            holder.close()
    finally:
        box.stop()
