"""docs/api-contract.md, "Sending": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from tests.box.running import Client, RunningBox, code, eventually
from tests.box.when import ago, ahead, billing_day, noon, soon

pytestmark = pytest.mark.seconds(25)

TO = "+33612345678"


def send(client: Client, **fields: object) -> requests.Response:
    return client.post("/sms/send", {"to": TO, "message": "Bonjour", **fields})


def test_send_is_202_with_every_field_of_the_contract(shared: Client) -> None:
    answer = send(shared, metadata={"a": 1})
    assert answer.status_code == 202
    result = answer.json()
    assert result.keys() == {
        *("success", "message_id", "status", "to", "queued_at", "estimated_delivery"),
        *("scheduled_at", "priority", "device_id", "parts", "encoding"),
    }
    assert (result["status"], result["to"], result["priority"]) == ("queued", TO, "normal")
    assert (result["scheduled_at"], result["device_id"]) == (None, "device_1")
    assert (result["parts"], result["encoding"]) == (1, "GSM-7")


@pytest.mark.parametrize(
    "written",
    [
        *("+33 6 12 34 56 78", "+33.6.12.34.56.78", "+33-612-345-678", "+33(6)12345678"),
        *("0033 612345678", "+33/6\u201012\u200f345678\n", "+٣٣٦١٢٣٤٥٦٧٨"),
        *("+33 (0)6 12 34 56 78", "+33 06 12 34 56 78", "+330612345678", "0033(0)612345678"),
    ],
)
def test_separators_and_a_trunk_zero_are_accepted_and_the_number_is_e164(
    shared: Client, written: str
) -> None:
    result = send(shared, to=written).json()
    assert result["to"] == TO
    assert shared.status(result["message_id"])["to"] == TO


@pytest.mark.parametrize("to", ["+1234567", "+123456789012345"])
def test_seven_to_fifteen_digits_are_a_number(shared: Client, to: str) -> None:
    assert send(shared, to=to).json()["to"] == to


@pytest.mark.parametrize(
    "to",
    [
        *("0612345678", "+123456", "+1234567890123456", "33612345678", "+33x", "", " ", "8080"),
        *("+33612345678;+33612345679", "+3361234567a", 33612345678, None, ["+33612345678"], True),
    ],
)
def test_anything_else_is_400_invalid_phone_number(shared: Client, to: object) -> None:
    assert code(send(shared, to=to), 400) == "INVALID_PHONE_NUMBER"


def test_a_block_holds_for_every_spelling_of_its_number(shared: Client) -> None:
    blocked, spelt = "+33699997701", "+33 (0)6 99 99 77 01"
    assert shared.post("/blocklist", {"number": spelt}).json()["number"] == blocked
    for to in (blocked, spelt, "+330699997701", "0033 6 99 99 77 01"):
        assert code(send(shared, to=to), 403) == "BLOCKED_NUMBER"
        otp = shared.post("/sms/send-otp", {"to": to})
        assert code(otp, 403) == "BLOCKED_NUMBER"
    assert shared.delete("/blocklist/+33 (0)6 99 99 77 01").status_code == 204
    assert send(shared, to=spelt).json()["to"] == blocked


def test_a_bulk_sends_once_to_two_spellings_of_a_number(shared: Client) -> None:
    recipients = ["+33612345601", "+33 (0)6 12 34 56 01", "+33 06 12 34 56 01", "003361234 5601"]
    result = shared.post("/sms/send-bulk", {"recipients": recipients, "message": "x"}).json()
    assert len({entry["message_id"] for entry in result["messages"]}) == 1
    assert {entry["to"] for entry in result["messages"]} == {recipients[0]}


def test_history_finds_a_number_by_any_of_its_spellings(shared: Client) -> None:
    message_id = shared.send("+33 (0)6 12 34 56 02", "x")
    for to in ("+33612345602", "+33 (0)6 12 34 56 02", "+330612345602", " 33612345602"):
        found = shared.get("/sms/history", params={"to": to}).json()["data"]
        assert [each["message_id"] for each in found] == [message_id]


def test_short_codes_only_for_keys_whose_owner_allows_them(box: RunningBox, client: Client) -> None:
    allowed = box.client("--short-codes", of=client.client_id)
    assert code(send(client, to="8080"), 400) == "INVALID_PHONE_NUMBER"
    message_id = allowed.send("8080", "STOP")
    assert allowed.until(message_id, "delivered")["to"] == "8080"
    for to in ("12", "123456789"):
        assert code(send(allowed, to=to), 400) == "INVALID_PHONE_NUMBER"


@pytest.mark.parametrize(
    ("text", "parts", "encoding"),
    [
        ("x", 1, "GSM-7"),
        ("x" * 160, 1, "GSM-7"),
        ("x" * 161, 2, "GSM-7"),
        ("€" * 80, 1, "GSM-7"),
        ("€" * 81, 2, "GSM-7"),
        ("x" * 1600, 11, "GSM-7"),
        ("ж" * 70, 1, "UCS-2"),
        ("ж" * 71, 2, "UCS-2"),
        ("😀" * 35, 1, "UCS-2"),
        ("😀" * 36, 2, "UCS-2"),
    ],
)
def test_a_message_is_one_to_1600_characters_and_long_ones_are_concatenated(
    shared: Client, text: str, parts: int, encoding: str
) -> None:
    result = send(shared, message=text).json()
    assert (result["parts"], result["encoding"]) == (parts, encoding)


def test_1600_characters_are_characters_whatever_they_take(shared: Client) -> None:
    assert send(shared, message="😀" * 1600, scheduled_at=ahead(days=1)).status_code == 202


@pytest.mark.parametrize("text", ["x" * 1601, "😀" * 1601])
def test_a_longer_message_is_400_message_too_long(shared: Client, text: str) -> None:
    assert code(send(shared, message=text), 400) == "MESSAGE_TOO_LONG"


def test_the_text_arrives_unchanged(box: RunningBox, shared: Client) -> None:
    text = "Ligne 1\nLigne 2\r\n\tà l'été €[]{}|~^\\ 😀 " + "ж" * 100
    message_id = shared.send("+33612340042", text)
    assert shared.until(message_id, "delivered")["message"] == text
    parts = [line for line in box.received() if line["recipient"] == "+33612340042"]
    assert "".join(part["text"] for part in parts) == text


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1a", "\x1b", "\x0b", "\x7f", "\x85"])
def test_control_characters_are_400_invalid_request(shared: Client, character: str) -> None:
    assert code(send(shared, message=f"a{character}b"), 400) == "INVALID_REQUEST"


def test_an_empty_or_missing_message_is_400_invalid_request(shared: Client) -> None:
    assert code(send(shared, message=""), 400) == "INVALID_REQUEST"
    assert code(shared.post("/sms/send", {"to": TO}), 400) == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *((1, "urgent"), (2, "high"), (3, "normal"), (4, "low"), (5, "bulk"), (None, "normal")),
        *(("urgent", "urgent"), ("bulk", "bulk")),
    ],
)
def test_a_priority_is_1_to_5_or_a_name_and_answered_as_the_name(
    shared: Client, given: object, name: str
) -> None:
    result = send(shared, priority=given).json()
    assert result["priority"] == name
    assert shared.status(result["message_id"])["priority"] == name


@pytest.mark.parametrize("given", [0, 6, "3", "Urgent", 1.5, True, [], {}])
def test_any_other_priority_is_400_invalid_priority(shared: Client, given: object) -> None:
    assert code(send(shared, priority=given), 400) == "INVALID_PRIORITY"


def test_metadata_is_returned_by_status_and_history(client: Client) -> None:
    metadata = {"order_id": "é😀", "n": [1, 2.5, None, {"deep": True}]}
    message_id = client.send(TO, metadata=metadata)
    assert client.status(message_id)["metadata"] == metadata
    assert client.get("/sms/history").json()["data"][0]["metadata"] == metadata


def test_metadata_is_an_object_of_at_most_1024_bytes(shared: Client) -> None:
    room = 1024 - len('{"k":""}')
    assert send(shared, metadata={"k": "x" * room}).status_code == 202
    for metadata in ({"k": "x" * (room + 1)}, {"k": "é" * 600}, [1], "x", 5, True):
        assert code(send(shared, metadata=metadata), 400) == "INVALID_REQUEST"


def test_scheduled_at_without_an_offset_is_utc(shared: Client) -> None:
    wall = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0, tzinfo=None)
    result = send(shared, scheduled_at=wall.isoformat()).json()
    assert result["scheduled_at"] == result["estimated_delivery"][:0] + wall.isoformat() + "Z"


def test_scheduled_at_with_an_offset_is_answered_in_utc(shared: Client) -> None:
    moment = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    abroad = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
    result = send(shared, scheduled_at=abroad.isoformat()).json()
    assert result["scheduled_at"] == moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "given",
    ["soon", "", "2025-02-30T10:00:00Z", 1767225600, True],
)
def test_scheduled_at_is_an_iso_8601_date(shared: Client, given: object) -> None:
    assert code(send(shared, scheduled_at=given), 400) == "INVALID_SCHEDULED_DATE"


@pytest.mark.parametrize("days", [-1, 0, 31])
def test_scheduled_at_is_in_the_future_and_at_most_30_days_ahead(shared: Client, days: int) -> None:
    given = ahead(days=days) if days else ago(seconds=5)
    assert code(send(shared, scheduled_at=given), 400) == "INVALID_SCHEDULED_DATE"


def test_30_days_ahead_may_be_scheduled(shared: Client) -> None:
    assert send(shared, scheduled_at=ahead(days=30, minutes=-1)).status_code == 202


def test_a_scheduled_message_waits_and_is_sent(box: RunningBox, shared: Client) -> None:
    due = soon()
    message_id = shared.send("+33612340077", scheduled_at=due)
    result = shared.status(message_id)
    assert (result["status"], result["cancellable"]) == ("queued", True)
    result = shared.until(message_id, "delivered")
    assert result["sent_at"] >= due == result["scheduled_at"]


@pytest.mark.parametrize(
    "fields",
    [
        *({"retry_attempts": v} for v in (0, 6, "3", 1.5, True)),
        *({"validity_minutes": v} for v in (0, -1, "60", 10**9)),
        *({"on_uncertain": v} for v in ("again", 1, True)),
        *({"flash": v} for v in (1, "true")),
    ],
)
def test_any_other_fault_of_the_body_names_the_field_and_why(
    shared: Client, fields: dict[str, Any]
) -> None:
    answer = send(shared, **fields)
    assert code(answer, 400) == "INVALID_REQUEST"
    details = answer.json()["error"]["details"]
    assert details["field"] == next(iter(fields)) and details["reason"]


def test_the_additional_optional_fields_are_accepted(box: RunningBox, shared: Client) -> None:
    message_id = shared.send(
        "+33612340055", flash=True, validity_minutes=60, on_uncertain="resend", retry_attempts=5
    )
    shared.until(message_id, "delivered")
    (part,) = [line for line in box.received() if line["recipient"] == "+33612340055"]
    assert part["flash"] is True
    assert 55 <= part["validity_minutes"] <= 60


# --- the same again ----------------------------------------------------------------------------


def test_the_same_idempotency_key_and_body_send_once(box: RunningBox, client: Client) -> None:
    headers = {"Idempotency-Key": "order-1"}
    body = {"to": "+33612340099", "message": "einmal"}
    first = client.post("/sms/send", body, headers=headers)
    again = client.post("/sms/send", dict(reversed(body.items())), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert client.get("/sms/history").json()["pagination"]["total_items"] == 1


def test_the_same_idempotency_key_with_another_body_is_409(client: Client) -> None:
    headers = {"Idempotency-Key": "order-2"}
    body = {"to": TO, "message": "x"}
    client.post("/sms/send", body, headers=headers)
    other = client.post("/sms/send", {**body, "priority": 1}, headers=headers)
    assert code(other, 409) == "IDEMPOTENCY_CONFLICT"
    bulk = client.post("/sms/send-bulk", {"recipients": [TO], "message": "x"}, headers=headers)
    assert code(bulk, 409) == "IDEMPOTENCY_CONFLICT"


def test_an_idempotency_key_is_one_clients_own(shared: Client, client: Client) -> None:
    headers = {"Idempotency-Key": "order-3"}
    body = {"to": TO, "message": "x"}
    ours = client.post("/sms/send", body, headers=headers).json()["message_id"]
    theirs = shared.post("/sms/send", body, headers=headers).json()["message_id"]
    assert ours != theirs


def test_an_idempotent_answer_is_given_again_after_its_schedule_passed(client: Client) -> None:
    headers = {"Idempotency-Key": "order-4"}
    body = {"to": TO, "message": "x", "scheduled_at": soon()}
    first = client.post("/sms/send", body, headers=headers).json()
    client.until(first["message_id"], "delivered")
    again = client.post("/sms/send", body, headers=headers)
    assert (again.status_code, again.json()) == (202, first)


def test_fifty_equal_requests_at_once_send_once(client: Client) -> None:
    headers = {"Idempotency-Key": "order-5"}
    start = threading.Barrier(50)

    def one(_: int) -> str:
        start.wait()
        answer = client.post("/sms/send", {"to": TO, "message": "x"}, headers=headers)
        assert answer.status_code == 202, answer.text
        message_id: str = answer.json()["message_id"]
        return message_id

    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(one, range(50)))) == 1
    assert client.get("/sms/history").json()["pagination"]["total_items"] == 1


def test_an_idempotent_answer_survives_a_restart(own_box: Callable[..., RunningBox]) -> None:
    box = own_box()
    client = box.client()
    headers = {"Idempotency-Key": "order-6"}
    body = {"to": TO, "message": "x"}
    first = client.post("/sms/send", body, headers=headers).json()
    box.kill()
    client.url = box.start().url
    assert client.post("/sms/send", body, headers=headers).json() == first


# --- refusals before queueing ------------------------------------------------------------------


def test_a_blocked_number_is_403(client: Client) -> None:
    client.post("/blocklist", {"number": "+33612340011"})
    assert code(send(client, to="+33 6 12 34 00 11"), 403) == "BLOCKED_NUMBER"
    assert client.delete("/blocklist/+33612340011").status_code == 204
    assert send(client, to="+33612340011").status_code == 202


def test_the_block_list_is_checked_again_at_submission(client: Client) -> None:
    message_id = client.send("+33612340012", scheduled_at=soon())
    client.post("/blocklist", {"number": "+33612340012"})
    result = client.until(message_id, "failed", "delivered")
    assert (result["status"], (result["error"] or {}).get("code")) == ("failed", "BLOCKED_NUMBER")


def test_a_full_queue_is_429_queue_full(own_box: Callable[..., RunningBox]) -> None:
    client = own_box(queue_max_waiting="2").client()
    for _ in range(2):
        client.send(TO, scheduled_at=ahead(days=1))
    answer = send(client)
    assert code(answer, 429) == "QUEUE_FULL"
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_storage_that_is_nearly_full_is_503(own_box: Callable[..., RunningBox]) -> None:
    client = own_box(storage_reserve_mib=str(1 << 40)).client()
    assert code(send(client), 503) == "STORAGE_FULL"


def test_messages_wait_for_an_offline_modem(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    client = box.client()
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "online", "online")
    box.simulate(do="unplug")
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "offline", "offline")
    message_id = client.send(TO)
    assert client.status(message_id)["status"] == "queued"
    box.simulate(do="plug")
    assert client.until(message_id, "delivered")


@pytest.mark.parametrize(
    ("device", "expected"), [(None, "NO_DEVICE_AVAILABLE"), ("device_1", "DEVICE_OFFLINE")]
)
def test_a_modem_offline_beyond_the_grace_period_is_503_except_for_scheduled_sends(
    own_box: Callable[..., RunningBox], device: str | None, expected: str
) -> None:
    box = own_box(sending_offline_grace_minutes="0")
    client = box.client()
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "online", "online")
    box.simulate(do="unplug")
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "offline", "offline")
    headers = {"X-Device-ID": device} if device else {}
    now = client.post("/sms/send", {"to": TO, "message": "x"}, headers=headers)
    assert code(now, 503) == expected
    later = {"to": TO, "message": "x", "scheduled_at": ahead(days=1)}
    assert client.post("/sms/send", later, headers=headers).status_code == 202


def test_a_quota_that_leaves_no_room_is_429(own_box: Callable[..., RunningBox]) -> None:
    day = billing_day()
    limits = {"limits_per_month": "2", "limits_billing_day": day}
    client = own_box(**limits, queue_lifetime_hours="1", time_zone="UTC").client()
    for _ in range(2):
        client.until(client.send(TO), "delivered")
    before = datetime.now(UTC)
    answer = send(client)
    after = datetime.now(UTC)
    assert code(answer, 429) == "QUOTA_EXCEEDED"
    wait = timedelta(seconds=int(answer.headers["Retry-After"]))
    # The lifetime of one that is taken then reaches into the next billing month.
    month = datetime.combine((after + wait + timedelta(hours=1)).date(), time(), UTC)
    assert month.day == int(day)
    earliest, latest = before + wait - timedelta(seconds=1), after + wait
    assert earliest <= month - timedelta(hours=1) <= latest
    scheduled = send(client, scheduled_at=ahead(minutes=10))
    assert code(scheduled, 429) == "QUOTA_EXCEEDED"
    assert "Retry-After" not in scheduled.headers, "its moment does not move: no wait helps"


def test_a_quota_of_the_day_names_the_day_that_has_room(
    own_box: Callable[..., RunningBox],
) -> None:
    limits = {"limits_per_day": "1", "limits_quiet_hours": "00:00-00:00"}
    zone = noon()
    client = own_box(**limits, queue_lifetime_hours="48", time_zone=zone).client()
    for _ in range(3):
        client.send(TO)
    before = datetime.now(UTC)
    answer = send(client)
    after = datetime.now(UTC)
    assert code(answer, 429) == "QUOTA_EXCEEDED"
    wait = timedelta(seconds=int(answer.headers["Retry-After"]))
    tomorrow = (after.astimezone(ZoneInfo(zone)) + timedelta(days=1)).date()
    midnight = datetime.combine(tomorrow, time(), ZoneInfo(zone))
    assert before + wait - timedelta(seconds=1) <= midnight <= after + wait


def test_estimated_delivery_includes_the_queue_and_the_limits(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box(limits_quiet_hours="00:00-00:00", limits_urgent_passes="1")
    client = box.client()
    result = send(client).json()
    midnight = datetime.fromisoformat(result["estimated_delivery"]).astimezone(
        ZoneInfo("Europe/Paris")
    )
    assert (midnight.hour, midnight.minute) == (0, 0), "when the quiet hours are over"
    urgent = send(client, priority=1).json()
    assert urgent["estimated_delivery"] < ahead(minutes=1), "it passes them"


def test_a_message_waits_for_its_lifetime_and_then_fails(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box(queue_lifetime_hours="0.0003")
    client = box.client()
    box.simulate(do="registration", stat=0)
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "offline", "offline")
    # The box looks for them once a minute.
    result = client.until(client.send(TO), "failed")
    assert result["error"]["code"] == "SMS_SEND_TIMEOUT"


def test_a_202_survives_a_power_cut_right_after_it(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    client = box.client()
    taken = [client.send(f"+3361234{n:04}", scheduled_at=ahead(days=1)) for n in range(20)]
    box.kill()
    client.url = box.start().url
    assert {client.status(message_id)["status"] for message_id in taken} == {"queued"}


# --- errors while sending ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "expected", "source"),
    [
        ("01", "NETWORK_ERROR", "TP-ST 65"),
        ("02", "SMS_SEND_TIMEOUT", "TP-ST 70"),
        ("06", "INVALID_NUMBER", "CMS 1"),
        ("08", "BLOCKED_NUMBER", "CMS 196"),
        ("15", "NETWORK_ERROR", "CMS 42"),
    ],
)
def test_a_failed_message_has_the_modem_s_error_code(
    shared: Client, ending: str, expected: str, source: str
) -> None:
    result = shared.until(shared.send(f"+336955501{ending}"), "failed")
    assert result["error"]["code"] == expected
    assert result["error"]["message"] and source in result["error"]["details"]
    assert result["failed_at"] and result["delivered_at"] is None


def test_a_temporary_error_is_retried(shared: Client) -> None:
    result = shared.until(shared.send("+33695550105"), "delivered")
    assert result["attempts"] == 2


def test_retry_attempts_limits_the_attempts(shared: Client) -> None:
    result = shared.until(shared.send("+33695550115", retry_attempts=2), "failed")
    assert result["attempts"] == 2
