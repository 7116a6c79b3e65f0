"""docs/api-contract.md, "Conventions": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.box.running import REQUEST_SECONDS, Client, RunningBox, code, eventually
from tests.box.when import ahead

TO = "+33612345678"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def raw(url: str, request: bytes) -> bytes:
    """What the box answers to these bytes, until it closes."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), REQUEST_SECONDS) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while more := line.recv(65536):
            answer += more
    return answer


def moments(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every field of an answer that is a moment, by its name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from moments(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from moments(inner, name)
    elif value is not None and (name.endswith("_at") or name in ("from", "to_date")):
        yield name, value


def test_timestamps_are_rfc_3339_in_utc_to_the_second(shared: Client) -> None:
    message_id = shared.send(TO)
    result = shared.until(message_id, "delivered")
    found = list(moments(result))
    assert {name for name, _ in found} >= {"created_at", "queued_at", "sent_at", "delivered_at"}
    assert all(MOMENT.fullmatch(text) for _, text in found)


def test_a_time_not_reached_yet_is_null(shared: Client) -> None:
    answer = shared.post("/sms/send", {"to": TO, "message": "x", "scheduled_at": "2099-01-01"})
    assert code(answer, 400) == "INVALID_SCHEDULED_DATE"
    result = shared.status(shared.send(TO))
    assert result["scheduled_at"] is None and result["cancelled_at"] is None


def test_ids_are_msg_and_sixteen_hex_digits_and_batch_and_twelve(shared: Client) -> None:
    assert re.fullmatch(r"msg_[0-9a-f]{16}", shared.send(TO))
    bulk = shared.post("/sms/send-bulk", {"recipients": [TO], "message": "x"}).json()
    assert re.fullmatch(r"batch_[0-9a-f]{12}", bulk["batch_id"])
    otp = shared.post("/sms/send-otp", {"to": "+33611112222"}).json()
    assert re.fullmatch(r"otp_[0-9a-f]{12}", otp["otp_id"])


def test_keys_begin_with_zs_live_and_zs_test_and_clients_are_numbered(box: RunningBox) -> None:
    live, test = box.client(), box.client("--test")
    assert live.api_key.startswith("zs_live_") and test.api_key.startswith("zs_test_")
    assert re.fullmatch(r"client_\d+", live.client_id)


def test_every_success_carries_success_true(shared: Client) -> None:
    for path in ("/sms/history", "/sms/stats", "/auth/test", "/devices", "/webhooks", "/blocklist"):
        assert shared.get(path).json()["success"] is True


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/sms/status/", 404, "NOT_FOUND"),
        ("GET", "/sms/send", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/sms/history", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/sms/send", 400, "INVALID_REQUEST"),
    ],
)
def test_every_failure_of_the_server_itself_is_in_the_envelope(
    shared: Client, method: str, path: str, status: int, expected: str
) -> None:
    assert code(shared.request(method, path), status) == expected


def test_a_405_names_the_methods_that_are_allowed(shared: Client) -> None:
    assert shared.get("/sms/send").headers["Allow"] == "OPTIONS, POST"


def test_the_message_is_french_by_default_and_english_on_request(shared: Client) -> None:
    french = shared.get("/sms/status/msg_0").json()["error"]
    english = shared.get("/sms/status/msg_0", headers={"Accept-Language": "en-US,en;q=0.9"}).json()
    assert french["message"] == "Ce message n'existe pas."
    assert english["error"]["message"] == "This message does not exist."
    assert french["code"] == english["error"]["code"] == "MESSAGE_NOT_FOUND"


def test_null_for_an_optional_field_means_absent(shared: Client) -> None:
    optional = "priority metadata scheduled_at retry_attempts validity_minutes on_uncertain flash"
    result = shared.post(
        "/sms/send", {"to": TO, "message": "x", **dict.fromkeys(optional.split())}
    ).json()
    assert (result["success"], result["priority"]) == (True, "normal")
    assert "warnings" not in result


def test_an_empty_query_value_means_absent(shared: Client) -> None:
    names = "page limit status to from_date to_date device_id search"
    answer = shared.get("/sms/history", params=dict.fromkeys(names.split(), ""))
    assert answer.json()["pagination"]["per_page"] == 50


