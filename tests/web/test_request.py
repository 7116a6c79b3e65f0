"""What the door does with a request on its way in, and with an answer on its way out."""

import re

import httpx
import pytest

from tests.web.box import METRICS_TOKEN, WebBox

SEND = "/v1/sms/send"
BODY = {"to": "+33612345678", "message": "Bonjour"}


async def test_unknown_fields_are_ignored_and_named(api: httpx.AsyncClient) -> None:
    answer = await api.post(SEND, json={**BODY, "sender": "x", "Priority": 1})
    assert answer.status_code == 202
    assert answer.json()["warnings"] == ["sender", "Priority"]
    assert "warnings" not in (await api.post(SEND, json=BODY)).json()


async def test_unknown_fields_of_bulk_entries_are_named_once(api: httpx.AsyncClient) -> None:
    entry = {**BODY, "sender": "x"}
    answer = await api.post("/v1/sms/send-bulk", json={"messages": [entry, entry], "x": 1})
    assert answer.json()["warnings"] == ["x", "messages[].sender"]


async def test_a_text_for_recipients_means_nothing_beside_messages(api: httpx.AsyncClient) -> None:
    body = {"messages": [BODY], "message": "to all?"}
    for path in ("send-bulk", "send-bulk-personalized"):
        answer = await api.post(f"/v1/sms/{path}", json=body)
        assert (answer.status_code, answer.json()["warnings"]) == (202, ["message"])
    answer = await api.post("/v1/sms/send-bulk", json={**body, "message": None})
    assert "warnings" not in answer.json()


async def test_a_million_unknown_fields_do_not_come_back(api: httpx.AsyncClient) -> None:
    answer = await api.post(SEND, json={**BODY, **{f"{n:0100d}": n for n in range(1000)}})
    warnings = answer.json()["warnings"]
    assert len(warnings) == 20 and all(len(name) == 64 for name in warnings)


