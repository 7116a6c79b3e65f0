"""docs/api-contract.md, "One-time passwords": one test per rule, over HTTP, against a real box."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.box.running import SETTLE_SECONDS, Client, RunningBox, code, eventually

SEND, VERIFY = "/sms/send-otp", "/sms/verify-otp"


def received(box: RunningBox, number: str) -> str:
    """The text that the handset got."""

    def look() -> str | None:
        parts = [line["text"] for line in box.received() if line["recipient"] == number]
        return "".join(parts) or None

    return eventually(look, f"an SMS to {number}")


def made(client: Client, **fields: object) -> dict[str, Any]:
    answer = client.post(SEND, fields)
    assert answer.status_code == 202, answer.text
    result: dict[str, Any] = answer.json()
    return result


def verify(client: Client, otp_id: str, typed: str, **more: object) -> dict[str, Any]:
    answer = client.post(VERIFY, {"otp_id": otp_id, "code": typed, **more})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def other(right: str) -> str:
    """A code that is not the right one."""
    return str((int(right) + 1) % 10 ** len(right)).zfill(len(right))


def test_send_otp_is_202_with_every_field(shared: Client) -> None:
    result = made(shared, to="+33612340201")
    assert result.keys() == {
        *("success", "otp_id", "to", "expires_at", "message_id", "status", "phone_masked"),
        "code_length",
    }
    assert (result["phone_masked"], result["code_length"]) == ("+336****0201", 6)
    assert shared.status(result["message_id"])["priority"] == "urgent"


def test_the_default_text_has_six_digits(box: RunningBox, shared: Client) -> None:
    made(shared, to="+33612340202")
    text = received(box, "+33612340202")
    assert re.fullmatch(r"Votre code de vérification est : \d{6}", text)


@pytest.mark.parametrize(
    ("name", "number"), [("length", "+33612340216"), ("code_length", "+33612340217")]
)
def test_length_has_two_names(box: RunningBox, shared: Client, name: str, number: str) -> None:
    result = made(shared, to=number, template="Code {code}!", **{name: 4})
    assert result["code_length"] == 4
    assert re.fullmatch(r"Code \d{4}!", received(box, number))


@pytest.mark.parametrize(
    "fields",
    [
        *({"length": 3}, {"code_length": 9}, {"expiry": 59}, {"expiry": 1801}, {"length": "6"}),
        *({"expiry_minutes": 0}, {"expiry_minutes": 31}, {"template": "no place for it"}),
    ],
)
def test_lengths_expiries_and_templates_have_bounds(
    shared: Client, fields: dict[str, object]
) -> None:
    answer = shared.post(SEND, {"to": "+33612340204", **fields})
    assert code(answer, 400) == "INVALID_REQUEST"


def test_the_right_code_is_valid_once(box: RunningBox, shared: Client) -> None:
    otp_id = made(shared, to="+33612340205", template="{{code}}")["otp_id"]
    right = received(box, "+33612340205")
    result = verify(shared, otp_id, right, phone="+33 6 12 34 02 05")
    assert result["valid"] is True and result["message"] and result["verified_at"]
    again = shared.post(VERIFY, {"otp_id": otp_id, "code": right})
    assert code(again, 404) == "OTP_NOT_FOUND"


def test_a_forged_stop_does_not_stop_one_time_passwords(box: RunningBox, client: Client) -> None:
    number = "+33612340218"
    box.simulate(do="incoming", sender=number, text="STOP")
    eventually(lambda: number in client.get("/blocklist").text, "opted out")
    refused = client.post("/sms/send", {"to": number, "message": "Soldes"})
    assert code(refused, 403) == "BLOCKED_NUMBER"
    otp_id = made(client, to=number, template="{{code}}")["otp_id"]
    assert verify(client, otp_id, received(box, number))["valid"] is True


def test_a_wrong_code_counts_down_and_ends(box: RunningBox, shared: Client) -> None:
    otp_id = made(shared, to="+33612340206", template="{{code}}")["otp_id"]
    right = received(box, "+33612340206")
    left = []
    for _ in range(3):
        result = verify(shared, otp_id, other(right))
        assert result["valid"] is False and result["message"]
        left.append(result["attempts_remaining"])
    assert left == [2, 1, 0]
    for typed in (other(right), right):
        answer = shared.post(VERIFY, {"otp_id": otp_id, "code": typed})
        assert code(answer, 429) == "OTP_MAX_ATTEMPTS"


def test_concurrent_verifications_have_three_attempts_in_total(
    box: RunningBox, shared: Client
) -> None:
    otp_id = made(shared, to="+33612340207", template="{{code}}")["otp_id"]
    wrong = other(received(box, "+33612340207"))
    start = threading.Barrier(20)

    def attempt(_: int) -> int:
        start.wait()
        return shared.post(VERIFY, {"otp_id": otp_id, "code": wrong}).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(attempt, range(20)))
    assert (answers.count(200), answers.count(429)) == (3, 17)


def test_an_unknown_one_is_404_otp_not_found(shared: Client) -> None:
    for otp_id in ("otp_000000000000", "x", "otp_"):
        answer = shared.post(VERIFY, {"otp_id": otp_id, "code": "123456"})
        assert code(answer, 404) == "OTP_NOT_FOUND"


def test_more_than_ten_an_hour_to_one_number_are_429(box: RunningBox, client: Client) -> None:
    for n in range(10):
        made(client if n % 2 else box.client(of=client.client_id), to="+33612340208")
    answer = client.post(SEND, {"to": "+33612340208"})
    assert code(answer, 429) == "OTP_RATE_LIMIT"
    # The first of the ten was made a moment ago.
    assert 3600 - SETTLE_SECONDS < int(answer.headers["Retry-After"]) <= 3600
    assert made(client, to="+33612340209")


def test_the_code_is_masked_wherever_the_api_shows_the_message(
    box: RunningBox, client: Client
) -> None:
    # So long that no time or id looks like it by chance.
    result = made(client, to="+33612340210", template="Le code {{code}} pour vous", length=8)
    right = received(box, "+33612340210").split()[2]
    client.until(result["message_id"], "delivered")
    for path in (f"/sms/status/{result['message_id']}", "/sms/history", "/sms/export"):
        text = client.get(path).content.decode()
        assert "pour vous" in text and right not in text
    found = client.get("/sms/history", params={"search": right}).json()
    assert found["data"] == []
    assert right not in box.log()


def test_the_code_is_not_in_the_data_folder(own_box: Callable[..., RunningBox]) -> None:
    box = own_box()
    client = box.client()
    result = made(client, to="+33612340211", template="{{code}}", length=8)
    right = received(box, "+33612340211").encode()
    client.until(result["message_id"], "delivered")

    def found() -> list[str]:
        files = [file for file in box.data.rglob("*") if file.is_file()]
        assert any(file.suffix == ".db" for file in files)
        return [str(file) for file in files if right in file.read_bytes()]

    assert found() == []
    box.stop()
    assert found() == []


def test_a_failed_one_time_code_leaves_no_text_either(own_box: Callable[..., RunningBox]) -> None:
    box = own_box()
    tester = box.client("--test")  # its code is known: 12345678
    result = made(tester, to="+33695550106", template="{{code}}", length=8)
    tester.until(result["message_id"], "failed")
    box.stop()
    assert not [f for f in box.data.rglob("*") if f.is_file() and b"12345678" in f.read_bytes()]


def test_an_otp_needs_a_valid_number(shared: Client) -> None:
    assert code(shared.post(SEND, {"to": "0612"}), 400) == "INVALID_PHONE_NUMBER"
