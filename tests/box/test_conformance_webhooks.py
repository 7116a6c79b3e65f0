"""docs/api-contract.md, "Webhooks": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.box.listening import Call, Listener, listening
from tests.box.running import Client, RunningBox, code, eventually
from tests.box.when import ahead

pytestmark = pytest.mark.seconds(15)

TO = "+33612345678"
ALL = [
    *("sms.sent", "sms.delivered", "sms.failed", "sms.received", "sms.cancelled"),
    *("device.connected", "device.disconnected"),
]
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def hook() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def configure(client: Client, url: str, *events: str, **more: object) -> dict[str, Any]:
    answer = client.post("/webhooks/configure", {"url": url, "events": list(events), **more})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


# --- configuring -------------------------------------------------------------------------------


def test_configure_answers_the_webhook_with_its_secret_this_once(client: Client) -> None:
    result = configure(client, "https://example.com/sms", "sms.sent", "sms.failed")
    assert result.keys() >= {"success", "webhook_id", "url", "events", "secret", "status"}
    assert (result["url"], result["events"]) == (
        "https://example.com/sms",
        ["sms.sent", "sms.failed"],
    )
    assert re.fullmatch(r"wh_\w+", result["webhook_id"])
    assert result["secret"].startswith("whsec_") and result["status"] == "active"
    (listed,) = client.get("/webhooks").json()["webhooks"]
    assert listed["webhook_id"] == result["webhook_id"] and result["secret"] not in str(listed)


def test_a_deleted_webhook_is_204_and_gone(client: Client) -> None:
    webhook_id = configure(client, "https://example.com/", "sms.sent")["webhook_id"]
    removed = client.delete(f"/webhooks/{webhook_id}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert client.get("/webhooks").json()["webhooks"] == []
    assert code(client.delete(f"/webhooks/{webhook_id}"), 404) == "WEBHOOK_NOT_FOUND"


@pytest.mark.parametrize("webhook_id", ["wh_999999", "wh_", "x", "é"])
def test_an_unknown_webhook_is_404(shared: Client, webhook_id: str) -> None:
    assert code(shared.delete(f"/webhooks/{webhook_id}"), 404) == "WEBHOOK_NOT_FOUND"
    assert code(shared.post(f"/webhooks/{webhook_id}/test"), 404) == "WEBHOOK_NOT_FOUND"
    answer = shared.post(f"/webhooks/logs/{webhook_id}/replay")
    assert code(answer, 404) == "WEBHOOK_NOT_FOUND"


def test_another_clients_webhook_does_not_exist(shared: Client, client: Client) -> None:
    webhook_id = configure(shared, "https://example.com/", "sms.sent")["webhook_id"]
    assert code(client.delete(f"/webhooks/{webhook_id}"), 404) == "WEBHOOK_NOT_FOUND"
    assert client.get("/webhooks").json()["webhooks"] == []


@pytest.mark.parametrize("events", [[], ["sms.lost"], "sms.sent", None, [1]])
def test_events_are_known_and_at_least_one(shared: Client, events: object) -> None:
    body = {"url": "https://example.com/", "events": events}
    assert code(shared.post("/webhooks/configure", body), 400) == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "example.com", "http://example.com/", "http://8.8.8.8/", "", 5),
        *("http://169.254.169.254/latest", "https://169.254.169.254/", "javascript:alert(1)"),
    ],
)
def test_a_url_that_may_not_be_called_is_400_invalid_webhook_url(
    shared: Client, url: object
) -> None:
    configured = shared.post("/webhooks/configure", {"url": url, "events": ["sms.sent"]})
    assert code(configured, 400) == "INVALID_WEBHOOK_URL"
    sent = shared.post("/sms/send", {"to": TO, "message": "x", "webhook_url": url})
    assert code(sent, 400) == "INVALID_WEBHOOK_URL"


def test_the_box_itself_is_never_called(own_box: Callable[..., RunningBox]) -> None:
    client = own_box(webhook_allow_loopback="0").client()
    for url in ("http://127.0.0.1/", "https://localhost/", "http://[::1]/", "https://127.1/"):
        answer = client.post("/webhooks/configure", {"url": url, "events": ["sms.sent"]})
        assert code(answer, 400) == "INVALID_WEBHOOK_URL", url


@pytest.mark.parametrize(
    "url", ["http://192.168.1.5/hook", "http://10.0.0.9:8080/", "http://nas.local/", "http://nas/"]
)
def test_http_is_allowed_to_the_lan(client: Client, url: str) -> None:
    assert configure(client, url, "sms.sent")["url"] == url


# --- telling -----------------------------------------------------------------------------------


def test_a_delivered_message_has_a_sent_and_a_delivered_event(
    client: Client, hook: Listener
) -> None:
    secret = configure(client, f"{hook.url}/in?a=1", *ALL)["secret"]
    message_id = client.send(TO, "Bonjour é", metadata={"order": 5})
    (delivered,) = hook.first("sms.delivered")
    result = [call for call in hook.calls if call.event.startswith("sms.")]
    assert [call.event for call in result] == ["sms.sent", "sms.delivered"]
    for call in result:
        assert call.path == "/in?a=1"
        assert call.headers["Content-Type"] == "application/json"
        assert call.headers["User-Agent"] == "ZimSend-Webhook/1.0"
        assert call.signed(secret)
        body = call.body
        assert body.keys() >= {"event", "event_id", "timestamp", "data"}
        assert re.fullmatch(r"evt_[0-9a-f]{12}", body["event_id"])
        assert re.fullmatch(MOMENT, body["timestamp"])
        data = body["data"]
        assert data.keys() >= {"message_id", "status", "to", "message", "device_id", "metadata"}
        assert (data["message_id"], data["to"], data["message"]) == (message_id, TO, "Bonjour é")
        assert (data["metadata"], data["status"]) == ({"order": 5}, call.event[4:])
    status = client.status(message_id)
    assert result[0].body["data"]["sent_at"] == status["sent_at"]
    assert delivered.body["data"]["delivered_at"] == status["delivered_at"]


def test_the_failed_event_has_the_error(client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.failed")
    message_id = client.send("+33695550106")
    (call,) = hook.first("sms.failed")
    data = call.body["data"]
    assert (data["message_id"], data["status"]) == (message_id, "failed")
    assert data["error"]["code"] == "INVALID_NUMBER" and data["error"]["message"]
    assert re.fullmatch(MOMENT, data["failed_at"])


def test_sms_send_timeout_is_written_timeout(client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.failed")
    message_id = client.send("+33695550102")  # its validity ends at the network
    (call,) = hook.first("sms.failed")
    assert call.body["data"]["error"]["code"] == "TIMEOUT"
    assert client.status(message_id)["error"]["code"] == "SMS_SEND_TIMEOUT"


def test_a_cancelled_message_has_an_event(client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.cancelled")
    message_id = client.send(TO, scheduled_at=ahead(days=1))
    client.delete(f"/sms/{message_id}")
    (call,) = hook.first("sms.cancelled")
    assert call.body["data"]["message_id"] == message_id


def test_a_received_message_has_an_event(box: RunningBox, client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.received")
    number = "+33612340401"
    client.until(client.send(number), "delivered")
    box.simulate(do="incoming", sender=number, text="Merci à vous")
    (call,) = hook.first("sms.received")
    data = call.body["data"]
    assert (data["from"], data["message"], data["incomplete"]) == (number, "Merci à vous", False)
    assert data.keys() >= {"inbox_id", "received_at", "device_id"}


def test_only_the_chosen_events_are_delivered(client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.delivered")
    client.send(TO)
    hook.first("sms.delivered")
    assert {call.event for call in hook.calls} == {"sms.delivered"}


def test_a_deleted_webhook_is_not_called(client: Client, hook: Listener) -> None:
    webhook_id = configure(client, f"{hook.url}/gone", "sms.delivered")["webhook_id"]
    configure(client, f"{hook.url}/here", "sms.delivered")
    client.delete(f"/webhooks/{webhook_id}")
    client.send(TO)
    (call,) = hook.first("sms.delivered")
    assert [c.path for c in hook.calls] == ["/here"] == [call.path]


def test_a_messages_own_webhook_url_is_used_instead_of_the_global_ones(
    box: RunningBox, hook: Listener
) -> None:
    made = box.zimbox("client", "create")
    client = box.client(of=made["client_id"])
    configure(client, f"{hook.url}/global", "sms.sent", "sms.delivered")
    client.send(TO, webhook_url=f"{hook.url}/own")
    (call,) = hook.first("sms.delivered")
    assert {c.path for c in hook.calls} == {"/own"}
    assert call.signed(made["signing_secret"])


def test_device_events_describe_the_modem(own_box: Callable[..., RunningBox]) -> None:
    with listening() as hook:
        box = own_box()
        client = box.client()
        eventually(lambda: client.get("/auth/test").json()["device_status"] == "online", "online")
        configure(client, hook.url, "device.connected", "device.disconnected")
        box.simulate(do="unplug")
        (gone,) = hook.first("device.disconnected")
        box.simulate(do="plug")
        (back,) = hook.first("device.connected")
        for call in (gone, back):
            assert call.body["data"].keys() >= {"device_id", "device_name", "phone_number"}
        assert gone.body["data"].keys() >= {"disconnected_at", "last_seen", "reason"}
        assert gone.body["data"]["reason"] == "CONNECTION_LOST"
        assert back.body["data"].keys() >= {"connected_at", "ip_address", "app_version"}


def test_webhook_names_what_a_modem_cannot_receive_until_it_can(
    own_box: Callable[..., RunningBox],
) -> None:
    """`+CMTI: ,-1`: the storage had no place for a message, which stays with the network."""
    with listening() as hook:
        box = own_box()
        client = box.client()
        eventually(lambda: client.get("/auth/test").json()["device_status"] == "online", "online")
        configure(client, hook.url, "device.warning")
        box.simulate(do="urc", lines=["+CMTI: ,-1"])
        (call,) = hook.first("device.warning")
        assert call.body["data"].keys() >= {"device_id", "device_name", "phone_number", "since"}
        assert call.body["data"]["warning"] == "NO_STORAGE"
        assert call.body["data"]["active"] is True
        box.simulate(do="incoming", sender="+33612345678", text="there is room again")
        _, over = hook.first("device.warning", 2)
        assert over.body["data"]["warning"] == "NO_STORAGE"
        assert over.body["data"]["active"] is False


# --- trying again ------------------------------------------------------------------------------


def test_a_failed_delivery_is_retried_with_the_same_event_id(
    own_box: Callable[..., RunningBox], hook: Listener
) -> None:
    client = own_box(webhook_retry_seconds="0.1,0.2").client()
    configure(client, hook.url, "sms.sent", "sms.delivered")
    hook.answer = lambda call: (500 if len(hook.of("sms.sent")) < 3 else 204, {})
    client.send(TO)
    hook.first("sms.delivered")
    sent = hook.of("sms.sent")
    assert len({call.body["event_id"] for call in sent}) == 1 and len(sent) == 3
    assert [call.event for call in hook.calls] == ["sms.sent"] * 3 + ["sms.delivered"]
    logs = client.get("/webhooks/logs").json()["logs"]
    assert logs[0].keys() >= {
        *("log_id", "webhook_id", "event", "url", "response_status", "response_time_ms"),
        *("success", "attempt", "timestamp"),
    }
    tried = [(e["attempt"], e["response_status"]) for e in logs if e["event"] == "sms.sent"]
    assert sorted(tried) == [(1, 500), (2, 500), (3, 204)]


def test_a_delivery_is_given_up_after_the_schedule_and_can_be_replayed(
    own_box: Callable[..., RunningBox], hook: Listener
) -> None:
    client = own_box(webhook_retry_seconds="0.1,0.1").client()
    configure(client, hook.url, "sms.sent")
    hook.answer = lambda _: (503, {})
    client.send(TO)
    first, _, _ = hook.first("sms.sent", 3)
    log = eventually(
        lambda: logs[0] if len(logs := client.get("/webhooks/logs").json()["logs"]) == 3 else None,
        "three attempts logged",
    )
    hook.answer = lambda _: (200, {})
    answer = client.post(f"/webhooks/logs/{log['log_id']}/replay")
    assert answer.status_code == 202 and answer.json()["success"] is True
    again = hook.first("sms.sent", 4)[3]
    assert again.body["event_id"] == first.body["event_id"]


def test_a_receiver_that_times_out_is_called_again(
    own_box: Callable[..., RunningBox], hook: Listener
) -> None:
    client = own_box(webhook_timeout_seconds="0.3", webhook_retry_seconds="0.1").client()
    configure(client, hook.url, "sms.sent")
    released = threading.Event()

    def slow(_: Call) -> tuple[int, dict[str, str]]:
        if len(hook.calls) == 1:
            released.wait(20)
        return 200, {}

    hook.answer = slow
    client.send(TO)
    first, again = hook.first("sms.sent", 2)
    released.set()
    assert first.body == again.body


def test_redirects_are_not_followed(own_box: Callable[..., RunningBox], hook: Listener) -> None:
    client = own_box(webhook_retry_seconds="0.1").client()
    configure(client, f"{hook.url}/from", "sms.sent")
    hook.answer = lambda _: (307, {"Location": f"{hook.url}/to"})
    client.send(TO)
    hook.first("sms.sent", 2)
    assert {call.path for call in hook.calls} == {"/from"}


def test_no_event_is_lost_in_a_power_cut(
    own_box: Callable[..., RunningBox], hook: Listener
) -> None:
    box = own_box(webhook_retry_seconds=",".join(["0.3"] * 400))  # nothing is given up meanwhile
    client = box.client()
    configure(client, hook.url, "sms.sent", "sms.delivered")
    hook.answer = lambda _: (500, {})
    message_ids = [client.send(f"+3361234{n:04}") for n in range(5)]
    for message_id in message_ids:
        client.until(message_id, "delivered")
    box.kill()
    hook.answer = lambda _: (200, {})
    seen = len(hook.calls)
    client.url = box.start().url

    def delivered() -> set[tuple[str, str]]:
        return {(call.event, call.body["data"]["message_id"]) for call in hook.calls[seen:]}

    wanted = {(event, m) for event in ("sms.sent", "sms.delivered") for m in message_ids}
    eventually(lambda: delivered() >= wanted, "every event")


def test_a_test_event_is_sent_at_once_and_its_response_returned(
    client: Client, hook: Listener
) -> None:
    made = configure(client, hook.url, "sms.sent")
    answer = client.post(f"/webhooks/{made['webhook_id']}/test")
    assert answer.status_code == 200
    result = answer.json()
    assert (result["success"], result["response_status"]) == (True, 200) and result["message"]
    assert len(hook.calls) == 1 and hook.calls[0].signed(made["secret"])
    hook.answer = lambda _: (418, {})
    result = client.post(f"/webhooks/{made['webhook_id']}/test").json()
    assert result["response_status"] == 418


def test_the_logs_have_pages(client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.sent", "sms.delivered")
    client.send(TO)
    hook.first("sms.delivered")
    eventually(lambda: len(client.get("/webhooks/logs").json()["logs"]) == 2, "two in the log")
    page = client.get("/webhooks/logs?limit=1&page=2").json()
    assert [entry["event"] for entry in page["logs"]] == ["sms.sent"]
    assert code(client.get("/webhooks/logs?limit=0"), 400) == "INVALID_REQUEST"


def test_a_one_time_code_is_masked_in_webhooks(client: Client, hook: Listener) -> None:
    configure(client, hook.url, "sms.sent")
    client.post("/sms/send-otp", {"to": "+33612340409", "template": "Code {{code}}."})
    (call,) = hook.first("sms.sent")
    assert not re.search(r"\d{6}", call.body["data"]["message"])
