"""The status of each message agrees with what the network received."""

from __future__ import annotations

import random
import string
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from tests.box.outside import Truth, expected, order
from tests.box.running import Client, RunningBox, eventually

pytestmark = [pytest.mark.seconds(15), pytest.mark.timeout(900)]

MESSAGES = 200
NUMBERS = [f"+3361200{n:04d}" for n in range(1, 21)]
LATE_SECONDS = 1.5
DONE_SECONDS = 600.0

GSM7 = (
    string.ascii_letters
    + string.digits
    + " @£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ!\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà\n"
)
EXTENSION = "^{}\\[~]|€"
UCS2 = "çêîôûœàéèабвгдежзийклмнопрст漢字かな’–…"
EMOJI = ["😀", "🎉", "👍🏽", "👨‍👩‍👧", "🇫🇷"]


def text(chance: random.Random, number: int) -> str:
    """A text of its own: any alphabet, any length from a word to several parts."""
    kind = ("gsm7", "extension", "ucs2", "emoji")[number % 4]
    pieces: list[str] = {
        "gsm7": list(GSM7),
        "extension": list(GSM7) + list(EXTENSION) * 6,
        "ucs2": list(UCS2 + string.ascii_letters),
        "emoji": EMOJI * 8 + list(UCS2),
    }[kind]
    length = chance.choice(
        (1, 12, 60, 69, 70, 71, 133, 134, 152, 153, 159, 160, 161, 305, 306, 459)
    )
    body = "".join(chance.choice(pieces) for _ in range(length))
    # White space at the ends would be a test of trimming; this one is about letters.
    return f"{number}:{body}.".replace("\n.", ".")


class Sent(msgspec.Struct, frozen=True):
    message_id: str
    to: str
    text: str
    parts: int


@pytest.fixture(scope="module")
def messages(
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """200 messages through a network that loses, delays, swaps and fails, until all is settled."""
    box = RunningBox(
        tmp_path_factory.mktemp("truth"),
        {
            "ZIMBOX_SENDING_PROBE_MINUTES": "0.005",
            "ZIMBOX_SIMULATOR_LATENCY_SECONDS": "0.003",
            "ZIMBOX_SENDING_WAIT_SECONDS": "0.2",
        },
    ).start()
    try:
        _trouble(box)
        client = box.client()
        sent = _send(client)
        truth = eventually(lambda: _settled(box, client, sent), "all is settled", DONE_SECONDS)
        yield client, sent, truth
    finally:
        box.stop()


def _trouble(box: RunningBox) -> None:
    for number, cms in ((0.05, 42), (0.03, 41), (0.02, 38)):
        order(box.control, "send", times=None, probability=number, cms=cms)
    order(box.control, "send", times=None, at="command", probability=0.02, cms=500)
    for words in (
        {"probability": 0.06, "lost": True},
        {"probability": 0.08, "delay": LATE_SECONDS},
        {"probability": 0.10, "swap": True},
        {"probability": 0.06, "status": [0x41]},
        {"probability": 0.04, "status": [0x62, 0x00], "apart": 0.2},
        {"probability": 0.05, "status": [0x30, 0x00], "apart": 0.2},
        {"probability": 0.05, "early": True},
        # TP-MR wraps after 256 parts, here within seconds: a copy must not be taken for another's.
        {"probability": 0.08, "copies": 2},
        {"probability": 0.03, "status": [0x01]},
        {"probability": 0.05, "recipient": "national", "zero_times": True},
    ):
        order(box.control, "report", **{"times": None, **words})


def _send(client: Client) -> list[Sent]:
    chance = random.Random(20)

    def one(number: int) -> Sent:
        to, body = NUMBERS[number % len(NUMBERS)], bodies[number]
        options = {"priority": chance.randint(1, 5)}
        answer = client.post("/sms/send", {"to": to, "message": body, **options})
        assert answer.status_code == 202, answer.text
        result = answer.json()
        return Sent(result["message_id"], to, body, result["parts"])

    bodies = [text(chance, number) for number in range(MESSAGES)]
    with ThreadPoolExecutor(8) as senders:
        return list(senders.map(one, range(MESSAGES)))


def _settled(box: RunningBox, client: Client, sent: list[Sent]) -> Truth | None:
    """The journal, when nothing waits any more and every part has its last report."""
    if client.get("/sms/history", params={"status": "queued"}).json()["pagination"]["total_items"]:
        return None
    order(box.control, "release")  # a swapped report with none behind it
    truth = Truth.read(box.journal)
    return truth if all(part.settled for part in truth.parts) else None


def test_every_message_is_what_the_network_says_it_is(
    messages: tuple[Client, list[Sent], Truth],
) -> None:
    client, sent, truth = messages
    for message in sent:
        parts = truth.of_text(message.text, message.to)
        known = [
            msgspec.structs.replace(part, reports=()) if truth.could_be_anothers(part) else part
            for part in parts
        ]
        # A report that fits two parts may stay unmatched: the box does not guess.
        statuses = {expected(parts, message.parts), expected(known, message.parts)}
        result = client.until(message.message_id, *statuses)
        wanted = result["status"]
        assert result["message"] == message.text and result["to"] == message.to
        assert (result["delivered_at"] is not None) == (wanted == "delivered")
        assert (result["error"] is not None) == (wanted == "failed")


def test_every_text_arrived_letter_by_letter_and_once(
    messages: tuple[Client, list[Sent], Truth],
) -> None:
    _, sent, truth = messages
    seen: set[int] = set()
    for message in sent:
        parts = truth.of_text(message.text, message.to)
        numbers = [part.number for part in parts]
        assert len(set(numbers)) == len(numbers), f"sent twice: {message}"
        assert all(part.total == message.parts for part in parts)
        if len(parts) == message.parts:
            assert "".join(part.text for part in parts) == message.text
        seen |= {part.id for part in parts}
    assert seen == {part.id for part in truth.parts}, "the network has what nobody sent"


def test_the_trouble_was_real(messages: tuple[Client, list[Sent], Truth]) -> None:
    """Each kind of it, and each outcome, or the tests above have proved nothing."""
    client, sent, truth = messages
    assert len(truth.refused) > 10
    result = [part.reports for part in truth.parts]
    assert sum(part.lost for part in truth.parts) > 5
    assert (
        (0x41,) in result
        and (0x62, 0x00) in result
        and (0x30, 0x00) in result
        and (0x00, 0x00) in result
    )
    assert sum(message.parts > 1 for message in sent) > 50
    stats = client.get("/sms/stats").json()["stats"]
    assert stats["delivered"] > 50 and stats["failed"] > 5 and stats["pending"] == 0
    assert stats["total_sent"] == MESSAGES
