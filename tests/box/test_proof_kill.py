"""`kill -9` at fifty random moments: every promise holds, and nothing is sent twice."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
import requests

from tests.box.outside import OutsideModem, Truth
from tests.box.running import Client, RunningBox, code, eventually

pytestmark = [pytest.mark.seconds(95), pytest.mark.timeout(1500)]

KILLS, WORKERS = 50, 2
PER_LIFE = 9  # messages posted in one life of the box
WINDOW_SECONDS = 5.0  # longer than a start takes on a busy machine: doubts are looked at after it
DONE_SECONDS = 600.0
SETTINGS = {
    "ZIMBOX_SENDING_UNCERTAIN_WINDOW_SECONDS": str(WINDOW_SECONDS),
    "ZIMBOX_ARCHIVE_AFTER_MINUTES": "0.01",  # so that the move to the history is killed as well
    "ZIMBOX_ARCHIVE_BATCH": "5",
}
# Taken after 15 ms; the report comes while the box lives, while it is dead, or when it is back.
NETWORK = (
    *("--latency", "15", "--latency-jitter", "10", "--report-delay", "150"),
    *("--report-jitter", "140", "--seed"),
)


class Posted(msgspec.Struct, frozen=True):
    text: str
    to: str
    resend: bool  # on_uncertain
    message_id: str | None  # None: the box died before it answered


class Lives:
    """One box on one data folder, killed again and again beside a modem that lives on."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.name = f"w{seed}"
        self.modem = OutsideModem(folder, *NETWORK, str(seed))
        self.box = RunningBox(folder, SETTINGS, modems=(str(self.modem.port),)).start()
        self.client = self.box.client()
        self.posted: list[Posted] = []
        self.doubts_seen = 0
        self._lock = threading.Lock()

    def live(self, kills: int) -> None:
        for _ in range(kills):
            self._one_life()
            self.box.kill()
            self.box.start()
            self.client.url = self.box.url
            self._look_at_doubts()
        eventually(self._settled, "everything settled", DONE_SECONDS)

    def _one_life(self) -> None:
        """Post, and come back at a random moment in the middle of it."""
        poster = threading.Thread(target=self._post)
        poster.start()
        if self.chance.random() < 0.8:
            before = len(self.modem.truth().parts)
            eventually(lambda: len(self.modem.truth().parts) > before, "a part is sent")
        time.sleep(self.chance.uniform(0.0, 0.25))  # the random moment, not a wait for anything
        # Left to itself: it ends with its last message, or with the box.
        self._poster = poster

    def _post(self) -> None:
        client = Client(
            self.client.url, self.client.client_id, self.client.api_key, self.client.key_id
        )
        for _ in range(PER_LIFE):
            with self._lock:
                number = len(self.posted)
                self.posted.append(Posted("", "", False, None))
            # Every piece of it is this message's own, so that each part in the journal tells whose it is.
            mark = f" {self.name}-{number}"
            text = f"{mark}:{mark * self.chance.choice((0, 0, 0, 40, 70))}."
            to = f"+49151{self.chance.randint(0, 9):08d}"
            resend = self.chance.random() < 0.15
            body = {"to": to, "message": text, "on_uncertain": "resend" if resend else "fail"}
            try:
                answer = client.post("/sms/send", body)
            except (
                requests.RequestException
            ):  # refused, cut off, or cut off in the middle of the answer
                self.posted[number] = Posted(text, to, resend, None)
                return
            assert answer.status_code == 202, answer.text
            self.posted[number] = Posted(text, to, resend, answer.json()["message_id"])

    def _queued(self) -> list[str]:
        page = self.client.get("/sms/history", params={"status": "queued", "limit": 100})
        return [message["message_id"] for message in page.json()["data"]]

    def _look_at_doubts(self) -> None:
        self._poster.join()
        for message_id in self._queued():
            status = self.client.status(message_id)
            if status["uncertain"] and status["status"] == "queued":  # otherwise settled meanwhile
                assert not status["cancellable"]
                refused = self.client.delete(f"/sms/{message_id}")
                if refused.status_code != 400:  # settled between two looks
                    assert self.client.status(message_id)["status"] != "cancelled"
                assert code(refused, 400) == "CANNOT_CANCEL_MESSAGE"
                self.doubts_seen += 1

    def _settled(self) -> bool:
        return not self._queued() and all(part.settled for part in self.modem.truth().parts)

    def stop(self) -> None:
        self.box.stop()
        self.modem.stop()


