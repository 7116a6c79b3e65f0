"""docs/api-contract.md, "Webhooks": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appliance.core.config import WebhookSettings
from tests import receiver as receivers
from tests.box.running import Client, RunningBox, code, eventually, free_port
from tests.box.when import ahead
from tests.receiver import ReceivedCall, Receiver

pytestmark = pytest.mark.seconds(15)

TO = "+33612345678"
# The simulated network's own numbers: what they do is in the documentation of test keys.
REFUSED = "+33695550106"
EVENTS = ["sms.sent", "sms.delivered", "sms.failed", "sms.cancelled", "sms.received"]
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receivers.beside() as running:
        yield running


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A path of the receiver that only this test uses."""
    return f"/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


def configure(client: Client, url: str, *events: str, **more: str) -> dict[str, Any]:
    answer = client.post(
        "/webhooks/configure", {"url": url, "events": list(events or EVENTS), **more}
    )
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def calls_at(receiver: Receiver, path: str, count: int) -> list[ReceivedCall]:
    """What came at this path, once so many came."""

    def look() -> list[ReceivedCall] | None:
        found = receiver.at(path)
        return found[:count] if len(found) >= count else None

    return eventually(look, f"{count} calls at {path}")


def logged(client: Client, count: int) -> list[dict[str, Any]]:
    """The attempts, newest first, once there are so many."""

    def look() -> list[dict[str, Any]] | None:
        answer = client.get("/webhooks/logs?limit=100")
        assert answer.status_code == 200, answer.text
        logs: list[dict[str, Any]] = answer.json()["logs"]
        return logs if len(logs) >= count else None

    return eventually(look, f"{count} attempts")


def names(calls: list[ReceivedCall]) -> list[str]:
    return [one.body["event"] for one in calls]


def signature(secret: str, raw: bytes) -> str:
    return hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


# --- configure, list, delete -------------------------------------------------------------------------


def test_configure_answers_every_field_and_the_secret_this_once(
    client: Client, receiver: Receiver, path: str
) -> None:
    result = configure(client, receiver.url(path), "sms.sent", "device.connected")
    assert result.keys() >= {"success", "webhook_id", "url", "events", "secret", "status"}
    assert re.fullmatch(r"wh_\d+", result["webhook_id"])
    assert re.fullmatch(r"whsec_\S+", result["secret"])
    assert result["url"] == receiver.url(path)
    assert result["events"] == ["sms.sent", "device.connected"]
    assert result["status"] == "active"
    listed = client.get("/webhooks").json()["webhooks"]
    assert [one["webhook_id"] for one in listed] == [result["webhook_id"]]
    assert "secret" not in listed[0]


def test_a_given_secret_is_used(client: Client, receiver: Receiver, path: str) -> None:
    configure(client, receiver.url(path), secret="my own secret")
    client.send(TO)
    (result, *_) = calls_at(receiver, path, 1)
    assert result.header("X-Webhook-Signature") == signature("my own secret", result.raw)


