"""Every answer has the fields that the contract names, with the values the gateway gave."""

import asyncio
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.core.config import WebhookSettings
from modem.interface import Limitation
from tests.receiver import Receiver, answer, close
from tests.web.box import TO, WebBox

HISTORY = {
    *("message_id", "status", "to", "message", "sent_at", "delivered_at", "created_at"),
    *("scheduled_at", "failed_at", "priority", "device_id", "metadata", "parts", "error"),
}
STATUS = HISTORY | {"queued_at", "uncertain", "cancellable", "cancelled_at", "attempts", "batch_id"}


async def send(api: httpx.AsyncClient, **more: object) -> dict[str, Any]:
    answer = await api.post("/v1/sms/send", json={"to": TO, "message": "Bonjour", **more})
    assert answer.status_code == 202
    body: dict[str, Any] = answer.json()
    return body


async def test_send(api: httpx.AsyncClient) -> None:
    result = await send(api, priority="urgent", scheduled_at="2025-01-15T12:30:00+01:00")
    message_id = result["message_id"]
    assert re.fullmatch("msg_[0-9a-f]{16}", message_id)
    assert result == {
        "success": True,
        "message_id": message_id,
        "status": "queued",
        "to": TO,
        "queued_at": "2025-01-15T10:30:00Z",
        "estimated_delivery": "2025-01-15T11:30:04Z",
        "scheduled_at": "2025-01-15T11:30:00Z",
        "priority": "urgent",
        "device_id": "device_1",
        "parts": 1,
        "encoding": "GSM-7",
    }


async def test_a_bulk_to_recipients(api: httpx.AsyncClient) -> None:
    body = {"recipients": [TO, "nobody", "+33 6 12 34 56 78", "+33698765432"], "message": "x"}
    answer = await api.post("/v1/sms/send-bulk", json=body)
    assert answer.status_code == 202
    result = answer.json()
    first, second = result["message_ids"]
    assert first != second
    assert re.fullmatch("batch_[0-9a-f]{12}", result["batch_id"])
    error = result["messages"][1].pop("error")
    assert error["code"] == "INVALID_PHONE_NUMBER" and error["message"]
    assert result == {
        "success": True,
        "batch_id": result["batch_id"],
        "total_recipients": 4,
        "total_messages": 3,
        "queued_messages": 2,
        "failed_messages": 1,
        "message_ids": [first, second],
        "messages": [
            {"message_id": first, "to": TO, "status": "queued"},
            {"message_id": None, "to": "nobody", "status": "failed"},
            {"message_id": first, "to": TO, "status": "queued"},
            {"message_id": second, "to": "+33698765432", "status": "queued"},
        ],
        "queued_at": "2025-01-15T10:30:00Z",
    }


async def test_a_personalized_bulk_is_the_second_form(api: httpx.AsyncClient) -> None:
    body = {"messages": [{"to": TO, "message": "a"}, {"to": TO, "message": "b"}]}
    for path in ("/v1/sms/send-bulk", "/v1/sms/send-bulk-personalized"):
        result = (await api.post(path, json=body)).json()
        assert (result["total_recipients"], result["queued_messages"]) == (2, 2)
        assert len(set(result["message_ids"])) == 2


