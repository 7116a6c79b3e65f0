"""docs/api-contract.md, "Authentication": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox, code, eventually

pytestmark = pytest.mark.seconds(20)

TO = "+33612345678"


@pytest.mark.parametrize("missing", ["X-API-Key", "X-Client-ID"])
def test_a_missing_header_is_400_missing_auth_headers(shared: Client, missing: str) -> None:
    answer = shared.get("/auth/test", headers={missing: ""})
    assert code(answer, 400) == "MISSING_AUTH_HEADERS"


def test_an_unknown_key_is_401_invalid_api_key(shared: Client) -> None:
    for key in ("zs_live_0", "x", "' OR 1=1 --", shared.api_key + "0", shared.api_key.upper()):
        answer = shared.get("/auth/test", headers={"X-API-Key": key})
        assert code(answer, 401) == "INVALID_API_KEY"


def test_a_revoked_key_is_refused_at_once(box: RunningBox, client: Client) -> None:
    assert client.get("/auth/test").status_code == 200
    box.command("key", "revoke", str(client.key_id))
    assert code(client.get("/auth/test"), 401) == "INVALID_API_KEY"


@pytest.mark.parametrize("other", ["client_999999", "client_", "1", "client_x", "é"])
def test_a_client_that_does_not_exist_is_401_invalid_client_id(shared: Client, other: str) -> None:
    answer = shared.get("/auth/test", headers={"X-Client-ID": other.encode()})
    assert code(answer, 401) == "INVALID_CLIENT_ID"


def test_a_client_that_does_not_own_the_key_is_401_invalid_client_id(
    shared: Client, client: Client
) -> None:
    answer = shared.get("/auth/test", headers={"X-Client-ID": client.client_id})
    assert code(answer, 401) == "INVALID_CLIENT_ID"


@pytest.mark.parametrize("device", ["device_999", "device_", "x", "device_-1", "1"])
def test_a_device_that_does_not_exist_is_404_invalid_device_id(shared: Client, device: str) -> None:
    answer = shared.get("/auth/test", headers={"X-Device-ID": device})
    assert code(answer, 404) == "INVALID_DEVICE_ID"


def test_a_device_may_be_named(shared: Client) -> None:
    device = shared.get("/devices").json()["devices"][0]["device_id"]
    result = shared.get("/auth/test", headers={"X-Device-ID": device}).json()
    assert result["device_id"] == device


def test_auth_test_returns_client_and_modem(shared: Client) -> None:
    assert shared.get("/auth/test").json() == {
        "success": True,
        "message": "Authentification réussie",
        "client_id": shared.client_id,
        "device_id": "device_1",
        "device_status": "online",
    }


@pytest.mark.parametrize("written", ["{}", "client_0{}", "client_{}0", "CLIENT_{}", "client_{}x"])
def test_a_client_id_has_one_form(shared: Client, written: str) -> None:
    number = shared.client_id.removeprefix("client_")
    answer = shared.get("/auth/test", headers={"X-Client-ID": written.format(number)})
    assert code(answer, 401) == "INVALID_CLIENT_ID"
    answer = shared.get("/auth/test", headers={"X-Device-ID": "device_01"})
    assert code(answer, 404) == "INVALID_DEVICE_ID"


def test_devices_lists_the_modems(shared: Client) -> None:
    (device,) = shared.get("/devices").json()["devices"]
    assert device.keys() >= {
        *("device_id", "name", "status", "operator", "signal", "phone_number", "since"),
    }
    assert (device["device_id"], device["status"]) == ("device_1", "online")


def test_a_device_belongs_to_every_client_unless_it_is_assigned_to_some(tmp_path: Path) -> None:
    box = RunningBox(tmp_path)
    settings = box.data / "zimbox.toml"
    box.data.mkdir()
    settings.write_text('[[modem]]\nport = "sim"\nclients = ["client_1"]\n')
    one, two = box.start().client(), box.client()
    try:
        eventually(lambda: one.get("/devices").json()["devices"], "its modem")
        assert two.get("/devices").json()["devices"] == []
        named = two.get("/auth/test", headers={"X-Device-ID": "device_1"})
        assert code(named, 404) == "INVALID_DEVICE_ID"
        refused = two.post("/sms/send", {"to": TO, "message": "x"})
        assert code(refused, 503) == "NO_DEVICE_AVAILABLE"
        one.until(one.send("+33695550118"), "delivered")  # its phone answers STOP
        body = {"to": "+33695550118", "message": "x"}
        eventually(lambda: one.post("/sms/send", body).status_code == 403, "it opted out")
        assert two.get("/blocklist").json()["blocklist"] == [], "not of a SIM of this client"
        box.stop()
        settings.unlink()
        two.url = box.start().url
        eventually(lambda: two.get("/devices").json()["devices"], "everybody's again")
    finally:
        box.stop()


def test_a_modem_reserved_for_a_missing_client_is_not_shared(tmp_path: Path) -> None:
    box = RunningBox(tmp_path)
    box.data.mkdir()
    (box.data / "zimbox.toml").write_text('[[modem]]\nport = "sim"\nclients = ["client_2"]\n')
    try:
        other = box.start().client()
        eventually(lambda: "modem_of_no_client" in box.log(), "it is known before its client")
        assert other.get("/devices").json()["devices"] == []
        its = box.client()
        assert [d["device_id"] for d in its.get("/devices").json()["devices"]] == ["device_1"]
        its.until(its.send(TO), "delivered")
        assert other.get("/devices").json()["devices"] == []
        box.command("client", "delete", its.client_id, "--yes")
        assert other.get("/devices").json()["devices"] == []
        refused = other.post("/sms/send", {"to": TO, "message": "x"})
        assert code(refused, 503) == "NO_DEVICE_AVAILABLE"
    finally:
        box.stop()


def test_a_restricted_key_is_403_beyond_its_permissions(box: RunningBox, client: Client) -> None:
    reader = box.client("--read-only", of=client.client_id)
    sender = box.client("--send-only", of=client.client_id)
    french = box.client("--prefix", "+33", of=client.client_id)
    body = {"to": "+4915112345678", "message": "x"}
    assert reader.get("/sms/history").status_code == 200
    assert reader.request("HEAD", "/sms/history").status_code == 200
    assert code(reader.post("/sms/send", body), 403) == "KEY_NOT_ALLOWED"
    assert sender.post("/sms/send", body).status_code == 202
    assert code(sender.get("/sms/history"), 403) == "KEY_NOT_ALLOWED"
    assert code(sender.get("/devices"), 403) == "KEY_NOT_ALLOWED"
    assert sender.get("/auth/test").status_code == 200  # how a client tries its key
    assert code(french.post("/sms/send", body), 403) == "KEY_NOT_ALLOWED"
    assert french.post("/sms/send", {**body, "to": TO}).status_code == 202


def test_a_restricted_key_resends_only_what_it_may_send(box: RunningBox, client: Client) -> None:
    german = client.send("+4915155550106")
    french = client.send("+33695550106")
    for message_id in (german, french):
        client.until(message_id, "failed")
    narrow = box.client("--prefix", "+33", "--daily-cap", "1", of=client.client_id)
    refused = narrow.post(f"/sms/{german}/resend")
    assert code(refused, 403) == "KEY_NOT_ALLOWED"
    assert refused.json()["error"]["details"]["reason"] == "prefixes"
    assert narrow.post(f"/sms/{french}/resend").status_code == 202
    client.until(french, "failed")
    refused = narrow.post(f"/sms/{french}/resend")  # a resend counts as a send
    assert code(refused, 403) == "KEY_NOT_ALLOWED"
    assert refused.json()["error"]["details"] == {"reason": "daily_cap", "cap": 1}


def test_the_cap_of_a_key_counts_only_accepted_entries_of_a_bulk(
    box: RunningBox, client: Client
) -> None:
    client.post("/blocklist", {"number": "+33612340009"})
    capped = box.client("--daily-cap", "2", of=client.client_id)
    numbers = ["+33612340009", "+33612340010", "+33612340011", "+33612340012"]
    result = capped.post("/sms/send-bulk", {"recipients": numbers, "message": "x"}).json()
    assert [m.get("error", {}).get("code") for m in result["messages"]] == [
        *("BLOCKED_NUMBER", None, None, "KEY_NOT_ALLOWED"),
    ]


def test_a_key_with_a_daily_cap_is_403_above_it(box: RunningBox, client: Client) -> None:
    capped = box.client("--daily-cap", "2", of=client.client_id)
    for _ in range(2):
        capped.send(TO)
    answer = capped.post("/sms/send", {"to": TO, "message": "x"})
    assert code(answer, 403) == "KEY_NOT_ALLOWED"


def test_a_client_sees_its_own_messages_only(shared: Client, client: Client) -> None:
    theirs = shared.send(TO)
    strange, nothing = f"/sms/status/{theirs}", "/sms/status/msg_0000000000000000"
    assert client.get(strange).json() == client.get(nothing).json()
    assert code(client.get(strange), 404) == "MESSAGE_NOT_FOUND"
    assert code(client.delete(f"/sms/{theirs}"), 404) == "MESSAGE_NOT_FOUND"
    assert code(client.post(f"/sms/{theirs}/resend"), 404) == "MESSAGE_NOT_FOUND"
    assert client.get("/sms/history").json()["data"] == []
    assert client.get("/sms/stats").json()["stats"]["total_sent"] == 0
    assert theirs not in client.get("/sms/export").text


def test_another_clients_one_time_code_does_not_exist(shared: Client, client: Client) -> None:
    otp_id = shared.post("/sms/send-otp", {"to": "+33611113333"}).json()["otp_id"]
    answer = client.post("/sms/verify-otp", {"otp_id": otp_id, "code": "123456"})
    assert code(answer, 404) == "OTP_NOT_FOUND"


def test_a_test_key_never_reaches_the_air(box: RunningBox, client: Client) -> None:
    tester = box.client("--test", of=client.client_id)
    message_id = tester.send("+33612340001", "nur ein Test")
    assert tester.until(message_id, "delivered")
    assert all(line["recipient"] != "+33612340001" for line in box.received())


def test_test_mode_has_its_own_messages(box: RunningBox, client: Client) -> None:
    tester = box.client("--test", of=client.client_id)
    message_id = tester.send(TO)
    assert code(client.get(f"/sms/status/{message_id}"), 404) == "MESSAGE_NOT_FOUND"
    assert client.get("/sms/history").json()["pagination"]["total_items"] == 0
    assert tester.get("/sms/history").json()["pagination"]["total_items"] == 1
    tester.post("/blocklist", {"number": TO})
    assert client.post("/sms/send", {"to": TO, "message": "x"}).status_code == 202
    headers = {"Idempotency-Key": "k"}
    body = {"to": "+33612345679", "message": "x"}
    ours = client.post("/sms/send", body, headers=headers).json()
    assert tester.post("/sms/send", body, headers=headers).json() != ours


def test_the_first_request_of_a_test_key_finds_the_simulated_modem(
    own_box: Callable[..., RunningBox],
) -> None:
    result = own_box().client("--test").get("/auth/test").json()
    assert result["device_status"] == "online" and result["device_id"]


def test_a_test_key_that_names_a_real_modem_gets_the_simulated_one(
    box: RunningBox, client: Client
) -> None:
    tester = box.client("--test", of=client.client_id)
    on_the_air = client.get("/auth/test").json()["device_id"]
    headers = {"X-Device-ID": on_the_air}
    result = tester.get("/auth/test", headers=headers).json()
    assert (result["device_id"] != on_the_air, result["device_status"]) == (True, "online")
    sent = tester.post("/sms/send", {"to": TO, "message": "x"}, headers=headers).json()
    assert sent["device_id"] == result["device_id"]


@pytest.mark.parametrize(("length", "expected"), [(4, "1234"), (6, "123456"), (8, "12345678")])
def test_a_test_otp_is_always_the_same_code(box: RunningBox, length: int, expected: str) -> None:
    tester = box.client("--test")
    made = tester.post("/sms/send-otp", {"to": "+33612340411", "length": length}).json()
    result = tester.post("/sms/verify-otp", {"otp_id": made["otp_id"], "code": expected}).json()
    assert result["valid"] is True


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [
        ("00", "delivered", None),
        ("06", "failed", "INVALID_NUMBER"),
        ("05", "delivered", None),
        ("15", "failed", "NETWORK_ERROR"),
        ("08", "failed", "BLOCKED_NUMBER"),
    ],
)
def test_documented_numbers_produce_each_failure(
    box: RunningBox, ending: str, status: str, error: str | None
) -> None:
    tester = box.client("--test")
    result = tester.until(tester.send(f"+336955501{ending}"), status)
    assert (result["error"] or {}).get("code") == error


def test_too_many_writes_a_minute_are_429_with_retry_after(
    own_box: Callable[..., RunningBox],
) -> None:
    client = own_box(rate_limit="3", read_limit="5").client()
    for left in ("2", "1", "0"):
        answer = client.post("/sms/send", {"to": TO, "message": "x"})
        assert answer.headers["RateLimit-Remaining"] == left
    answer = client.post("/sms/send-bulk", {"recipients": [TO], "message": "x"})
    assert code(answer, 429) == "RATE_LIMIT_EXCEEDED"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["RateLimit-Limit"] == "3"
    for _ in range(5):  # reads are counted apart
        assert client.get("/auth/test").status_code == 200
    assert code(client.get("/auth/test"), 429) == "RATE_LIMIT_EXCEEDED"


def test_a_bulk_counts_once(own_box: Callable[..., RunningBox]) -> None:
    client = own_box(rate_limit="1").client()
    entries = [{"to": TO, "message": "x"}] * 50
    assert client.post("/sms/send-bulk", {"messages": entries}).status_code == 202