def test_delete_is_204_then_404_and_ends_deliveries(
    client: Client, receiver: Receiver, path: str
) -> None:
    webhook_id = configure(client, receiver.url(path))["webhook_id"]
    answer = client.delete(f"/webhooks/{webhook_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(client.delete(f"/webhooks/{webhook_id}"), 404) == "WEBHOOK_NOT_FOUND"
    assert client.get("/webhooks").json()["webhooks"] == []
    client.until(client.send(TO), "delivered")
    assert receiver.at(path) == []


@pytest.mark.parametrize(
    ("method", "place"),
    [
        *(("DELETE", "/webhooks/wh_9999"), ("POST", "/webhooks/wh_9999/test")),
        *(("DELETE", "/webhooks/nonsense"), ("POST", "/webhooks/logs/log_000000000000/replay")),
        ("POST", "/webhooks/logs/nonsense/replay"),
    ],
)
def test_unknown_is_404_webhook_not_found(shared: Client, method: str, place: str) -> None:
    assert code(shared.request(method, place), 404) == "WEBHOOK_NOT_FOUND"


@pytest.mark.parametrize("events", [[], ["sms.lost"], ["sms.sent", "SMS.SENT"], None, "sms.sent"])
def test_events_are_the_known_ones(shared: Client, receiver: Receiver, events: object) -> None:
    answer = shared.post("/webhooks/configure", {"url": receiver.url("/"), "events": events})
    assert code(answer, 400) == "INVALID_REQUEST"


FORBIDDEN = [
    *("http://example.com/hook", "http://8.8.8.8/", "ftp://example.com/", "not a url", "", 7),
    *("https://169.254.169.254/latest/meta-data", "http://0.0.0.0/", "http://2130706433/"),
    *("http://0x7f.1/", "http://[::ffff:127.0.0.1]/", "https://224.0.0.1/", "https://a:b@c.de/"),
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_url_that_is_not_allowed_is_400_invalid_webhook_url(shared: Client, url: object) -> None:
    body = {"url": url, "events": ["sms.sent"]}
    assert code(shared.post("/webhooks/configure", body), 400) == "INVALID_WEBHOOK_URL"
    sending = {"to": TO, "message": "Bonjour", "webhook_url": url}
    if url != "":  # an empty one means absent, there
        assert code(shared.post("/sms/send", sending), 400) == "INVALID_WEBHOOK_URL"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://example.com/hook",
            "http://192.168.1.20:9000/x",
            "http://nas/",
            "http://b.local/",
        ),
        *("https://10.0.0.7/", "http://[fd00::7]/", "https://[2606:4700::1111]/hook?a=b"),
    ],
)
def test_https_is_allowed_anywhere_and_http_to_the_lan(client: Client, url: str) -> None:
    assert configure(client, url)["url"] == url


# --- deliveries -------------------------------------------------------------------------------------


def test_a_call_has_exactly_the_documented_headers_and_body(
    client: Client, receiver: Receiver, path: str
) -> None:
    secret = configure(client, receiver.url(path))["secret"]
    message_id = client.send(TO, "Été", metadata={"order": 7})
    client.until(message_id, "delivered")
    sent, delivered = calls_at(receiver, path, 2)
    for result in (sent, delivered):
        assert dict(result.headers).keys() == {
            *("Host", "Content-Type", "User-Agent", "X-Webhook-Signature", "Content-Length")
        }
        assert result.header("Content-Type") == "application/json"
        assert result.header("User-Agent") == "ZimSend-Webhook/1.0"
        assert result.header("X-Webhook-Signature") == signature(secret, result.raw)
        assert result.body.keys() == {"event", "event_id", "timestamp", "data"}
        assert re.fullmatch(r"evt_[0-9a-f]{12}", result.body["event_id"])
        assert MOMENT.fullmatch(result.body["timestamp"])
    status = client.status(message_id)
    common = {"message_id": message_id, "to": TO, "message": "Été", "metadata": {"order": 7}}
    common |= {"device_id": status["device_id"], "sent_at": status["sent_at"]}
    assert sent.body["event"] == "sms.sent"
    assert sent.body["data"] == common | {"status": "sent"}
    assert delivered.body["event"] == "sms.delivered"
    assert delivered.body["data"] == common | {
        "status": "delivered",
        "delivered_at": status["delivered_at"],
    }


def test_a_failure_event_has_the_error(client: Client, receiver: Receiver, path: str) -> None:
    configure(client, receiver.url(path), "sms.failed")
    message_id = client.send(REFUSED)
    status = client.until(message_id, "failed")
    (result,) = calls_at(receiver, path, 1)
    data = result.body["data"]
    assert (data["message_id"], data["status"]) == (message_id, "failed")
    assert data["failed_at"] == status["failed_at"]
    assert data["error"]["code"] == status["error"]["code"]
    assert data["error"]["message"] == status["error"]["message"]


def test_a_cancellation_has_an_event(client: Client, receiver: Receiver, path: str) -> None:
    configure(client, receiver.url(path))
    message_id = client.send(TO, scheduled_at=ahead(hours=1))
    assert client.delete(f"/sms/{message_id}").status_code == 200
    (result,) = calls_at(receiver, path, 1)
    assert result.body["event"] == "sms.cancelled"
    assert result.body["data"]["status"] == "cancelled"
    assert result.body["data"]["sent_at"] is None


