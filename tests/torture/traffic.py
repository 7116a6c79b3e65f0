"""Users' traffic: clients that send, cancel and ask, and note every answer."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import requests

from tests.box.running import Client
from tests.box.when import ahead

PAUSE_SECONDS = 0.05  # after a refused or broken connection
REST_SECONDS = 0.5  # between two looks at the queue
QUEUE_MOST = 150  # messages of one client that wait, before it takes a rest
REST_AFTER = 50  # messages, before a client looks at its queue again
BULK = (2, 6, 20, 60)  # messages of one request
EXPECTED = {202, 403, 429, 503}


class Posted(msgspec.Struct):
    """One message that a client asked for."""

    mark: str  # in every piece of its text
    to: str
    text: str
    kind: str = "sms"  # 'sms' | 'otp'
    key: str | None = None  # Idempotency-Key
    resend: bool = False  # on_uncertain
    message_id: str | None = None  # None: no answer came
    otp_id: str | None = None
    refused: int | None = None
    cancelled: bool = False  # answered 200


def _too_late(told: requests.Response) -> bool:
    """Return whether a schedule had passed when the request came, perhaps repeated after a fault."""
    return told.status_code == 400 and told.json()["error"]["code"] == "INVALID_SCHEDULED_DATE"


class User:
    """One client at work in a thread of its own."""

    def __init__(self, client: Client, name: str, seed: int, report_url: str) -> None:
        self.client = client
        self.name = name
        self.posted: list[Posted] = []
        self.accepted = 0  # of these, answered 202
        self.odd: list[str] = []  # answers that the contract does not have
        self._chance = random.Random(seed)
        self._url = report_url
        self._session = requests.Session()  # keeps its connection, as a program does
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        acts: list[Callable[[], None]] = [self._send] * 6 + [self._bulk, self._otp]
        acts += [self._cancel, self._look]
        rested = 0
        while not self._stop.is_set():
            self._chance.choice(acts)()
            if len(self.posted) - rested >= REST_AFTER:
                self._rest()
                rested = len(self.posted)
        self._session.close()

    def _rest(self) -> None:
        """Wait while too much is queued: a fault may last, and the end must come."""
        while not self._stop.wait(REST_SECONDS):
            told = self._ask("GET", "/sms/history?status=queued&limit=1")
            if told is None or told.status_code != 200:
                continue
            if told.json()["pagination"]["total_items"] < QUEUE_MOST:
                return

    def _ask(self, method: str, path: str, **more: Any) -> requests.Response | None:
        """One request; None if the connection was refused, or broke before the whole answer."""
        try:
            return self.client.request(method, path, session=self._session, **more)
        except requests.RequestException:
            self._stop.wait(PAUSE_SECONDS)
            return None

    def _fresh(self, kind: str = "sms") -> Posted:
        number = len(self.posted)
        mark = f" {self.name}-{number}"
        text = f"{mark}:{mark * self._chance.choice((0, 0, 0, 0, 40))}."
        to = f"+49151{self.name}{number:07d}" if kind == "otp" else self._recipient()
        posted = Posted(mark, to, text, kind)
        self.posted.append(posted)
        return posted

    def _recipient(self) -> str:
        return f"+4915{self.name}{self._chance.randrange(1000):07d}"

    def _send(self) -> None:
        posted = self._fresh()
        posted.resend = self._chance.random() < 0.1
        body: dict[str, object] = {
            "to": posted.to,
            "message": posted.text,
            "priority": self._chance.randint(1, 5),
            "on_uncertain": "resend" if posted.resend else "fail",
        }
        if self._chance.random() < 0.15:
            body["scheduled_at"] = ahead(seconds=self._chance.choice((2, 3, 4)))
        if self._chance.random() < 0.3:
            body["webhook_url"] = f"{self._url}/own"
        headers = {}
        if self._chance.random() < 0.5:
            posted.key = f"{self.name}-{len(self.posted)}"
            headers["Idempotency-Key"] = posted.key
        while not self._stop.is_set():
            told = self._ask("POST", "/sms/send", json=body, headers=headers)
            if told is not None:
                self._note(told, [posted])
                return
            if posted.key is None:
                return  # nobody knows: a careful client does not repeat it

    def _bulk(self) -> None:
        posted = [self._fresh() for _ in range(self._chance.choice(BULK))]
        body = {"messages": [{"to": one.to, "message": one.text} for one in posted]}
        told = self._ask("POST", "/sms/send-bulk", json=body)
        if told is not None:
            self._note(told, posted)

    def _otp(self) -> None:
        posted = self._fresh("otp")
        template = posted.mark + " {{code}}"
        posted.text = template
        body = {"to": posted.to, "template": template, "expiry": 1800}
        told = self._ask("POST", "/sms/send-otp", json=body)
        if told is not None:
            self._note(told, [posted])

    def _note(self, told: requests.Response, posted: list[Posted]) -> None:
        if told.status_code not in EXPECTED and not _too_late(told):
            self.odd.append(f"{told.status_code} {told.text[:300]}")
        for one in posted:
            one.refused = told.status_code
        if told.status_code != 202:
            return
        body = told.json()
        answers = body.get("messages", [body])
        for one, answer in zip(posted, answers, strict=True):
            if answer["status"] == "queued":
                one.refused, one.message_id = None, answer["message_id"]
                one.otp_id = answer.get("otp_id")
                self.accepted += 1

    def _cancel(self) -> None:
        taken = [one for one in self.posted[-30:] if one.message_id and not one.cancelled]
        if not taken:
            return
        one = self._chance.choice(taken)
        told = self._ask("DELETE", f"/sms/{one.message_id}")
        if told is None:
            return
        if told.status_code == 200:
            one.cancelled = True
        elif told.status_code not in (400, 503):
            self.odd.append(f"DELETE {told.status_code} {told.text[:300]}")

    def _look(self) -> None:
        path = self._chance.choice(
            ("/sms/stats", "/sms/history?search=b", "/sms/inbox", "/devices")
        )
        told = self._ask("GET", path)
        if told is not None and told.status_code not in (200, 503):
            self.odd.append(f"GET {path} {told.status_code} {told.text[:300]}")
