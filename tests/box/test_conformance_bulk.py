"""docs/api-contract.md, "Bulk" and "Resend": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.box.running import Client, RunningBox, code, eventually
from tests.box.when import ahead, billing_day, noon

pytestmark = pytest.mark.seconds(15)

ONE, TWO = "+33612345678", "+33698765432"
BULK, PERSONALIZED = "/sms/send-bulk", "/sms/send-bulk-personalized"


def test_recipients_with_one_message_are_202_with_every_field(client: Client) -> None:
    answer = client.post(BULK, {"recipients": [ONE, TWO], "message": "x", "metadata": {"a": 1}})
    assert answer.status_code == 202
    result = answer.json()
    assert result.keys() >= {
        *("success", "batch_id", "total_recipients", "total_messages", "queued_messages"),
        *("failed_messages", "message_ids", "messages", "queued_at"),
    }
    assert (result["total_recipients"], result["total_messages"]) == (2, 2)
    assert (result["queued_messages"], result["failed_messages"]) == (2, 0)
    first, second = result["message_ids"]
    assert result["messages"] == [
        {"message_id": first, "to": ONE, "status": "queued"},
        {"message_id": second, "to": TWO, "status": "queued"},
    ]
    status = client.status(second)
    assert (status["batch_id"], status["metadata"]) == (result["batch_id"], {"a": 1})


@pytest.mark.parametrize("path", [BULK, PERSONALIZED])
def test_messages_with_their_own_texts_priorities_and_metadata(client: Client, path: str) -> None:
    result = client.post(
        path,
        {
            "messages": [
                {"to": ONE, "message": "a", "priority": "urgent", "metadata": {"n": 1}},
                {"to": TWO, "message": "b"},
            ],
            "priority": 5,
            "metadata": {"common": True},
        },
    ).json()
    first, second = (client.status(message_id) for message_id in result["message_ids"])
    assert (first["message"], first["priority"], first["metadata"]) == ("a", "urgent", {"n": 1})
    assert (second["message"], second["priority"]) == ("b", "bulk")
    assert second["metadata"] == {"common": True}


def test_a_bulk_may_be_scheduled(client: Client) -> None:
    due = ahead(days=1)
    result = client.post(BULK, {"recipients": [ONE], "message": "x", "scheduled_at": due}).json()
    assert client.status(result["message_ids"][0])["scheduled_at"] == due


def test_more_than_100_recipients_are_400_too_many_recipients(shared: Client) -> None:
    numbers = [f"+3361200{n:04}" for n in range(101)]
    answer = shared.post(BULK, {"recipients": numbers, "message": "x"})
    assert code(answer, 400) == "TOO_MANY_RECIPIENTS"


@pytest.mark.parametrize("path", [BULK, PERSONALIZED])
def test_more_than_1000_messages_are_400_too_many_recipients(shared: Client, path: str) -> None:
    entry = {"to": ONE, "message": "x"}
    answer = shared.post(path, {"messages": [entry] * 1001})
    assert code(answer, 400) == "TOO_MANY_RECIPIENTS"


def test_a_batch_of_1000_is_accepted(client: Client) -> None:
    entries = [{"to": f"+3361201{n:04}", "message": f"Nr {n}"} for n in range(1000)]
    result = client.post(BULK, {"messages": entries, "scheduled_at": ahead(days=1)}).json()
    assert result["queued_messages"] == len(set(result["message_ids"])) == 1000


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"message": "x"}, {"recipients": [], "message": "x"}, {"messages": []}),
        *({"recipients": [ONE]}, {"recipients": ONE, "message": "x"}, {"messages": {}}),
        {"recipients": [ONE], "message": "x", "messages": [{"to": ONE, "message": "x"}]},
    ],
)
def test_a_bulk_of_neither_form_is_400_invalid_request(
    shared: Client, body: dict[str, object]
) -> None:
    assert code(shared.post(BULK, body), 400) == "INVALID_REQUEST"


def test_a_refused_entry_is_reported_at_its_index_and_the_others_are_accepted(
    client: Client,
) -> None:
    client.post("/blocklist", {"number": TWO})
    entries: list[object] = [
        {"to": "0612", "message": "x"},
        {"to": ONE, "message": "x"},
        {"to": TWO, "message": "x"},
        {"to": ONE, "message": "x" * 1601},
        {"to": ONE},
        "nonsense",
    ]
    answer = client.post(BULK, {"messages": entries})
    assert answer.status_code == 202
    result = answer.json()
    assert [entry["status"] for entry in result["messages"]] == [
        "failed",
        "queued",
        *["failed"] * 4,
    ]
    assert [entry.get("error", {}).get("code") for entry in result["messages"]] == [
        *("INVALID_PHONE_NUMBER", None, "BLOCKED_NUMBER", "MESSAGE_TOO_LONG"),
        *("INVALID_REQUEST", "INVALID_REQUEST"),
    ]
    assert all(entry["error"]["message"] for entry in result["messages"] if "error" in entry)
    assert (result["queued_messages"], result["failed_messages"]) == (1, 5)


def test_if_no_entry_is_accepted_the_first_error_has_its_own_status(client: Client) -> None:
    client.post("/blocklist", {"number": ONE})
    bad = [{"to": ONE, "message": "x"}, {"to": "0612", "message": "x"}]
    assert code(client.post(BULK, {"messages": bad}), 403) == "BLOCKED_NUMBER"
    assert code(client.post(BULK, {"messages": bad[::-1]}), 400) == "INVALID_PHONE_NUMBER"
    assert client.get("/sms/history").json()["pagination"]["total_items"] == 0


def test_the_same_number_twice_in_recipients_is_sent_once(client: Client) -> None:
    result = client.post(
        BULK, {"recipients": [ONE, TWO, "+33 6 12 34 56 78"], "message": "x"}
    ).json()
    first, _, again = result["messages"]
    assert first["message_id"] == again["message_id"]
    assert (result["total_recipients"], result["queued_messages"]) == (3, 2)
    assert client.get("/sms/history").json()["pagination"]["total_items"] == 2


def test_the_same_idempotency_key_makes_one_batch(client: Client) -> None:
    body = {"recipients": [ONE, "0612"], "message": "x"}
    first, again = (
        client.post(BULK, body, headers={"Idempotency-Key": "b"}).json() for _ in range(2)
    )
    assert first == again
    assert client.get("/sms/history").json()["pagination"]["total_items"] == 1


def test_a_bulk_beyond_the_limits_of_the_day_says_how_many_go_now(
    own_box: Callable[..., RunningBox],
) -> None:
    settings = {"limits_per_day": "3", "queue_lifetime_hours": "48", "time_zone": noon()}
    client = own_box(**settings).client()
    client.until(client.send(ONE), "delivered")
    numbers = [f"+3361202{n:04}" for n in range(4)]
    result = client.post(BULK, {"recipients": numbers, "message": "x"}).json()
    assert result["queued_messages"] == 4
    assert result["sendable_now"] == 2
    assert result["rest_from"] > result["queued_at"]


def test_entries_beyond_the_monthly_cap_are_refused(
    own_box: Callable[..., RunningBox],
) -> None:
    limits = {"limits_per_month": "3", "limits_billing_day": billing_day()}
    client = own_box(**limits, queue_lifetime_hours="1").client()
    two_parts = "x" * 200
    result = client.post(BULK, {"messages": [{"to": ONE, "message": two_parts}] * 2}).json()
    assert [m.get("error", {}).get("code") for m in result["messages"]] == [None, "QUOTA_EXCEEDED"]
    assert result["sendable_now"] == 1
    assert result["rest_from"] > result["queued_at"]


def test_the_cap_on_recipients_counts_numbers_and_not_messages(
    own_box: Callable[..., RunningBox],
) -> None:
    client = own_box(
        limits_recipients_per_month="1",
        limits_billing_day=billing_day(),
        limits_quiet_hours="00:00-00:00",
        queue_lifetime_hours="1",
    ).client()
    entries = [{"to": to, "message": "x"} for to in (ONE, ONE, TWO)]
    result = client.post(BULK, {"messages": entries}).json()
    assert [m.get("error", {}).get("code") for m in result["messages"]] == [
        *(None, None, "QUOTA_EXCEEDED"),
    ]
    assert client.post("/sms/send", {"to": ONE, "message": "x"}).status_code == 202
    assert code(client.post("/sms/send", {"to": TWO, "message": "x"}), 429) == "QUOTA_EXCEEDED"


def test_scheduled_messages_do_not_count_against_today(
    own_box: Callable[..., RunningBox],
) -> None:
    client = own_box(limits_per_day="2").client()
    for days in (7, 8, 9, 10, 11):
        client.send(ONE, scheduled_at=ahead(days=days))
    client.until(client.send(TWO), "delivered")


def test_scheduled_messages_count_against_the_caps_of_their_day(
    own_box: Callable[..., RunningBox],
) -> None:
    client = own_box(limits_per_day="2", time_zone="UTC").client()
    day = datetime.now(UTC).date() + timedelta(days=10)
    at = f"{day}T10:00:00Z"
    entries = [{"to": f"+3361203{n:04}", "message": "x"} for n in range(6)]
    result = client.post(BULK, {"messages": entries, "scheduled_at": at}).json()
    # Two on that day, two on the next; the others would not have gone after their 24 hours.
    assert [m.get("error", {}).get("code") for m in result["messages"]] == [
        *(None, None, None, None, "QUOTA_EXCEEDED", "QUOTA_EXCEEDED"),
    ]
    assert (result["sendable_now"], result["rest_from"]) == (
        2,
        f"{day + timedelta(days=1)}T00:00:00Z",
    )
    one_more = {"to": ONE, "message": "x"}
    answer = client.post("/sms/send", {**one_more, "scheduled_at": at})
    assert code(answer, 429) == "QUOTA_EXCEEDED"
    for free in (ahead(days=5), ahead(days=20)):
        assert client.send(ONE, scheduled_at=free)
    client.until(client.send(TWO), "delivered")


def test_a_batch_scheduled_in_quiet_hours_returns_when_they_end(
    own_box: Callable[..., RunningBox],
) -> None:
    client = own_box(limits_quiet_hours="10:00-11:00", time_zone="UTC").client()
    day = datetime.now(UTC).date() + timedelta(days=10)
    body = {"recipients": [ONE], "message": "x", "scheduled_at": f"{day}T10:30:00Z"}
    result = client.post(BULK, body).json()
    assert (result["sendable_now"], result["rest_from"]) == (0, f"{day}T11:00:00Z")
    result = client.post(BULK, {**body, "scheduled_at": f"{day}T09:30:00Z"}).json()
    assert "sendable_now" not in result


def test_in_quiet_hours_priority_1_is_sent_if_configured(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box(limits_quiet_hours="00:00-00:00", limits_urgent_passes="1")
    client = box.client()
    entries = [
        {"to": ONE, "message": "urgent", "priority": 1},
        {"to": TWO, "message": "normal"},
    ]
    result = client.post(BULK, {"messages": entries}).json()
    assert (result["queued_messages"], result["sendable_now"]) == (2, 1)
    assert result["rest_from"] > result["queued_at"]
    urgent, normal = result["message_ids"]
    client.until(urgent, "delivered")
    assert client.status(normal)["status"] == "queued"


# --- resend ------------------------------------------------------------------------------------


def test_a_failed_message_goes_back_into_the_queue_under_its_own_id(
    box: RunningBox, client: Client
) -> None:
    number = "+33612349901"
    box.simulate(do="send", to=number, cms=1)
    message_id = client.send(number, "x" * 200)
    assert client.until(message_id, "failed")["error"]["code"] == "INVALID_NUMBER"
    answer = client.post(f"/sms/{message_id}/resend")
    assert answer.status_code == 202
    assert answer.json() == {"success": True, "message_id": message_id, "status": "queued"}
    result = client.until(message_id, "delivered")
    assert (result["error"], result["failed_at"]) == (None, None)
    parts = [line for line in box.received() if line["recipient"] == number]
    assert "".join(part["text"] for part in parts) == "x" * 200


def test_a_resend_has_the_errors_of_a_send(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box(sending_offline_grace_minutes="0", queue_max_waiting="1")
    client = box.client()
    failed = client.send("+33695550106")
    client.until(failed, "failed")
    again = f"/sms/{failed}/resend"
    client.post("/blocklist", {"number": "+33695550106"})
    assert code(client.post(again), 403) == "BLOCKED_NUMBER"
    client.delete("/blocklist/%2B33695550106")
    waiting = client.send(ONE, scheduled_at=ahead(days=1))
    assert code(client.post(again), 429) == "QUEUE_FULL"
    client.delete(f"/sms/{waiting}")
    box.simulate(do="unplug")
    eventually(lambda: client.get("/auth/test").json()["device_status"] == "offline", "offline")
    assert code(client.post(again), 503) == "NO_DEVICE_AVAILABLE"
    named = client.post(again, headers={"X-Device-ID": "device_1"})
    assert code(named, 503) == "DEVICE_OFFLINE"
    assert client.status(failed)["status"] == "failed"


def test_anything_but_a_failed_message_is_400_cannot_resend(shared: Client) -> None:
    waiting = shared.send(ONE, scheduled_at=ahead(days=1))
    assert code(shared.post(f"/sms/{waiting}/resend"), 400) == "CANNOT_RESEND_MESSAGE"
    shared.delete(f"/sms/{waiting}")
    assert code(shared.post(f"/sms/{waiting}/resend"), 400) == "CANNOT_RESEND_MESSAGE"
    done = shared.send(ONE)
    shared.until(done, "delivered")
    assert code(shared.post(f"/sms/{done}/resend"), 400) == "CANNOT_RESEND_MESSAGE"


def test_a_one_time_code_is_never_resent(shared: Client) -> None:
    made = shared.post("/sms/send-otp", {"to": "+33695550106"}).json()
    shared.until(made["message_id"], "failed")
    answer = shared.post(f"/sms/{made['message_id']}/resend")
    assert code(answer, 400) == "CANNOT_RESEND_MESSAGE"


def test_an_unknown_message_cannot_be_resent(shared: Client) -> None:
    answer = shared.post("/sms/msg_0000000000000000/resend")
    assert code(answer, 404) == "MESSAGE_NOT_FOUND"