@pytest.mark.parametrize(
    ("written", "warned"),
    [
        ("2030-01-15T09:00:00", True),
        ("20300115T0900", True),
        ("2030-01-15", True),
        ("2030-01-15T09:00:00Z", False),
        ("2030-01-15T09:00:00+01:00", False),
    ],
)
def test_a_schedule_without_an_offset_gets_a_warning(
    shared: Client, written: str, warned: bool
) -> None:
    day = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%d")
    when = written.replace("2030-01-15", day).replace("20300115", day.replace("-", ""))
    body = {"to": "+33612345678", "message": "Bonjour", "scheduled_at": when}
    result = shared.post("/sms/send", body, headers={"Accept-Language": "en"}).json()
    found = [one for one in result.get("warnings", []) if one.startswith("scheduled_at")]
    assert bool(found) is warned
    if warned:
        assert result["scheduled_at"] in found[0] and "UTC" in found[0]


def test_unknown_body_fields_are_ignored_and_named_in_warnings(shared: Client) -> None:
    result = shared.post("/sms/send", {"to": TO, "message": "x", "sender_id": "Boutique"}).json()
    assert result["warnings"] == ["sender_id"]


def test_fields_of_an_unneeded_body_are_named_in_warnings(client: Client) -> None:
    failed = client.send("+33695550106")
    client.until(failed, "failed")
    assert client.post(f"/sms/{failed}/resend", {"a": 1, "b": 2}).json()["warnings"] == ["a", "b"]
    waiting = client.send(TO, scheduled_at=ahead(days=1))
    result = client.delete(f"/sms/{waiting}", json={"reason": "x"}).json()
    assert (result["status"], result["warnings"]) == ("cancelled", ["reason"])
    again = client.send(TO, scheduled_at=ahead(days=1))
    for body in (b"", b"{}", b"nonsense", b"[1]"):  # nobody reads it, nobody complains
        answer = client.request("POST", f"/sms/{again}/resend", data=body)
        assert code(answer, 400) == "CANNOT_RESEND_MESSAGE"


def test_a_body_without_content_type_or_with_a_byte_order_mark_is_accepted(shared: Client) -> None:
    body = b'\xef\xbb\xbf{"to": "+33612345678", "message": "x"}'
    answer = shared.request("POST", "/sms/send", data=body, headers={"Content-Type": None})  # type: ignore[dict-item]
    assert answer.status_code == 202


def test_a_client_that_disconnects_within_its_body_causes_no_server_error(
    box: RunningBox, shared: Client
) -> None:
    place = urlsplit(box.url)
    with socket.create_connection((place.hostname, place.port), REQUEST_SECONDS) as line:
        head = "".join(f"{name}: {value}\r\n" for name, value in shared.headers.items())
        line.sendall(
            f"POST /v1/sms/send HTTP/1.1\r\nHost: box\r\n{head}Content-Length: 50\r\n\r\n{{".encode()
        )
    eventually(lambda: "route=/v1/sms/send status=400" in box.log(), "it is noted")
    assert "status=500" not in box.log() and "Traceback" not in box.log()


def test_a_content_type_on_a_get_or_delete_without_a_body_is_fine(client: Client) -> None:
    json_type = {"Content-Type": "application/json"}
    assert client.get("/sms/history", headers=json_type).status_code == 200
    message_id = client.send("+33695550103", scheduled_at=ahead(days=1))
    assert client.delete(f"/sms/{message_id}", headers=json_type).status_code == 200


def test_a_trailing_slash_is_fine(shared: Client) -> None:
    assert shared.get("/sms/history/").status_code == 200
    assert shared.post("/sms/send/", {"to": TO, "message": "x"}).status_code == 202


def test_a_body_above_256_kib_is_413(shared: Client) -> None:
    answer = shared.post("/sms/send", {"to": TO, "message": "x", "pad": "x" * 262_144})
    assert code(answer, 413) == "PAYLOAD_TOO_LARGE"


