"""Three threads send random requests; then the box must agree with itself and the network."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.box.listening import Listener, listening
from tests.box.running import Client, RunningBox, eventually
from tests.box.when import SOON_SECONDS, ahead

pytestmark = [pytest.mark.seconds(35), pytest.mark.timeout(900)]

THREADS, STEPS = 3, 40
DONE_SECONDS = 600.0
EVENTS = ["sms.sent", "sms.delivered", "sms.failed", "sms.cancelled"]
# What the simulated network does with each is in docs/simulator.md; those that take long are left out.
ENDINGS = [
    "00",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "08",
    "12",
    "13",
    "14",
    "15",
    "16",
    "17",
    "20",
    "22",
]
# docs/api-contract.md, "Tracking": which event may follow which.
AFTER = {
    "queued": {"sent", "delivered", "failed", "cancelled"},
    "sent": {"delivered", "failed"},
    "failed": {"delivered"},
    "delivered": set[str](),
    "cancelled": set[str](),
}


class Player:
    """What one client did, and what it was promised."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.texts: dict[str, str] = {}  # by message id
        self.resent: Counter[str] = Counter()
        self.cancelled: set[str] = set()
        self.odd: list[str] = []  # answers that the contract does not have
        self._lock = threading.Lock()
        self._count = 0

    def play(self, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(STEPS):
            chance.choice((self.send, self.send, self.send, self.cancel, self.resend, self.block))(
                chance
            )

    def asked(self, method: str, path: str, *statuses: int, body: object = None) -> dict[str, Any]:
        answer = self.client.request(method, path, json=body)
        if answer.status_code not in statuses:
            self.odd.append(f"{method} {path} {answer.status_code} {answer.text}")
        result: dict[str, Any] = answer.json() if answer.content else {}
        return {**result, "status_code": answer.status_code}

    def send(self, chance: random.Random) -> None:
        with self._lock:
            self._count += 1
            text = f"{self.client.client_id}/{self._count}/" + "x" * chance.choice((1, 100, 200))
        to = chance.choice(
            (f"+336955501{chance.choice(ENDINGS)}", f"+3361234{chance.randrange(9):04}")
        )
        body: dict[str, object] = {"to": to, "message": text, "priority": chance.randint(1, 5)}
        if chance.random() < 0.3:
            body["scheduled_at"] = ahead(seconds=chance.choice((SOON_SECONDS, 86_400)))
        result = self.asked("POST", "/sms/send", 202, 403, body=body)
        if result["status_code"] == 202:
            self.texts[result["message_id"]] = text

    def cancel(self, chance: random.Random) -> None:
        for message_id in self._any(chance):
            result = self.asked("DELETE", f"/sms/{message_id}", 200, 400)
            if result["status_code"] == 200:
                self.cancelled.add(message_id)

    def resend(self, chance: random.Random) -> None:
        failed = self.asked("GET", "/sms/history?status=failed&limit=20", 200)["data"]
        for result in failed[: chance.randint(0, 2)]:
            self.resent[result["message_id"]] += 1  # at the most
            self.asked("POST", f"/sms/{result['message_id']}/resend", 202, 400, 403)

    def block(self, chance: random.Random) -> None:
        number = f"+3361234{chance.randrange(9):04}"
        if chance.random() < 0.5:
            self.asked("POST", "/blocklist", 200, body={"number": number})
        else:
            self.asked("DELETE", f"/blocklist/{number.replace('+', '%2B')}", 204, 404)

    def _any(self, chance: random.Random) -> list[str]:
        with self._lock:
            return chance.sample(list(self.texts), min(1, len(self.texts)))

    def rows(self) -> list[dict[str, Any]]:
        lines = self.client.get("/sms/export?format=jsonl").text.splitlines()
        return [json.loads(line) for line in lines]

    def settled(self) -> bool:
        queued = (row for row in self.rows() if row["status"] == "queued")
        return all(row["scheduled_at"] and row["scheduled_at"] > ahead(hours=1) for row in queued)


Game = tuple[RunningBox, list[Player], Listener]


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Game]:
    box = RunningBox(
        tmp_path_factory.mktemp("any order"),
        {
            "ZIMBOX_SENDING_PROBE_MINUTES": "0.005",
            "ZIMBOX_SENDING_WAIT_SECONDS": "0.2",
            "ZIMBOX_ARCHIVE_AFTER_MINUTES": "0.01",
        },
    )
    with listening() as listener:
        box.start()
        try:
            players = [Player(box.client()), Player(box.client())]
            for player in players:
                hook = {"url": f"{listener.url}/{player.client.client_id}", "events": EVENTS}
                assert player.client.post("/webhooks/configure", hook).status_code == 200
            with ThreadPoolExecutor(THREADS * len(players)) as pool:
                games = [
                    pool.submit(players[number % len(players)].play, number)
                    for number in range(THREADS * len(players))
                ]
                for one in games:
                    one.result()
            for player in players:
                eventually(player.settled, "all is sent", DONE_SECONDS)
            eventually(lambda: _all_delivered(players, listener), "all is delivered", DONE_SECONDS)
            yield box, players, listener
        finally:
            box.stop()