async def test_null_is_absent_and_the_last_of_two_equal_keys_counts(
    api: httpx.AsyncClient,
) -> None:
    body = (
        b'{"to": "x", "to": "+33612345678", "message": "Bonjour", "priority": null, "flash": null}'
    )
    answer = await api.post(SEND, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202
    assert (answer.json()["to"], answer.json()["priority"]) == ("+33612345678", "normal")


async def sent(api: httpx.AsyncClient, **more: object) -> str:
    answer = await api.post(SEND, json={**BODY, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["message_id"])


async def found(api: httpx.AsyncClient, query: str) -> list[str]:
    """The messages that the history has for a query."""
    answer = await api.get(f"/v1/sms/history?{query}")
    assert answer.status_code == 200, answer.text
    return [message["message_id"] for message in answer.json()["data"]]


async def test_empty_query_values_are_absent(api: httpx.AsyncClient) -> None:
    message_id = await sent(api)
    names = "page limit status to from_date to_date device_id search"
    query = "&".join(f"{name}=" for name in names.split())
    assert await found(api, query) == [message_id]


async def test_every_filter_of_the_history_arrives(api: httpx.AsyncClient, box: WebBox) -> None:
    first = await sent(api, message="un élève")
    await box.deliver_next()
    box.clock.advance(3600)
    second = await sent(api, to="+33698765432")
    for query, wanted in {
        "unknown=1": [second, first],
        "page=2&limit=1": [first],
        "status=delivered": [first],
        "to=+33612345678": [first],  # in a query a plus is a space
        "to_date=2025-01-15T10:30:00Z": [first],
        "from_date=2025-01-15T10:30:01Z": [second],
        "from_date=2025-01-15": [second, first],
        "search=%C3%89L%C3%88VE": [first],
        "device_id=device_1": [second, first],
        "device_id=device_9": [],
        "status=delivered&to=+33698765432": [],
    }.items():
        assert await found(api, query) == wanted, query


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "page=0", "page=x", "status=lost", "from_date=yesterday"),
        *("to_date=2025-02-30", "from_date=2025-01-02&to_date=2025-01-01", "limit=%FF", "page=%00"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/sms/history", "/v1/sms/export"])
async def test_a_wrong_filter_is_an_invalid_request(
    api: httpx.AsyncClient, path: str, query: str
) -> None:
    answer = await api.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


async def test_the_filters_of_the_other_lists_arrive(api: httpx.AsyncClient, box: WebBox) -> None:
    await box.receive("+33612345678", "Stop")
    await box.receive("+33698765432", "Bonjour")
    for query, wanted in {
        "": ["Bonjour", "Stop"],
        "from=%2033612345678": ["Stop"],
        "search=bonjour": ["Bonjour"],
        "limit=1&page=2": ["Stop"],
    }.items():
        answer = await api.get(f"/v1/sms/inbox?{query}")
        assert [message["message"] for message in answer.json()["data"]] == wanted, query
    page = (await api.get("/v1/webhooks/logs?page=3&limit=7")).json()["pagination"]
    assert (page["current_page"], page["per_page"]) == (3, 7)


@pytest.mark.parametrize("path", ["/v1/auth/test/", "/v1//sms/history", "/health/", "/schema/"])
async def test_slashes_too_many_are_fine(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 200


async def test_a_content_type_without_a_body_is_fine(api: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await api.get("/v1/sms/history", headers=headers)).status_code == 200
    path = f"/v1/sms/{await sent(api)}"
    assert (await api.delete(path, headers=headers)).status_code == 200


async def test_head_is_get_without_the_body(api: httpx.AsyncClient) -> None:
    get, head = await api.get("/v1/auth/test"), await api.head("/v1/auth/test")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    missing = await api.head("/v1/sms/status/msg_0")
    assert (missing.status_code, missing.content) == (404, b"")
    assert (await api.head("/v1/sms/send")).status_code == 405


async def test_answers_of_the_api_are_not_to_be_kept(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/auth/test")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_same_key_and_body_get_the_first_answer_again(
    api: httpx.AsyncClient,
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await api.post(SEND, json=BODY, headers=headers)
    turned = await api.post(SEND, json=dict(reversed(BODY.items())), headers=headers)
    assert first.json() == turned.json()
    assert await found(api, "") == [first.json()["message_id"]]


async def test_an_answer_is_repeated_even_when_its_schedule_has_passed(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    body = {**BODY, "scheduled_at": "2025-01-15T10:30:01Z"}
    first = await api.post(SEND, json=body, headers={"Idempotency-Key": "k1"})
    box.clock.advance(2)
    again = await api.post(SEND, json=body, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()) == (202, first.json())


async def test_the_same_key_with_another_body_is_a_conflict(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    await api.post(SEND, json=BODY, headers=headers)
    answer = await api.post(SEND, json={**BODY, "message": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "IDEMPOTENCY_CONFLICT")


async def test_an_invalid_idempotency_key_is_refused(api: httpx.AsyncClient) -> None:
    for key in ("", "a b", "x" * 256):
        answer = await api.post(SEND, json=BODY, headers={"Idempotency-Key": key})
        assert answer.json()["error"]["details"]["field"] == "Idempotency-Key"


async def test_metadata_comes_back_as_it_was(api: httpx.AsyncClient) -> None:
    metadata = {"order": "12345", "é": [1, 2.5, None, {"x": "😀"}], "n": 10**20}
    result = await api.get(f"/v1/sms/status/{await sent(api, metadata=metadata)}")
    assert result.json()["metadata"] == metadata


async def test_a_failure_is_told_in_words_with_the_modems_own_code(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    path = f"/v1/sms/status/{await sent(api)}"
    box.clock.advance(60)
    await box.fail_next()
    result = (await api.get(path)).json()
    assert result["failed_at"] == "2025-01-15T10:31:00Z"
    assert (result["error"]["code"], result["error"]["message"]) == (
        "NETWORK_ERROR",
        "Le réseau mobile a refusé le message ou n'a pas pu l'acheminer.",
    )
    assert re.fullmatch(r"Le réseau .* \(CMS 38\)", result["error"]["details"])
    english = (await api.get(path, headers={"Accept-Language": "en"})).json()
    assert re.fullmatch(r"The network .* \(CMS 38\)", english["error"]["details"])


async def test_the_log_tells_of_a_request_without_texts_and_numbers(
    api: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await api.post(SEND, json={**BODY, "message": "a secret text"})
    await api.get("/v1/sms/history?to=%2B33612345678&search=secret")
    await api.delete("/v1/blocklist/+33612345678")
    await api.get("/v1/nothing/33612345678")
    logged = capsys.readouterr().out
    assert logged.count("request") == 4
    assert "/v1/blocklist/{number}" in logged and "client_1" in logged
    for private in ("33612345678", "secret", "zs_live"):
        assert private not in logged


async def test_each_answer_is_observed_by_its_route_without_any_value(
    api: httpx.AsyncClient, box: WebBox
) -> None:
    await api.get("/v1/sms/status/msg_0000000000000001?secret=1")
    await api.get("/v1/nowhere/+33612345678")
    await api.head("/health")
    metrics = (await box.services.metrics.text(METRICS_TOKEN)).decode()
    counted = [
        line for line in metrics.splitlines() if line.startswith("zimbox_http_requests_total")
    ]
    assert counted == [
        'zimbox_http_requests_total{method="GET",route="/v1/sms/status/{message_id}",status="404"} 1.0',
        'zimbox_http_requests_total{method="GET",route="-",status="404"} 1.0',
        'zimbox_http_requests_total{method="HEAD",route="/health",status="200"} 1.0',
    ]
