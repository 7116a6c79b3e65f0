"""Compare the four books. Every line that does not agree is a sentence."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from tests.box.listening import Call
from tests.box.outside import Taken, Truth
from tests.torture.traffic import Posted

# docs/api-contract.md, "Tracking": which event may follow which.
_AFTER = {
    "queued": {"sent", "delivered", "failed", "cancelled"},
    "sent": {"delivered", "failed"},
    "failed": {"delivered"},
    "delivered": set[str](),
    "cancelled": set[str](),
}
MASKED = "\u2022"  # how the box shows a one-time password
# What the faults of this run can lead to.
_CODES = {"SMS_SEND_TIMEOUT", "NETWORK_ERROR"}


class Books(msgspec.Struct):
    """What each side wrote down."""

    posted: list[Posted]
    rows: dict[str, dict[str, Any]]  # the box's export, by message id
    totals: dict[str, int]  # statistics
    calls: list[Call]
    truth: Truth
    incoming: Counter[str]  # texts that the network gave the modem
    inbox: Counter[str]

    def disagreements(self) -> list[str]:
        return [
            *self._clients_and_box(),
            *self._box_and_network(),
            *self._box_and_webhooks(),
            *self._received(),
            *self._figures(),
        ]

    def _clients_and_box(self) -> Iterable[str]:
        asked = {one.text: one for one in self.posted if one.kind == "sms"}
        otps = {one.message_id for one in self.posted if one.kind == "otp"}
        for one in self.posted:
            if one.message_id is None:
                continue
            row = self.rows.get(one.message_id)
            if row is None:
                yield f"{one.message_id}{one.mark} was answered 202 and is not in the box"
            elif row["to"] != one.to or (one.kind == "sms" and row["message"] != one.text):
                yield f"{one.message_id} is another text or number than was asked for"
            elif one.cancelled and row["status"] != "cancelled":
                yield f"{one.message_id} was cancelled with 200 and is {row['status']}"
        seen: Counter[str] = Counter()
        for message_id, row in self.rows.items():
            if message_id in otps or MASKED in row["message"]:
                continue
            seen[row["message"]] += 1
            asker = asked.get(row["message"])
            if asker is None:
                yield f"{message_id} was asked for by nobody: {row['message'][:40]!r}"
            elif asker.message_id is None and asker.refused:
                yield f"{message_id} was refused with {asker.refused} and is in the box"
        yield from (f"{text[:40]!r} is {n} messages" for text, n in seen.items() if n > 1)

    def _box_and_network(self) -> Iterable[str]:
        by_recipient: dict[str, list[Taken]] = defaultdict(list)
        for part in self.truth.parts:
            by_recipient[part.recipient].append(part)
        rows_by_text = {row["message"]: row for row in self.rows.values()}
        claimed = 0
        for one in self.posted:
            near = Truth(tuple(by_recipient.get(one.to, ())), ())
            if one.kind == "otp":
                parts = [p for p in near.parts if p.text.startswith(one.mark)]
                row = self.rows.get(one.message_id or "")
            else:
                parts = near.of_text(one.text, one.to)
                row = rows_by_text.get(one.text)
            claimed += len(parts)
            twice = [n for n, c in Counter(part.number for part in parts).items() if c > 1]
            if twice and not one.resend:
                yield f"{one.mark} went out twice: parts {twice}, box says {_short(row)}"
            if row is not None:
                yield from _status(one, row, parts)
            elif parts and one.kind == "sms":
                yield f"{one.mark} is in the network and not in the box"
        if claimed != len(self.truth.parts):
            yield f"the network has {len(self.truth.parts) - claimed} parts that nobody sent"

    def _box_and_webhooks(self) -> Iterable[str]:
        bodies: dict[str, bytes] = {}
        order: dict[str, list[str]] = defaultdict(list)
        for call in self.calls:
            event_id = call.body["event_id"]
            if bodies.setdefault(event_id, call.raw) != call.raw:
                yield f"{event_id} was told in two ways"
            message_id = call.body["data"].get("message_id")
            name = call.event.removeprefix("sms.")
            if message_id and name in _AFTER and event_id not in order[message_id]:
                order[message_id].append(event_id)
        for message_id, row in self.rows.items():
            steps = [json.loads(bodies[e])["event"].removeprefix("sms.") for e in order[message_id]]
            status = "queued"
            for step in steps:
                if step not in _AFTER[status]:
                    yield f"{message_id}: the events {steps} are no allowed way"
                    break
                status = step
            if status != row["status"]:
                yield f"{message_id} is {row['status']} and its receiver was told {steps}"

    def _received(self) -> Iterable[str]:
        for text, n in (self.incoming - self.inbox).items():
            yield f"{text!r} was received {n} times more than the inbox has it"
        for text, n in (self.inbox - self.incoming).items():
            yield f"{text!r} is in the inbox {n} times too often"

    def _figures(self) -> Iterable[str]:
        count = Counter(row["status"] for row in self.rows.values())
        left = count["sent"] + count["delivered"] + count["failed"]
        found = {"total_sent": left, "pending": count["queued"], "failed": count["failed"]}
        if found != self.totals:
            yield f"the statistics say {self.totals}, counting says {found}"


def _short(row: dict[str, Any] | None) -> str:
    return f"{row['message_id']} {row['status']}" if row else "nothing"


def _status(one: Posted, row: dict[str, Any], parts: list[Taken]) -> Iterable[str]:
    """Whether the status of a message is true."""
    number, status = row["message_id"], row["status"]
    everything = set(range(1, row["parts"] + 1))
    arrived = {part.number for part in parts}
    match status:
        case "delivered":
            if {part.number for part in parts if part.delivered} != everything:
                yield f"{number} is delivered and the network has not delivered all of it"
        case "sent":  # its reports came while the box was dead, or were lost
            if arrived != everything:
                yield f"{number} is sent and the network has {sorted(arrived)} of {row['parts']}"
        case "failed":
            code = row["error"]["code"]
            if code not in _CODES:
                yield f"{number} failed with {code}"
            sure = not row["uncertain"] and not any(part.failed for part in parts)
            if arrived == everything and sure:
                yield f"{number} failed for sure ({code}) and all of it went out"
        case "cancelled":
            if parts:
                yield f"{number} is cancelled and went out"
        case _:
            yield f"{number} is still {status}"