def test_events_do_not_contain_the_code_of_an_otp(
    client: Client, receiver: Receiver, path: str
) -> None:
    configure(client, receiver.url(path))
    # A number of its own: the limit of codes is per number, and other tests share the box.
    answer = client.post("/sms/send-otp", {"to": "+33612340410", "template": "Code {{code}}!"})
    assert answer.status_code == 202
    for result in calls_at(receiver, path, 2):
        assert result.body["data"]["message"].startswith("Code ")
        assert not re.search(r"\d", result.body["data"]["message"])


def test_only_the_chosen_events_are_delivered(
    client: Client, receiver: Receiver, path: str
) -> None:
    configure(client, receiver.url(path), "sms.delivered")
    client.until(client.send(TO), "delivered")
    assert names(calls_at(receiver, path, 1)) == ["sms.delivered"]


def test_a_messages_own_url_replaces_the_global_ones_and_signs_with_the_clients_secret(
    box: RunningBox, receiver: Receiver, path: str
) -> None:
    made = box.zimbox("client", "create")
    client = box.client(of=made["client_id"])
    configure(client, receiver.url(f"{path}/global"))
    client.send(TO, webhook_url=receiver.url(path))
    for result in calls_at(receiver, path, 2):
        assert result.header("X-Webhook-Signature") == signature(made["signing_secret"], result.raw)
    assert receiver.at(f"{path}/global") == []
    assert {entry["webhook_id"] for entry in logged(client, 2)} == {None}


def test_test_keys_have_webhooks_of_their_own(
    box: RunningBox, client: Client, receiver: Receiver, path: str
) -> None:
    rehearsal = box.client("--test", of=client.client_id)
    configure(client, receiver.url(f"{path}/live"))
    configure(rehearsal, receiver.url(f"{path}/test"))
    message_id = rehearsal.send(TO)
    rehearsal.until(message_id, "delivered")
    result = calls_at(receiver, f"{path}/test", 2)
    assert {one.body["data"]["message_id"] for one in result} == {message_id}
    assert receiver.at(f"{path}/live") == []
    assert len(client.get("/webhooks").json()["webhooks"]) == 1


def test_webhooks_and_logs_of_another_client_are_not_found(
    box: RunningBox, client: Client, receiver: Receiver, path: str
) -> None:
    webhook_id = configure(client, receiver.url(path))["webhook_id"]
    client.send(TO)
    log_id = logged(client, 2)[0]["log_id"]
    other = box.client()
    assert other.get("/webhooks").json()["webhooks"] == []
    assert other.get("/webhooks/logs").json()["logs"] == []
    for method, place in (
        ("DELETE", f"/webhooks/{webhook_id}"),
        ("POST", f"/webhooks/{webhook_id}/test"),
        ("POST", f"/webhooks/logs/{log_id}/replay"),
    ):
        theirs = other.request(method, place)
        nobodys = other.request(method, place.replace(webhook_id, "wh_99999"))
        assert code(theirs, 404) == "WEBHOOK_NOT_FOUND"
        assert theirs.json() == nobodys.json()
    assert len(client.get("/webhooks").json()["webhooks"]) == 1
    assert len(receiver.at(path)) == 2


def test_events_of_received_messages_have_the_order_of_the_inbox(
    box: RunningBox, client: Client, receiver: Receiver, path: str
) -> None:
    number = "+33612340390"
    configure(client, receiver.url(path), "sms.received")
    client.until(client.send(number), "delivered")
    for n in range(5):
        box.simulate(do="incoming", sender=number, text=f"Réponse {n}")
    result = calls_at(receiver, path, 5)
    inbox = client.get("/sms/inbox").json()["data"]
    assert [one.body["data"] for one in result] == list(reversed(inbox))
    assert result[0].body["data"].keys() == {
        *("inbox_id", "from", "message", "received_at", "device_id", "incomplete")
    }
    assert {message["from"] for message in inbox} == {number}