class KillRun(msgspec.Struct, frozen=True):
    """What is left when all is over."""

    posted: list[Posted]
    statuses: dict[str, dict[str, object]]
    truth: Truth
    log: str
    doubts_seen: int


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[KillRun]:
    def run(worker: int) -> KillRun:
        lives = Lives(tmp_path_factory.mktemp(f"kill{worker}"), seed=worker)
        try:
            lives.live(KILLS // WORKERS)
            statuses = {
                p.message_id: lives.client.status(p.message_id)
                for p in lives.posted
                if p.message_id
            }
            return KillRun(
                lives.posted, statuses, lives.modem.truth(), lives.box.log(), lives.doubts_seen
            )
        finally:
            lives.stop()

    tmp_path_factory.getbasetemp()  # made at the first call, which the threads would race for
    with ThreadPoolExecutor(WORKERS) as workers:
        return list(workers.map(run, range(1, WORKERS + 1)))


def test_every_202_is_stored_and_its_status_is_true(runs: list[KillRun]) -> None:
    for run in runs:
        for posted in run.posted:
            if posted.message_id is None:
                continue
            status = run.statuses[posted.message_id]
            assert (status["message"], status["to"]) == (posted.text, posted.to)
            parts = run.truth.of_text(posted.text, posted.to)
            arrived = {part.number for part in parts}
            delivered = {part.number for part in parts if part.delivered}
            everything = set(range(1, int(str(status["parts"])) + 1))
            match status["status"]:
                case "delivered":
                    assert delivered == everything
                case "sent":  # its reports came while the box was dead, and a modem says them once
                    assert arrived == everything
                case "failed":
                    error = status["error"]
                    assert isinstance(error, dict) and error["code"] == "SMS_SEND_TIMEOUT"
                case other:
                    raise AssertionError(f"{posted.message_id} is {other}")


def test_nothing_is_sent_twice_without_a_request(runs: list[KillRun]) -> None:
    for run in runs:
        claimed = 0
        for posted in run.posted:
            parts = run.truth.of_text(posted.text, posted.to)
            claimed += len(parts)
            twice = {n: c for n, c in Counter(part.number for part in parts).items() if c > 1}
            assert posted.resend or not twice, f"{posted} went out twice: {parts}"
            texts = {part.number: part.text for part in parts}
            if parts and len(texts) == parts[0].total:
                assert "".join(texts[n] for n in sorted(texts)) == posted.text
        assert claimed == len(run.truth.parts), "the network has what nobody sent"


def test_a_crash_leaves_at_most_one_part_uncertain_and_fails_no_other(
    runs: list[KillRun],
) -> None:
    doubts = 0
    for run in runs:
        after_starts = [
            int(n) for n in re.findall(r"uncertain_parts_after_start parts=(\d+)", run.log)
        ]
        assert all(n == 1 for n in after_starts)
        failed = [status for status in run.statuses.values() if status["status"] == "failed"]
        assert len(failed) <= len(after_starts)
        asked = {p.message_id for p in run.posted if p.resend}
        assert not [status for status in failed if status["message_id"] in asked]
        doubts += len(after_starts)
    # The moments were good ones: most kills hit a part on the line, and the API said so.
    assert doubts >= KILLS // 4
    assert sum(run.doubts_seen for run in runs) >= KILLS // 8
    assert not any("loop_failed" in run.log or "job_failed" in run.log for run in runs)
