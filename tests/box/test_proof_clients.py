"""Two clients try to reach each other's data: nothing is revealed, not even its existence."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests

from tests.box.running import Client, RunningBox

# Each tells of the moment or of the reader, not of what was asked for.
OWN_HEADERS = {"date", "ratelimit-remaining", "ratelimit-reset", "ratelimit-limit"}
NOBODY = "0" * 15 + "1"


def seen(answer: requests.Response, *ids: str) -> tuple[int, dict[str, str], str]:
    """All that a client can see of an answer, the ids it asked for itself aside."""
    headers = {k.lower(): v for k, v in answer.headers.items() if k.lower() not in OWN_HEADERS}
    body = answer.text
    for one in ids:
        body = body.replace(one, "ID")
    return answer.status_code, headers, re.sub(r"\s+", " ", body)


@pytest.fixture(scope="module")
def owner(box: RunningBox) -> Client:
    return box.client()


@pytest.fixture(scope="module")
def stranger(box: RunningBox) -> Client:
    return box.client()


@pytest.fixture(scope="module")
def twin(box: RunningBox, owner: Client) -> Client:
    """The owner's own test key: another partition."""
    return box.client("--test", of=owner.client_id)


@pytest.fixture(scope="module")
def newcomers(box: RunningBox) -> dict[str, Client]:
    """Who never did anything, live and test."""
    return {"stranger": box.client(), "twin": box.client("--test")}


@pytest.fixture(scope="module")
def theirs(owner: Client) -> dict[str, str]:
    """Messages of the owner in every state that a stranger may try."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    queued = owner.send("+33612000001", "Secret numéro un", scheduled_at=tomorrow)
    delivered = owner.send("+33612000002", "Secret numéro deux")
    failed = owner.send("+33695550106", "Secret numéro trois")
    owner.until(delivered, "delivered")
    owner.until(failed, "failed")
    otp = owner.post("/sms/send-otp", {"to": "+33612000003"}).json()["otp_id"]
    return {"queued": queued, "delivered": delivered, "failed": failed, "otp": otp}


ASKS: dict[str, Callable[[Client, str], requests.Response]] = {
    "status": lambda c, i: c.get(f"/sms/status/{i}"),
    "cancel": lambda c, i: c.delete(f"/sms/{i}"),
    "resend": lambda c, i: c.post(f"/sms/{i}/resend"),
}


@pytest.mark.parametrize("state", ["queued", "delivered", "failed"])
@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("who", ["stranger", "twin"])
def test_the_message_of_another_client_is_not_found(
    request: pytest.FixtureRequest, theirs: dict[str, str], ask: str, state: str, who: str
) -> None:
    client: Client = request.getfixturevalue(who)
    nobody = f"msg_{NOBODY}"
    real = seen(ASKS[ask](client, theirs[state]), theirs[state])
    assert real == seen(ASKS[ask](client, nobody), nobody)
    assert real[0] == 404 and "MESSAGE_NOT_FOUND" in real[2]


def test_the_attempts_changed_nothing(owner: Client, theirs: dict[str, str]) -> None:
    for state in ("queued", "delivered", "failed"):
        assert owner.status(theirs[state])["status"] == state


@pytest.mark.parametrize("who", ["stranger", "twin"])
def test_the_code_of_another_client_is_not_found(
    request: pytest.FixtureRequest, theirs: dict[str, str], who: str
) -> None:
    client: Client = request.getfixturevalue(who)
    nobody = f"otp_{NOBODY[-12:]}"
    for body in ({"code": "000000"}, {"code": "000000", "phone": "+33612000003"}):
        real = client.post("/sms/verify-otp", {"otp_id": theirs["otp"], **body})
        none = client.post("/sms/verify-otp", {"otp_id": nobody, **body})
        assert seen(real, theirs["otp"]) == seen(none, nobody)
        assert real.status_code == 404


@pytest.mark.parametrize("who", ["stranger", "twin"])
@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/sms/history", {}),
        ("/sms/history", {"to": "+33612000002"}),
        ("/sms/history", {"search": "Secret"}),
        ("/sms/history", {"search": "xx"}),
        ("/sms/history", {"status": "failed"}),
        ("/sms/history", {"device_id": "device_1"}),
        ("/sms/export", {"format": "jsonl"}),
        ("/sms/export", {"format": "csv", "to": "+33612000002"}),
        ("/sms/export", {"format": "csv", "search": "Secret"}),
        ("/sms/inbox", {}),
        ("/blocklist", {}),
    ],
)
def test_lists_contain_nothing_of_another_client(
    newcomers: dict[str, Client],
    request: pytest.FixtureRequest,
    theirs: dict[str, str],
    who: str,
    path: str,
    params: dict[str, str],
) -> None:
    client: Client = request.getfixturevalue(who)
    result = client.get(path, params=params)
    assert result.status_code == 200
    assert "Secret" not in result.text and not any(i in result.text for i in theirs.values())
    assert seen(result) == seen(newcomers[who].get(path, params=params))


@pytest.mark.parametrize("who", ["stranger", "twin"])
def test_figures_count_nothing_of_another_client(
    request: pytest.FixtureRequest, theirs: dict[str, str], who: str
) -> None:
    stats = request.getfixturevalue(who).get("/sms/stats").json()["stats"]
    assert (stats["total_sent"], stats["pending"], stats["failed"]) == (0, 0, 0)


def test_the_block_list_of_another_client_has_no_effect(owner: Client, stranger: Client) -> None:
    number = "+33612000077"
    assert owner.post("/blocklist", {"number": number}).status_code in (200, 201)
    assert number not in stranger.get("/blocklist").text
    real, none = (stranger.delete(f"/blocklist/{n}") for n in (number, "+33612000078"))
    assert seen(real, number) == seen(none, "+33612000078") and real.status_code == 404
    assert stranger.post("/sms/send", {"to": number, "message": "Bonjour"}).status_code == 202
    refused = owner.post("/sms/send", {"to": number, "message": "Bonjour"})
    assert refused.json()["error"]["code"] == "BLOCKED_NUMBER"


def test_idempotency_keys_of_two_clients_are_independent(
    owner: Client, stranger: Client, twin: Client
) -> None:
    body = {"to": "+33612000004", "message": "Une seule fois"}
    key = {"Idempotency-Key": "shared-key"}
    ids = {
        c.post("/sms/send", body, headers=key).json()["message_id"] for c in (owner, stranger, twin)
    }
    assert len(ids) == 3


def test_the_key_of_another_client_with_the_own_client_id_is_refused(
    owner: Client, stranger: Client
) -> None:
    mixed = owner.get("/sms/stats", headers={"X-Client-ID": stranger.client_id})
    none = owner.get("/sms/stats", headers={"X-Client-ID": "client_999999"})
    assert seen(mixed) == seen(none) and mixed.status_code == 401


def test_the_webhook_of_another_client_is_not_found(owner: Client, stranger: Client) -> None:
    made = owner.post(
        "/webhooks/configure", {"url": "https://example.com/hook", "events": ["sms.sent"]}
    )
    assert made.status_code == 200, made.text
    mine = made.json()["webhook_id"]
    for method, end in (("DELETE", ""), ("POST", "/test")):
        real, none = (stranger.request(method, f"/webhooks/{i}{end}") for i in (mine, "wh_999999"))
        assert seen(real, mine) == seen(none, "wh_999999") and real.status_code == 404
    assert mine not in stranger.get("/webhooks").text
    assert "example.com" not in stranger.get("/webhooks").text
    assert mine in owner.get("/webhooks").text
