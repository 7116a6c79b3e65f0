"""docs/api-contract.md, "Tracking": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.box.running import Client, RunningBox, code, eventually
from tests.box.when import ago, ahead, soon

TO = "+33612345678"


def history(client: Client, **query: object) -> dict[str, Any]:
    answer = client.get("/sms/history", params=query)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def ids(page: dict[str, Any]) -> list[str]:
    return [entry["message_id"] for entry in page["data"]]


# --- statuses ----------------------------------------------------------------------------------


def test_status_has_the_documented_fields_and_those_added(shared: Client) -> None:
    result = shared.until(shared.send(TO), "delivered")
    assert result.keys() >= {
        *("success", "message_id", "status", "to", "message", "priority", "created_at"),
        *("queued_at", "sent_at", "delivered_at", "metadata", "uncertain", "cancellable"),
        *("device_id", "scheduled_at", "failed_at", "cancelled_at", "parts", "attempts"),
        *("error", "batch_id"),
    }
    assert (result["uncertain"], result["cancellable"], result["error"]) == (False, False, None)
    assert (result["device_id"], result["parts"], result["attempts"]) == ("device_1", 1, 1)


@pytest.mark.parametrize("message_id", ["msg_0000000000000000", "msg_", "x", "1", "msg_é", "a b"])
def test_an_unknown_message_is_404_message_not_found(shared: Client, message_id: str) -> None:
    assert code(shared.get(f"/sms/status/{message_id}"), 404) == "MESSAGE_NOT_FOUND"
    assert code(shared.delete(f"/sms/{message_id}"), 404) == "MESSAGE_NOT_FOUND"


def test_a_message_is_sent_when_the_network_has_accepted_every_part(shared: Client) -> None:
    result = shared.until(shared.send("+33695550103", "x" * 300), "sent")
    assert (result["parts"], result["delivered_at"]) == (2, None)
    assert result["sent_at"]


def test_a_message_is_delivered_only_when_every_part_is(box: RunningBox, shared: Client) -> None:
    number = "+33612349911"
    box.simulate(do="report", to=number, hold=True)
    message_id = shared.send(number, "x" * 300)
    assert shared.until(message_id, "sent", "delivered")["status"] == "sent"
    box.simulate(do="release")
    assert shared.until(message_id, "delivered")["delivered_at"]


@pytest.mark.parametrize("status", [0x01, 0x02])
def test_a_report_of_forwarded_or_replaced_ends_the_wait_and_leaves_sent(
    box: RunningBox, shared: Client, status: int
) -> None:
    number = f"+3361234992{status}"
    box.simulate(do="report", to=number, status=[status])
    message_id = shared.send(number)
    follower = shared.send("+33612349929")
    shared.until(follower, "delivered")  # its report came after the other's
    assert shared.status(message_id)["status"] == "sent"


def test_a_permanently_failed_part_fails_the_message_and_drops_the_rest(
    box: RunningBox, shared: Client
) -> None:
    number = "+33612349931"
    box.simulate(do="send", to=number, cms=1)
    result = shared.until(shared.send(number, "x" * 400), "failed")
    assert result["error"]["code"] == "INVALID_NUMBER"
    assert [line for line in box.received() if line["recipient"] == number] == []


def test_a_report_that_proves_delivery_corrects_a_failure(box: RunningBox, client: Client) -> None:
    message_id = client.send("+33695550113")  # failed (62), then delivered after all
    result = client.until(message_id, "delivered")
    assert (result["failed_at"], result["error"]) == (None, None)
    counted = client.get("/sms/stats").json()["stats"]
    assert (counted["delivered"], counted["failed"]) == (1, 0)


def test_no_answer_after_submission_is_uncertain_and_a_late_report_settles_it(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    client = box.client()
    box.simulate(do="report", hold=True)
    box.simulate(do="send", at="taken", unplug=True, back_after=0.5)
    message_id = client.send(TO)
    doubtful = eventually(
        lambda: result if (result := client.status(message_id))["uncertain"] else None, "uncertain"
    )
    assert (doubtful["status"], doubtful["cancellable"]) == ("queued", False)
    assert code(client.delete(f"/sms/{message_id}"), 400) == "CANNOT_CANCEL_MESSAGE"
    client.until(client.send("+33698765432"), "delivered")  # the queue goes on meanwhile
    assert client.status(message_id)["uncertain"] is True
    box.simulate(do="release")
    result = client.until(message_id, "delivered")
    assert (result["uncertain"], bool(result["sent_at"])) == (False, True)
    assert len([line for line in box.received() if line["recipient"] == TO]) == 1


@pytest.mark.parametrize(("on_uncertain", "status"), [("fail", "failed"), ("resend", "delivered")])
def test_without_a_report_an_uncertain_message_ends_as_requested(
    own_box: Callable[..., RunningBox], on_uncertain: str, status: str
) -> None:
    box = own_box(sending_uncertain_window_seconds="1")
    client = box.client()
    box.simulate(do="send", at="body", unplug=True, back_after=0.5)
    result = client.until(client.send(TO, on_uncertain=on_uncertain), "failed", "delivered")
    assert result["status"] == status
    assert (result["error"] or {}).get("code") == (
        "SMS_SEND_TIMEOUT" if on_uncertain == "fail" else None
    )


# --- cancelling --------------------------------------------------------------------------------


def test_a_queued_message_is_cancelled(box: RunningBox, client: Client) -> None:
    message_id = client.send("+33612349951", scheduled_at=soon())
    assert client.status(message_id)["cancellable"] is True
    answer = client.delete(f"/sms/{message_id}")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "message": "SMS annulé avec succès",
            "message_id": message_id,
            "status": "cancelled",
        },
    )
    result = client.status(message_id)
    assert (result["status"], result["cancellable"]) == ("cancelled", False)
    assert result["cancelled_at"]
    client.until(client.send("+33612349952", scheduled_at=soon(1)), "delivered")
    assert not [line for line in box.received() if line["recipient"] == "+33612349951"]


def test_anything_but_a_queued_message_is_400_cannot_cancel(shared: Client) -> None:
    done = shared.send(TO)
    shared.until(done, "delivered")
    failed = shared.send("+33695550106")
    shared.until(failed, "failed")
    cancelled = shared.send(TO, scheduled_at=ahead(days=1))
    shared.delete(f"/sms/{cancelled}")
    for message_id in (done, failed, cancelled):
        assert code(shared.delete(f"/sms/{message_id}"), 400) == "CANNOT_CANCEL_MESSAGE"


# --- history -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(box: RunningBox) -> tuple[Client, dict[str, str]]:
    """A client with one message of each kind, oldest first."""
    client = box.client()
    made = {
        "delivered": client.send(TO, "Votre COMMANDE est prête, élève"),
        "failed": client.send("+33695550106", "perdu"),
        "sent": client.send("+33695550103", "en route"),
        "queued": client.send("+33698765432", "100 % demain_", scheduled_at=ahead(days=1)),
        "cancelled": client.send("+33698765432", "jamais", scheduled_at=ahead(days=1)),
    }
    client.delete(f"/sms/{made['cancelled']}")
    for name in ("delivered", "failed", "sent"):
        client.until(made[name], name)
    return client, made


Kept = tuple[Client, dict[str, str]]


def test_history_is_newest_first_with_every_field(kept: Kept) -> None:
    client, made = kept
    page = history(client)
    assert ids(page) == list(made.values())[::-1]
    assert page["data"][0].keys() >= {
        *("message_id", "status", "to", "message", "sent_at", "delivered_at", "created_at"),
        *("scheduled_at", "failed_at", "priority", "device_id", "metadata", "parts", "error"),
    }
    assert page["pagination"] == {
        "current_page": 1,
        "per_page": 50,
        "total_pages": 1,
        "total_items": 5,
        "total_exact": True,
    }


def test_history_is_divided_into_pages(kept: Kept) -> None:
    client, made = kept
    pages = [history(client, limit=2, page=n) for n in (1, 2, 3, 4)]
    assert [m for page in pages for m in ids(page)] == list(made.values())[::-1]
    assert [len(page["data"]) for page in pages] == [2, 2, 1, 0]
    assert pages[2]["pagination"]["total_pages"] == 3


@pytest.mark.parametrize("status", ["queued", "sent", "delivered", "failed", "cancelled"])
def test_the_status_filter_accepts_all_five_statuses(kept: Kept, status: str) -> None:
    client, made = kept
    page = history(client, status=status)
    assert ids(page) == [made[status]]
    assert page["pagination"]["total_items"] == 1


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"page": 0}, {"page": -1}, {"page": "1.5"}),
        *({"status": "pending"}, {"from_date": "yesterday"}, {"to_date": "2025-02-30"}),
        {"from_date": "2025-02-01", "to_date": "2025-01-31"},
    ],
)
def test_a_wrong_filter_is_400_invalid_request(shared: Client, query: dict[str, object]) -> None:
    assert code(shared.get("/sms/history", params=query), 400) == "INVALID_REQUEST"


@pytest.mark.parametrize("page", [10**6, 10**12])
def test_a_page_beyond_the_last_is_empty(kept: Kept, page: int) -> None:
    assert history(kept[0], page=page)["data"] == []


def test_to_tolerates_a_plus_that_arrived_as_a_space(kept: Kept) -> None:
    client, made = kept
    for written in ("%2B33612345678", "+33612345678", "%2B33%206%2012%2034%2056%2078"):
        page = client.get(f"/sms/history?to={written}").json()
        assert ids(page) == [made["delivered"]]


def test_dates_may_be_plain_days_and_a_plain_to_date_includes_its_day(kept: Kept) -> None:
    client, made = kept
    day = client.status(made["delivered"])["created_at"][:10]
    next_day = str(datetime.fromisoformat(day).date() + timedelta(days=1))
    assert len(ids(history(client, from_date=day, to_date=next_day))) == 5
    assert made["delivered"] in ids(history(client, to_date=day))
    assert ids(history(client, from_date="2020-01-01", to_date="2020-12-31")) == []


def test_to_date_includes_its_whole_second(kept: Kept) -> None:
    client, made = kept
    moment = client.status(made["delivered"])["created_at"]
    assert made["delivered"] in ids(history(client, from_date=moment, to_date=moment))
    before = (datetime.fromisoformat(moment) - timedelta(seconds=1)).isoformat()
    assert made["delivered"] not in ids(history(client, to_date=before))


def test_dates_may_carry_an_offset(kept: Kept) -> None:
    client, _ = kept
    hour_ago = datetime.fromisoformat(ago(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert len(ids(history(client, from_date=f"{hour_ago}+00:00"))) == 5
    assert ids(history(client, from_date=f"{hour_ago}-05:00")) == []


@pytest.mark.parametrize(
    ("search", "found"),
    [
        *(("commande", "delivered"), ("COMMANDE", "delivered"), ("pret", "delivered")),
        *(("eleve", "delivered"), ("é", "delivered"), ("mmand", "delivered"), ("0 % d", "queued")),
        *(("n_", "queued"), ("perdu", "failed"), ("EN ROUTE", "sent"), ("j", "cancelled")),
    ],
)
def test_search_finds_any_substring_whatever_the_case_and_the_accents(
    kept: Kept, search: str, found: str
) -> None:
    client, made = kept
    page = history(client, search=search)
    assert made[found] in ids(page)
    assert page["pagination"]["total_items"] == len(page["data"])


@pytest.mark.parametrize("search", ["%", "_x", "rien", '"', "'", "*", "commande perdu", "OR", "\\"])
def test_search_treats_every_character_literally(kept: Kept, search: str) -> None:
    client, made = kept
    expected = [made["queued"]] if search == "%" else []
    assert ids(history(client, search=search)) == expected


def test_filters_can_be_combined(kept: Kept) -> None:
    client, made = kept
    page = history(client, status="delivered", to=TO, search="commande", device_id="device_1")
    assert ids(page) == [made["delivered"]]
    assert ids(history(client, status="failed", search="commande")) == []
    assert ids(history(client, device_id="device_999")) == []


# --- statistics --------------------------------------------------------------------------------


def test_statistics_count_finished_messages_by_current_status(kept: Kept) -> None:
    client, _ = kept
    result = client.get("/sms/stats").json()
    assert result["stats"] | {"by_day": []} == {
        "total_sent": 3,
        "delivered": 1,
        "failed": 1,
        "pending": 1,
        "delivery_rate": 33.33,
        "by_day": [],
        "by_day_truncated": False,
    }


def test_statistics_list_every_day_of_the_last_thirty_zeros_included(kept: Kept) -> None:
    client, _ = kept
    result = client.get("/sms/stats").json()
    days = result["stats"]["by_day"]
    assert len(days) == 30
    assert days[0]["date"] == result["period"]["from"][:10]
    assert days[-1]["date"] == result["period"]["to"][:10]
    assert days[0] == days[0] | {"sent": 0, "delivered": 0, "failed": 0}
    assert sum(day["sent"] for day in days) == 3


def test_a_period_is_answered_as_it_was_asked(kept: Kept) -> None:
    client, _ = kept
    query = {"from_date": "2025-01-01T00:00:00Z", "to_date": "2025-01-31T23:59:59Z"}
    result = client.get("/sms/stats", params=query).json()
    assert result["period"] == {"from": query["from_date"], "to": query["to_date"]}
    assert result["stats"]["delivery_rate"] == 0
    assert [day["date"] for day in result["stats"]["by_day"]] == [
        f"2025-01-{day:02}" for day in range(1, 32)
    ]


def test_beyond_366_days_the_last_366_are_listed(kept: Kept) -> None:
    client, _ = kept
    tomorrow = str((datetime.now(UTC) + timedelta(days=1)).date())
    query = {"from_date": "2001-01-01", "to_date": tomorrow}
    result = client.get("/sms/stats", params=query).json()["stats"]
    assert (len(result["by_day"]), result["by_day_truncated"]) == (366, True)
    assert (result["total_sent"], result["by_day"][-1]["date"]) == (3, tomorrow)


def test_statistics_accept_very_long_and_empty_periods(shared: Client) -> None:
    for query in (
        {"from_date": "0001-01-01", "to_date": "9999-12-31"},
        {"from_date": "9999-12-31"},
        {"to_date": "0001-01-01"},
    ):
        assert shared.get("/sms/stats", params=query).status_code == 200, query


def test_the_first_days_of_the_calendar_are_written_as_all_others(shared: Client) -> None:
    query = {"from_date": "0001-01-01", "to_date": "0001-01-02"}
    days = shared.get("/sms/stats", params=query).json()["stats"]["by_day"]
    assert [day["date"] for day in days] == ["0001-01-01", "0001-01-02"]


def test_device_id_filters_statistics_too(kept: Kept) -> None:
    client, _ = kept
    ours = client.get("/sms/stats?device_id=device_1").json()["stats"]
    assert ours["total_sent"] == 3
    other = client.get("/sms/stats?device_id=device_999").json()["stats"]
    assert (other["total_sent"], other["delivery_rate"]) == (0, 0)


@pytest.mark.parametrize("query", ["from_date=x", "from_date=2025-02-01&to_date=2025-01-01"])
def test_a_wrong_period_is_400_invalid_request(shared: Client, query: str) -> None:
    assert code(shared.get(f"/sms/stats?{query}"), 400) == "INVALID_REQUEST"


# --- export ------------------------------------------------------------------------------------


def test_csv_has_all_pages_newest_first(kept: Kept) -> None:
    client, made = kept
    answer = client.get("/sms/export?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    assert [row["message_id"] for row in rows] == list(made.values())[::-1]
    assert {row["to"] for row in rows} == {TO, "+33695550106", "+33695550103", "+33698765432"}


def test_jsonl_has_the_filters_of_the_history(kept: Kept) -> None:
    client, made = kept
    answer = client.get("/sms/export?format=jsonl&status=failed")
    (line,) = answer.content.decode().splitlines()
    assert json.loads(line)["message_id"] == made["failed"]
    assert code(client.get("/sms/export?format=pdf"), 400) == "INVALID_REQUEST"
    assert code(client.get("/sms/export?status=pending"), 400) == "INVALID_REQUEST"


def test_more_than_one_batch_is_exported_whole(client: Client) -> None:
    entries = [{"to": f"+3361203{n:04}", "message": f"={n}+1"} for n in range(1000)]
    client.post("/sms/send-bulk", {"messages": entries, "scheduled_at": ahead(days=1)})
    client.post("/sms/send-bulk", {"messages": entries, "scheduled_at": ahead(days=1)})
    text = client.get("/sms/export").content.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len({row["message_id"] for row in rows}) == len(rows) == 2000
    assert all(row["message"].startswith("'=") for row in rows)