def _delivered(listener: Listener) -> dict[str, list[str]]:
    """The events of each message, each once, in the order in which they first came."""
    once = {call.body["event_id"]: call.body for call in listener.calls}
    result: dict[str, list[str]] = defaultdict(list)
    for body in once.values():
        result[body["data"]["message_id"]].append(body["event"].removeprefix("sms."))
    return result


def _all_delivered(players: list[Player], listener: Listener) -> bool:
    result = _delivered(listener)
    rows = [row for player in players for row in player.rows() if row["status"] != "queued"]
    return all(result[row["message_id"]][-1:] == [row["status"]] for row in rows)


def test_every_response_is_one_of_the_contract(game: Game) -> None:
    box, players, _ = game
    assert [odd for player in players for odd in player.odd] == []
    assert "status=500" not in box.log() and "Traceback" not in box.log()


def test_every_accepted_message_is_there_and_belongs_to_its_client(game: Game) -> None:
    for player in game[1]:
        assert {row["message_id"]: row["message"] for row in player.rows()} == player.texts


def test_figures_and_totals_equal_counted_rows(game: Game) -> None:
    for player in game[1]:

        def figures(
            player: Player = player,
        ) -> tuple[list[dict[str, Any]], Any, dict[str, int]] | None:
            """The rows, the statistics and the totals of one moment: late reports still change some."""
            rows = player.rows()
            stats = player.client.get("/sms/stats").json()["stats"]
            pages = {
                status: player.client.get(f"/sms/history?status={status}&limit=1").json()
                for status in AFTER
            }
            totals = {status: page["pagination"]["total_items"] for status, page in pages.items()}
            return (rows, stats, totals) if player.rows() == rows else None

        rows, stats, totals = eventually(figures, "no report came between two requests")
        count = Counter(row["status"] for row in rows)
        left = {name: count[name] for name in ("sent", "delivered", "failed")}
        assert stats["total_sent"] == sum(left.values()) == sum(d["sent"] for d in stats["by_day"])
        assert (stats["pending"], stats["failed"]) == (count["queued"], count["failed"])
        assert totals == {status: count[status] for status in AFTER}


def test_the_events_of_each_message_are_valid_transitions_in_order(game: Game) -> None:
    _, players, listener = game
    for player in players:
        for message_id in player.texts:
            status, spare = "queued", player.resent[message_id]
            for then in _delivered(listener)[message_id]:
                if then not in AFTER[status]:
                    assert status == "failed" and spare and then in AFTER["queued"], message_id
                    spare -= 1
                status = then


def test_the_network_received_the_sent_messages_and_no_cancelled_one(game: Game) -> None:
    box, players, _ = game
    begun = {"/".join(line["text"].split("/")[:2]) for line in box.received()}
    for player in players:
        for row in player.rows():
            key = "/".join(row["message"].split("/")[:2])
            assert row["status"] not in ("sent", "delivered") or key in begun
            assert row["status"] != "cancelled" or key not in begun
            assert (row["message_id"] in player.cancelled) == (row["status"] == "cancelled")