@pytest.mark.parametrize(
    ("fault", "cure", "reason"),
    [
        *(
            (
                {"do": "registration", "stat": 2},
                {"do": "registration", "stat": 1},
                "NOT_REGISTERED",
            ),
            ({"do": "unplug"}, {"do": "plug"}, "CONNECTION_LOST"),
            (None, None, "SHUTDOWN"),
            (None, None, "UNKNOWN"),
        )
    ],
    ids=["not registered", "unplugged", "shut down", "died"],
)
def test_a_device_that_goes_offline_and_online_has_events(
    own_box: Callable[..., RunningBox],
    receiver: Receiver,
    path: str,
    fault: dict[str, Any] | None,
    cure: dict[str, Any] | None,
    reason: str,
) -> None:
    box = own_box()
    client = box.client()

    def online() -> dict[str, Any] | None:
        (device,) = client.get("/devices").json()["devices"]
        found: dict[str, Any] = device
        return found if found["status"] == "online" else None

    device = eventually(online, "the modem online")
    configure(client, receiver.url(path), "device.connected", "device.disconnected")
    if fault is not None and cure is not None:
        box.simulate(**fault)
        calls_at(receiver, path, 1)
        box.simulate(**cure)
    else:
        (box.stop if reason == "SHUTDOWN" else box.kill)()
        box.start()
    gone, back = calls_at(receiver, path, 2)
    assert (gone.body["event"], back.body["event"]) == ("device.disconnected", "device.connected")
    common = ("device_id", "device_name", "phone_number")
    assert gone.body["data"].keys() == {*common, "disconnected_at", "last_seen", "reason"}
    assert gone.body["data"]["reason"] == reason
    assert back.body["data"].keys() == {*common, "connected_at", "ip_address", "app_version"}
    for one in (gone, back):
        assert one.body["data"]["device_name"] == device["name"]
        assert one.body["data"]["phone_number"] == device["phone_number"]
    assert MOMENT.fullmatch(gone.body["data"]["disconnected_at"])
    assert MOMENT.fullmatch(back.body["data"]["connected_at"])


# --- test, logs, replay ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (200, "The webhook answered successfully"),
        (500, "The webhook did not answer as it should: it answered with the error 500."),
        (302, "The webhook did not answer as it should: it answered with the error 302."),
    ],
)
def test_a_test_returns_the_receiver_s_response(
    client: Client, receiver: Receiver, path: str, status: int, sentence: str
) -> None:
    receiver.behave[path] = receivers.answer(status)
    webhook_id = configure(client, receiver.url(path))["webhook_id"]
    answer = client.post(f"/webhooks/{webhook_id}/test", headers={"Accept-Language": "en"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["response_status"] == status
    assert answer.json()["message"] == sentence
    assert len(receiver.at(path)) == 1


def test_a_test_of_an_unreachable_receiver_returns_null(client: Client) -> None:
    webhook_id = configure(client, f"http://127.0.0.1:{free_port()}/")["webhook_id"]
    answer = client.post(f"/webhooks/{webhook_id}/test", headers={"Accept-Language": "en"})
    assert answer.status_code == 200
    assert answer.json()["response_status"] is None
    assert answer.json()["reason"] == "not connected: Connection refused"
    assert "nothing listens there" in answer.json()["message"]
    french = client.post(f"/webhooks/{webhook_id}/test").json()["message"]
    assert "rien n'écoute à cet endroit" in french
    entries = logged(client, 2)
    assert {entry["reason"] for entry in entries} == {"not connected: Connection refused"}


def test_logs_have_every_field_newest_first_in_pages(
    client: Client, receiver: Receiver, path: str
) -> None:
    webhook_id = configure(client, receiver.url(path))["webhook_id"]
    for _ in range(3):
        client.until(client.send(TO), "delivered")
    logs = logged(client, 6)
    assert logs == sorted(logs, key=lambda entry: str(entry["log_id"]), reverse=True)
    for entry in logs:
        assert entry.keys() >= {
            *("log_id", "webhook_id", "event", "url", "response_status", "response_time_ms"),
            *("success", "attempt", "timestamp"),
        }
        assert (entry["webhook_id"], entry["url"]) == (webhook_id, receiver.url(path))
        assert (entry["response_status"], entry["success"], entry["attempt"]) == (200, True, 1)
        assert entry["event"] in ("sms.sent", "sms.delivered")
        assert MOMENT.fullmatch(entry["timestamp"])
        assert isinstance(entry["response_time_ms"], int)
    page = client.get("/webhooks/logs?page=2&limit=4").json()
    assert page["logs"] == logs[4:]
    assert page["pagination"] == {
        **{"current_page": 2, "per_page": 4, "total_pages": 2, "total_items": 6},
        "total_exact": True,
    }


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "page=0", "page=x"])
def test_logs_refuse_invalid_pages(shared: Client, query: str) -> None:
    assert code(shared.get(f"/webhooks/logs?{query}"), 400) == "INVALID_REQUEST"