async def test_a_bulk_of_which_nothing_can_go_is_the_first_entrys_error(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.post("/v1/sms/send-bulk", json={"recipients": ["x"], "message": "m"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_PHONE_NUMBER")


async def test_status_has_the_documented_fields_and_those_added(api: httpx.AsyncClient) -> None:
    sent = await send(api, metadata={"order_id": "order_12345"})
    result = (await api.get(f"/v1/sms/status/{sent['message_id']}")).json()
    assert result.keys() == STATUS | {"success"}
    assert result["success"] is True
    assert (result["status"], result["to"], result["message"]) == ("queued", TO, "Bonjour")
    assert (result["priority"], result["metadata"]) == ("normal", {"order_id": "order_12345"})
    assert (result["created_at"], result["sent_at"]) == ("2025-01-15T10:30:00Z", None)


async def test_history_is_in_data_with_its_pagination(api: httpx.AsyncClient) -> None:
    first, *_ = [await send(api) for _ in range(3)]
    result = (await api.get("/v1/sms/history?limit=2&page=2")).json()
    assert result.keys() == {"success", "data", "pagination"}
    assert [entry["message_id"] for entry in result["data"]] == [first["message_id"]]
    assert result["data"][0].keys() >= HISTORY
    assert result["pagination"] == {
        "current_page": 2,
        "per_page": 2,
        "total_pages": 2,
        "total_items": 3,
        "total_exact": True,
    }


async def test_an_empty_history_has_no_pages(api: httpx.AsyncClient) -> None:
    result = (await api.get("/v1/sms/history")).json()
    assert result["data"] == []
    assert (result["pagination"]["total_pages"], result["pagination"]["per_page"]) == (0, 50)


async def test_statistics(api: httpx.AsyncClient, box: WebBox) -> None:
    for _ in range(3):
        await send(api)
    await box.deliver_next()
    await box.deliver_next()
    await box.fail_next()
    await send(api)
    result = (await api.get("/v1/sms/stats?from_date=2025-01-14&to_date=2025-01-15")).json()
    assert result == {
        "success": True,
        "period": {"from": "2025-01-14T00:00:00Z", "to": "2025-01-15T23:59:59Z"},
        "stats": {
            "total_sent": 3,
            "delivered": 2,
            "failed": 1,
            "pending": 1,
            "delivery_rate": 66.67,
            "by_day": [
                {"date": "2025-01-14", "sent": 0, "delivered": 0, "failed": 0},
                {"date": "2025-01-15", "sent": 3, "delivered": 2, "failed": 1},
            ],
            "by_day_truncated": False,
        },
    }


async def test_statistics_of_the_last_thirty_days(api: httpx.AsyncClient) -> None:
    result = (await api.get("/v1/sms/stats")).json()
    assert result["period"] == {"from": "2024-12-17T00:00:00Z", "to": "2025-01-15T10:30:00Z"}


async def test_cancel_in_both_languages(api: httpx.AsyncClient) -> None:
    message_id = (await send(api))["message_id"]
    result = (await api.delete(f"/v1/sms/{message_id}")).json()
    assert result == {
        "success": True,
        "message": "SMS annulé avec succès",
        "message_id": message_id,
        "status": "cancelled",
    }
    path = f"/v1/sms/{(await send(api))['message_id']}"
    result = (await api.delete(path, headers={"Accept-Language": "en"})).json()
    assert result["message"] == "SMS cancelled successfully"


async def test_auth_test_and_devices(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/auth/test")).json() == {
        "success": True,
        "message": "Authentification réussie",
        "client_id": "client_1",
        "device_id": "device_1",
        "device_status": "online",
    }
    assert (await api.get("/v1/devices")).json() == {
        "success": True,
        "devices": [
            {
                "device_id": "device_1",
                "name": "HAT",
                "status": "online",
                "state": "ready",
                "operator": "Orange F",
                "technology": "LTE",
                "signal": -71,
                "phone_number": "+33600000000",
                "since": "2025-01-15T10:30:00Z",
                "limitations": [],
            }
        ],
    }


async def test_devices_say_what_the_modem_cannot_do(api: httpx.AsyncClient, box: WebBox) -> None:
    box.limit(Limitation.NO_STORAGE, Limitation.NO_REPORTS)
    (device,) = (await api.get("/v1/devices")).json()["devices"]
    assert device["limitations"] == ["no_reports", "no_storage"]
    box.limit()
    (device,) = (await api.get("/v1/devices")).json()["devices"]
    assert device["limitations"] == []


async def test_a_one_time_code(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/sms/send-otp", json={"to": TO, "code_length": 4, "expiry": 60})
    assert answer.status_code == 202
    result = answer.json()
    assert re.fullmatch("otp_[0-9a-f]{12}", result["otp_id"])
    assert result == {
        "success": True,
        "otp_id": result["otp_id"],
        "to": TO,
        "expires_at": "2025-01-15T10:31:00Z",
        "message_id": result["message_id"],
        "status": "queued",
        "phone_masked": "+336****5678",
        "code_length": 4,
    }


async def test_a_code_is_right_or_wrong(api: httpx.AsyncClient, box: WebBox) -> None:
    made = (await api.post("/v1/sms/send-otp", json={"to": TO})).json()
    body = {"otp_id": made["otp_id"], "code": "abc"}
    wrong = await api.post("/v1/sms/verify-otp", json=body)
    assert (wrong.status_code, wrong.json()) == (
        200,
        {"success": True, "valid": False, "message": "Code incorrect", "attempts_remaining": 2},
    )
    body["code"] = await box.code_of(made["message_id"])
    right = await api.post("/v1/sms/verify-otp", json=body)
    assert (right.status_code, right.json()) == (
        200,
        {
            "success": True,
            "valid": True,
            "message": "Code vérifié avec succès",
            "verified_at": "2025-01-15T10:30:00Z",
        },
    )


async def test_webhooks(api: httpx.AsyncClient) -> None:
    body = {"url": "https://example.com/", "events": ["sms.sent"], "secret": "own"}
    answer = await api.post("/v1/webhooks/configure", json=body)
    assert answer.status_code == 200
    made = answer.json()
    assert (made["webhook_id"], made["secret"], made["status"]) == ("wh_1", "own", "active")
    listed = (await api.get("/v1/webhooks")).json()["webhooks"]
    assert listed[0].keys() == {"webhook_id", "url", "events", "status", "created_at"}
    removed = await api.delete("/v1/webhooks/wh_1")
    assert (removed.status_code, removed.content) == (204, b"")


@pytest.mark.parametrize("status", [200, 500, None])
async def test_a_webhook_test_tells_what_the_receiver_said(
    tmp_path: Path, status: int | None
) -> None:
    box = await WebBox.start(tmp_path, webhook=WebhookSettings(allow_loopback=True))
    receiver = await Receiver().start()
    receiver.otherwise = close if status is None else answer(status)
    async with httpx.AsyncClient(
        transport=box.transport(), base_url="http://box", headers=box.headers
    ) as api:
        body = {"url": receiver.url(), "events": ["sms.sent"]}
        hook = (await api.post("/v1/webhooks/configure", json=body)).json()["webhook_id"]
        tested = await api.post(f"/v1/webhooks/{hook}/test")
        assert tested.status_code == 200
        assert tested.json()["response_status"] == status
        assert tested.json()["message"]
        (log,) = (await api.get("/v1/webhooks/logs")).json()["logs"]
        assert log.keys() >= {
            *("log_id", "webhook_id", "event", "url", "response_status", "response_time_ms"),
            *("success", "attempt", "timestamp"),
        }
        replayed = await api.post(f"/v1/webhooks/logs/{log['log_id']}/replay")
        assert (replayed.status_code, replayed.json()["event_id"]) == (202, log["event_id"])
    await receiver.stop()
    await box.stop()


async def test_a_number_that_is_blocked_meanwhile_is_not_called_the_owners(
    api: httpx.AsyncClient,
) -> None:
    """Requests share a commit: a removal finds nothing, and then the number is blocked."""
    numbers = [f"+336987654{k:02}" for k in range(20)]
    statuses = await asyncio.gather(
        *(_status(api.delete(f"/v1/blocklist/{number}")) for number in numbers),
        *(_status(api.post("/v1/blocklist", json={"number": number})) for number in numbers),
    )
    assert set(statuses[:20]) <= {204, 404}
    assert set(statuses[20:]) == {200}


async def _status(request: Awaitable[httpx.Response]) -> int:
    return (await request).status_code


async def test_inbox_and_block_list(api: httpx.AsyncClient, box: WebBox) -> None:
    await box.receive(TO, "STOP")
    received = (await api.get("/v1/sms/inbox")).json()
    assert received["data"][0] == {
        "inbox_id": received["data"][0]["inbox_id"],
        "from": TO,
        "message": "STOP",
        "received_at": "2025-01-15T10:30:00Z",
        "device_id": "device_1",
        "incomplete": False,
    }
    listed = (await api.get("/v1/blocklist")).json()["blocklist"]
    assert (listed[0]["number"], listed[0]["source"]) == (TO, "stop")
    added = await api.post("/v1/blocklist", json={"number": "+33 698765432", "reason": "x"})
    assert (added.status_code, added.json()["number"]) == (200, "+33698765432")
    for written in ("+33612345678", "%2B33698765432"):
        removed = await api.delete(f"/v1/blocklist/{written}")
        assert (removed.status_code, removed.content) == (204, b"")
    unknown = await api.delete("/v1/blocklist/+33611111111")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_health_says_nothing_personal(api: httpx.AsyncClient) -> None:
    result = (await api.get("/health")).json()
    assert (result["success"], result["status"]) == (True, "ok")
    assert "+33600000000" not in str(result)


async def test_every_success_says_so(api: httpx.AsyncClient) -> None:
    for path in ("sms/history", "sms/stats", "auth/test", "devices", "webhooks", "sms/inbox"):
        assert (await api.get(f"/v1/{path}")).json()["success"] is True
