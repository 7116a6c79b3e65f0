"""The OpenAPI document tells of every route, parameter, answer and error there is, and of no other."""

import asyncio
import re
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from appliance.domain.errors import ERROR_SPECS
from appliance.domain.views import SuccessResponse
from tests.web.box import WebBox
from web.app import create
from web.openapi import page
from web.openapi.document import document
from web.openapi.examples import ANSWERS


async def _app() -> Litestar:
    with tempfile.TemporaryDirectory() as folder:
        box = await WebBox.start(Path(folder))
        await box.stop()
        return create(box.services)


APP = asyncio.run(_app())  # before the tests are collected: they are one for each operation
DOCUMENT = document(APP)
OPERATIONS = [
    (path, method, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]

# docs/api-contract.md: each route with its codes.
CONTRACT = {
    "POST /v1/sms/send": "INVALID_PHONE_NUMBER MESSAGE_TOO_LONG INVALID_PRIORITY BLOCKED_NUMBER "
    "INVALID_SCHEDULED_DATE IDEMPOTENCY_CONFLICT DEVICE_OFFLINE NO_DEVICE_AVAILABLE QUEUE_FULL "
    "QUOTA_EXCEEDED INVALID_WEBHOOK_URL",
    "POST /v1/sms/send-bulk": "TOO_MANY_RECIPIENTS",
    "POST /v1/sms/send-bulk-personalized": "TOO_MANY_RECIPIENTS",
    "POST /v1/sms/{message_id}/resend": "CANNOT_RESEND_MESSAGE MESSAGE_NOT_FOUND",
    "GET /v1/sms/status/{message_id}": "MESSAGE_NOT_FOUND",
    "DELETE /v1/sms/{message_id}": "MESSAGE_NOT_FOUND CANNOT_CANCEL_MESSAGE",
    "GET /v1/sms/history": "INVALID_REQUEST",
    "GET /v1/sms/stats": "INVALID_REQUEST",
    "GET /v1/sms/export": "INVALID_REQUEST",
    "POST /v1/sms/send-otp": "OTP_RATE_LIMIT INVALID_PHONE_NUMBER",
    "POST /v1/sms/verify-otp": "OTP_NOT_FOUND OTP_EXPIRED OTP_MAX_ATTEMPTS",
    "POST /v1/webhooks/configure": "INVALID_WEBHOOK_URL",
    "GET /v1/webhooks": "",
    "DELETE /v1/webhooks/{webhook_id}": "WEBHOOK_NOT_FOUND",
    "POST /v1/webhooks/{webhook_id}/test": "WEBHOOK_NOT_FOUND",
    "GET /v1/webhooks/logs": "INVALID_REQUEST",
    "POST /v1/webhooks/logs/{log_id}/replay": "WEBHOOK_NOT_FOUND",
    "GET /v1/sms/inbox": "INVALID_REQUEST",
    "GET /v1/conversations": "INVALID_REQUEST",
    "GET /v1/conversations/messages": "INVALID_REQUEST",
    "POST /v1/conversations/read": "NOT_FOUND",
    "GET /v1/contacts": "INVALID_REQUEST",
    "PUT /v1/contacts/{number}": "INVALID_PHONE_NUMBER",
    "DELETE /v1/contacts/{number}": "INVALID_PHONE_NUMBER NOT_FOUND",
    "GET /v1/blocklist": "",
    "POST /v1/blocklist": "INVALID_PHONE_NUMBER",
    "DELETE /v1/blocklist/{number}": "",
    "GET /v1/simple/send": "INVALID_PHONE_NUMBER MESSAGE_TOO_LONG",
    "POST /v1/simple/send": "INVALID_PHONE_NUMBER MESSAGE_TOO_LONG",
    "POST /v1/alerts/{kind}": "NOT_FOUND BLOCKED_NUMBER QUOTA_EXCEEDED",
    "GET /v1/auth/test": "",
    "GET /v1/devices": "",
    "GET /health": "",
    "GET /metrics": "",
}
KEYED = {
    *("MISSING_AUTH_HEADERS", "INVALID_API_KEY", "INVALID_CLIENT_ID", "INVALID_DEVICE_ID"),
    *("KEY_NOT_ALLOWED", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR"),
}
WRITES = {"STORAGE_FULL", "PAYLOAD_TOO_LARGE"}


def codes(operation: dict[str, Any]) -> dict[str, int]:
    """Each code that the operation may answer, with its status."""
    return {
        code: int(status)
        for status, response in operation["responses"].items()
        if int(status) >= 300
        for content in response["content"].values()
        for code in content["examples"]
    }


def test_the_document_has_the_routes_of_the_contract_and_no_other() -> None:
    assert {f"{method.upper()} {path}" for path, method, _ in OPERATIONS} == CONTRACT.keys()


def test_the_document_has_every_route_that_answers() -> None:
    found = {
        f"{method} {route.path_format}"
        for route in APP.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith("/schema")
        for method in route.route_handler_map
        if method != "OPTIONS"
    }
    assert found == CONTRACT.keys()


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_operation_documents_the_errors_of_the_contract(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    result = codes(operation)
    assert result.keys() >= set(CONTRACT[f"{method.upper()} {path}"].split())
    assert all(status == ERROR_SPECS[code].status for code, status in result.items())  # type: ignore[index]
    if path.startswith("/v1"):
        # A key may be tried whatever it may.
        open_to_any = {"KEY_NOT_ALLOWED"} if path == "/v1/auth/test" else set[str]()
        assert result.keys() & KEYED == set(KEYED) - open_to_any
        schemes = ["ApiKey", "BearerKey", *(["KeyField"] if "/simple/" in path else [])]
        assert operation["security"] == [{scheme: []} for scheme in schemes]


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_no_operation_documents_an_impossible_error(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    result = codes(operation)
    simple = path == "/v1/simple/send"  # a GET sends too, and the body is a form
    assert result.keys() & WRITES == (set() if method == "get" and not simple else WRITES)
    has_body = "requestBody" in operation or (simple and method == "post")
    assert ("UNSUPPORTED_MEDIA_TYPE" in result) == has_body
    keyed = path.startswith("/v1/")  # two different keys
    assert ("INVALID_REQUEST" in result) == keyed
    takes_url = path.startswith("/v1/sms/send") or path.endswith("/configure")
    assert ("INVALID_WEBHOOK_URL" in result) == takes_url


def test_every_code_of_the_api_is_documented() -> None:
    result = {code for _, _, operation in OPERATIONS for code in codes(operation)}
    assert result == ERROR_SPECS.keys() - {"METHOD_NOT_ALLOWED"}  # it belongs to no operation


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_operation_is_complete(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["description"] and operation["tags"]
    named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))
    successes = [status for status in operation["responses"] if status < "300"]
    assert len(successes) == 1


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert set(names) >= ANSWERS.keys()


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    used = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert used == DOCUMENT["components"]["schemas"].keys()


def test_the_server_is_an_address_that_a_generated_client_can_call() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    (server,) = DOCUMENT["servers"]
    assert server["url"] == "http://{host}"
    assert server["variables"]["host"]["default"] == "zimbox.local"


def keywords(value: Any) -> set[str]:
    """Every keyword in a schema, of any depth."""
    if isinstance(value, list):
        return set().union(*map(keywords, value))
    if not isinstance(value, dict):
        return set()
    inner = {k: v for k, v in value.items() if k not in ("examples", "example")}
    return set(inner) | set().union(*map(keywords, inner.values()))


@pytest.mark.parametrize(("name", "schema"), DOCUMENT["components"]["schemas"].items())
def test_a_schema_keeps_to_what_client_generators_agree_on(
    name: str, schema: dict[str, Any]
) -> None:
    assert "const" not in keywords(schema) and "allOf" not in keywords(schema)
    for field in schema.get("properties", {}).values():
        assert field.get("default", 0) is not None
        assert field.keys() & {"type", "$ref", "oneOf", "anyOf"}, f"{name}: {field} has no type"


def validator(name: str) -> jsonschema_rs.Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.validator_for(schema)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_each_example_fits_its_schema(path: str, method: str, operation: dict[str, Any]) -> None:
    contents = [response.get("content", {}) for response in operation["responses"].values()]
    if "requestBody" in operation:
        contents.append(operation["requestBody"]["content"])
    for content in contents:
        for media in content.values():
            schema = {**media["schema"], "components": DOCUMENT["components"]}
            given = [media["example"]] if "example" in media else []
            given += [example["value"] for example in media.get("examples", {}).values()]
            for example in given:
                jsonschema_rs.validate(schema, example)


async def test_responses_match_their_schema(api: httpx.AsyncClient) -> None:
    sent = await api.post("/v1/sms/send", json={"to": "+33612345678", "message": "x"})
    validator("AcceptedAnswer").validate(sent.json())
    for path, name in {
        f"/v1/sms/status/{sent.json()['message_id']}": "MessageAnswer",
        "/v1/sms/history": "HistoryAnswer",
        "/v1/sms/stats": "StatsAnswer",
        "/v1/sms/inbox": "InboxAnswer",
        "/v1/blocklist": "BlocklistAnswer",
        "/v1/webhooks": "WebhooksAnswer",
        "/v1/webhooks/logs": "LogsAnswer",
        "/v1/devices": "DevicesAnswer",
        "/v1/auth/test": "AuthAnswer",
        "/health": "HealthAnswer",
        "/v1/nothing": "ErrorAnswer",
        "/v1/sms/history?page=0": "ErrorAnswer",
    }.items():
        validator(name).validate((await api.get(path)).json())


def test_fields_that_are_always_present_are_required() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["AcceptedAnswer"]["required"]) == {
        *("success", "message_id", "status", "to", "queued_at", "estimated_delivery"),
        *("scheduled_at", "priority", "device_id", "parts", "encoding"),
    }
    assert "warnings" not in schemas["AcceptedAnswer"]["required"]
    assert set(schemas["SendBody"]["required"]) == {"to", "message"}
    assert SuccessResponse.__struct_fields__[:2] == ("success", "warnings")


class Seen(HTMLParser):
    """What a page asks a browser to fetch or run, and the anchors in it."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.inline: list[str] = []
        self.anchors: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "style") or "style" in given or any(a.startswith("on") for a in given):
            self.inline.append(tag)
        if tag in ("link", "img", "script", "iframe"):
            self.fetched.append(given.get("href") or given.get("src") or "")
        if tag == "a" and (given.get("href") or "").startswith("#"):
            self.links.add((given["href"] or "")[1:])
        if given.get("id"):
            self.anchors.add(given["id"] or "")


async def test_the_reference_needs_no_internet_and_no_script(api: httpx.AsyncClient) -> None:
    answer = await api.get("/schema", headers={"Accept": "text/html,*/*"})
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    seen = Seen()
    seen.feed(answer.text)
    assert seen.inline == []
    assert [path.partition("?")[0] for path in seen.fetched] == [
        "/static/icon.svg", "/static/page.css", "/static/reference.css",
    ]  # fmt: skip
    assert seen.links <= seen.anchors


async def test_the_reference_shows_every_operation_and_code(api: httpx.AsyncClient) -> None:
    text = page.page(DOCUMENT)
    for path, _, operation in OPERATIONS:
        assert path in text
        for code in codes(operation):
            assert code in text
    assert len(text.encode()) < 400_000


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("TEXT/HTML", "text/html"),
        ("application/json, text/html;q=0.1", "application/json"),
        ("text/html;q=0", "application/json"),
    ],
)
async def test_the_preferred_content_type_is_returned(
    api: httpx.AsyncClient, accept: str, kind: str
) -> None:
    answer = await api.get("/schema", headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.headers["Vary"].startswith("Accept, Accept-Encoding")


async def test_a_program_gets_the_document_where_a_browser_gets_the_page(
    api: httpx.AsyncClient,
) -> None:
    for path in ("/schema", "/schema/openapi.json"):
        answer = await api.get(path)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json() == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


async def test_the_reference_is_in_the_language_of_the_visitor(api: httpx.AsyncClient) -> None:
    html = {"Accept": "text/html"}
    french = (await api.get("/schema", headers=html)).text
    english = (await api.get("/schema", headers={**html, "Accept-Language": "en"})).text
    chosen = {**html, "Accept-Language": "en", "Cookie": "zimbox_language=fr"}
    assert '<html lang="fr">' in french and "Envoyer un SMS" in french
    assert '<html lang="en">' in english and "Send one SMS" in english
    assert "The API key is unknown" in english and "La clé API est inconnue" in french
    assert (await api.get("/schema", headers=chosen)).text == french


async def test_the_reference_renders_markdown_and_leads_back(api: httpx.AsyncClient) -> None:
    text = (await api.get("/schema", headers={"Accept": "text/html"})).text
    assert "`" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)
    assert "<code>recipients</code>" in text
    assert '<a class="brand" href="/">' in text