def test_a_body_above_256_kib_without_a_length_is_413(shared: Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(512):
            yield b" " * 1024

    answer = shared.request(
        "POST", "/sms/send", data=chunks(), headers={"Content-Type": "application/json"}
    )
    assert code(answer, 413) == "PAYLOAD_TOO_LARGE"


def test_a_bulk_may_have_16_mib_and_no_more(shared: Client) -> None:
    body = {"recipients": [TO], "message": "x", "pad": "x" * (15 << 20)}
    assert shared.post("/sms/send-bulk", body).status_code == 202
    answer = shared.post("/sms/send-bulk", {**body, "pad": "x" * (16 << 20)})
    assert code(answer, 413) == "PAYLOAD_TOO_LARGE"


def test_a_body_that_is_not_json_is_415(shared: Client) -> None:
    answer = shared.request("POST", "/sms/send", data={"to": TO, "message": "x"})
    assert code(answer, 415) == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"to": NaN}', b"\xff", b'"\\ud800"', b"[" * 9999, b"\x00" * 100],
)
def test_bad_json_is_an_invalid_request(shared: Client, body: bytes) -> None:
    answer = shared.request(
        "POST", "/sms/send", data=body, headers={"Content-Type": "application/json"}
    )
    assert code(answer, 400) == "INVALID_REQUEST"


def test_paths_and_queries_that_are_not_utf_8_cause_no_server_error(shared: Client) -> None:
    assert code(shared.get("/sms/status/%FF%FE%00"), 404) == "MESSAGE_NOT_FOUND"
    assert shared.get("/sms/history?search=%FF%ED%A0%80").status_code == 200
    assert code(shared.get("/sms/history?search=%00"), 400) == "INVALID_REQUEST"
    assert code(shared.get("/sms/history?to=%FF"), 400) == "INVALID_PHONE_NUMBER"
    assert code(shared.get("/%F0%9F%98%80"), 404) == "NOT_FOUND"


@pytest.mark.parametrize("bytes_in_path", [b"/v1/\xff\xfe", b"/v1/sms/status/\xc3\xa9", b"/%"])
def test_raw_bytes_in_the_path_are_never_a_500(box: RunningBox, bytes_in_path: bytes) -> None:
    answer = raw(
        box.url, b"GET " + bytes_in_path + b" HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"
    )
    assert re.match(rb"HTTP/1\.1 4\d\d ", answer)


def test_a_large_body_on_an_unknown_path_is_a_404(shared: Client) -> None:
    assert code(shared.request("POST", "/nothing", data=b"x" * (1 << 20)), 404) == "NOT_FOUND"


def test_head_answers_as_get_without_a_body(shared: Client) -> None:
    answer = shared.request("HEAD", "/auth/test")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_an_upgrade_to_something_else_is_ignored(shared: Client) -> None:
    asked = {
        **{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert shared.request("GET", "/auth/test", headers=asked).json()["success"] is True


def test_health_needs_no_key_and_says_nothing_personal(box: RunningBox, shared: Client) -> None:
    answer = requests.get(f"{box.url}/health", timeout=REQUEST_SECONDS)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    number = shared.get("/devices").json()["devices"][0]["phone_number"]
    assert number not in answer.text


def test_the_schema_is_openapi_3_1_with_a_page_beside_it(box: RunningBox) -> None:
    document = requests.get(f"{box.url}/schema/openapi.json", timeout=REQUEST_SECONDS).json()
    assert document["openapi"].startswith("3.1") and "/v1/sms/send" in document["paths"]
    page = requests.get(
        f"{box.url}/schema", headers={"Accept": "text/html"}, timeout=REQUEST_SECONDS
    )
    assert "/v1/sms/send" in page.text and "unsafe-inline" not in str(page.headers)


def test_texts_numbers_and_keys_do_not_reach_the_log(box: RunningBox, shared: Client) -> None:
    message_id = shared.send("+33612349999", "Un texte que personne ne doit lire")
    shared.until(message_id, "delivered")
    shared.get("/sms/history?to=%2B33612349999&search=personne")
    log = box.log()
    assert "/v1/sms/send" in log
    for private in ("33612349999", "personne", shared.api_key, shared.api_key[-20:]):
        assert private not in log