def test_replay_is_202_and_delivers_the_same_event_again(
    client: Client, receiver: Receiver, path: str
) -> None:
    configure(client, receiver.url(path), "sms.delivered")
    client.send(TO)
    (entry,) = logged(client, 1)
    answer = client.post(f"/webhooks/logs/{entry['log_id']}/replay")
    assert answer.status_code == 202
    first, again = calls_at(receiver, path, 2)
    assert first.raw == again.raw
    assert [e["attempt"] for e in logged(client, 2)] == [2, 1]


# --- time-out, retries, the box itself -------------------------------------------------------------


@pytest.fixture
def quick_box(own_box: Callable[..., RunningBox]) -> RunningBox:
    """Its schedule is the default's shape in a hundredth of the time."""
    return own_box(webhook_timeout_seconds="0.3", webhook_retry_seconds="0.6,1.2")


def test_a_failed_delivery_is_retried_then_given_up_and_can_be_replayed(
    quick_box: RunningBox, receiver: Receiver, path: str
) -> None:
    client = quick_box.client()
    receiver.behave[path] = receivers.hang
    configure(client, receiver.url(path), "sms.sent")
    client.send(TO)
    third, second, first = logged(client, 3)
    for attempt, entry in enumerate((first, second, third), start=1):
        assert (entry["attempt"], entry["success"]) == (attempt, False)
        assert entry["response_status"] is None
        assert entry["reason"] == "no answer within 0.3 s"
        # uvloop counts a wait from the beginning of the loop's turn, in whole milliseconds: it may
        # end early by what that turn had taken already.
        assert entry["response_time_ms"] >= 150
    assert len({(e["event_id"]) for e in (first, second, third)}) == 1
    eventually(lambda: "event=webhook_given_up" in quick_box.log(), "it is given up")
    assert sum(e["event_id"] == first["event_id"] for e in logged(client, 3)) == 3
    receiver.behave[path] = receivers.answer(200)
    assert client.post(f"/webhooks/logs/{first['log_id']}/replay").status_code == 202

    def succeeded_again() -> bool:
        return any(e["success"] and e["event_id"] == first["event_id"] for e in logged(client, 4))

    eventually(succeeded_again, "a success after the replay")
    assert len({t.raw for t in receiver.at(path) if t.body["event_id"] == first["event_id"]}) == 1


def test_the_default_is_5_seconds_then_1_and_5_minutes() -> None:
    assert (WebhookSettings().timeout_seconds, list(WebhookSettings().retry_seconds)) == (
        5.0,
        [60.0, 300.0],
    )


def test_the_box_itself_is_never_called_also_by_a_rebound_name(
    own_box: Callable[..., RunningBox], receiver: Receiver, path: str
) -> None:
    box = own_box(webhook_allow_loopback="0", webhook_retry_seconds="")
    client = box.client()
    for url in (
        *(f"http://127.0.0.1:{receiver.port}/", f"https://localhost:{receiver.port}/"),
        *(f"http://[::1]:{receiver.port}/", box.url),
    ):
        answer = client.post("/webhooks/configure", {"url": url, "events": ["sms.sent"]})
        assert code(answer, 400) == "INVALID_WEBHOOK_URL"
    name = socket.gethostname().split(".")[0]
    try:
        socket.getaddrinfo(name, receiver.port)
    except OSError:
        pytest.skip(f"NOT TESTED: this machine does not resolve its own name {name}")
    configure(client, f"http://{name}:{receiver.port}{path}", "sms.sent")
    client.send(TO)
    (entry,) = logged(client, 1)
    assert (entry["success"], entry["response_status"]) == (False, None)
    assert entry["reason"].startswith("not connected to ")
    assert receiver.at(path) == []
