"""Who is asking is settled before anything else of a request is looked at."""

import httpx
import pytest

from tests.web.box import METRICS_TOKEN, WebBox
from web.app import API


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def a_path(template: str) -> str:
    return (
        template.replace("{message_id:str}", "x")
        .replace("{webhook_id:str}", "x")
        .replace("{log_id:str}", "x")
        .replace("{number:str}", "x")
        .replace("{kind:str}", "gatus")
    )


ROUTES = [
    (method, "/v1" + a_path(path))
    for handler in API
    for path in sorted(handler.paths)
    for method in sorted(handler.http_methods)
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_under_v1_checks_the_two_headers_first(
    api: httpx.AsyncClient, method: str, path: str
) -> None:
    wrong = {"Content-Type": "text/plain", "X-API-Key": "", "X-Client-ID": ""}
    answer = await api.request(method, path, headers=wrong, content=b"x" * 300_000)
    assert code(answer) == (400, "MISSING_AUTH_HEADERS")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Client-ID": ""}, (400, "MISSING_AUTH_HEADERS")),
        ({"X-API-Key": ""}, (400, "MISSING_AUTH_HEADERS")),
        ({"X-API-Key": "  "}, (400, "MISSING_AUTH_HEADERS")),
        ({"X-API-Key": "zs_live_x", "X-Client-ID": "client_9"}, (401, "INVALID_API_KEY")),
        ({"X-Client-ID": "client_9"}, (401, "INVALID_CLIENT_ID")),
        ({"X-Client-ID": "client_9", "X-Device-ID": "device_9"}, (401, "INVALID_CLIENT_ID")),
        ({"X-Device-ID": "device_9"}, (404, "INVALID_DEVICE_ID")),
    ],
)
async def test_headers_then_key_then_client_then_device(
    api: httpx.AsyncClient, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert code(await api.get("/v1/auth/test", headers=headers)) == expected


async def test_the_error_names_the_missing_header(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/auth/test", headers={"X-Client-ID": ""})
    assert answer.json()["error"]["details"] == {"missing": ["X-Client-ID"]}


async def test_a_device_may_be_named_or_left_to_the_box(api: httpx.AsyncClient) -> None:
    for device in ("device_1", ""):
        answer = await api.get("/v1/auth/test", headers={"X-Device-ID": device})
        assert answer.status_code == 200


async def test_header_names_are_read_in_any_case(box: WebBox) -> None:
    async with httpx.AsyncClient(transport=box.transport(), base_url="http://box") as bare:
        headers = {"x-api-key": box.key, "X-CLIENT-ID": box.client}
        assert (await bare.get("/v1/auth/test", headers=headers)).status_code == 200


async def test_options_and_405_need_no_key(api: httpx.AsyncClient) -> None:
    answer = await api.options("/v1/sms/send", headers={"X-API-Key": ""})
    assert (answer.status_code, answer.headers["Allow"]) == (204, "OPTIONS, POST")
    answer = await api.options("/v1/blocklist/")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_health_and_schema_need_no_key(api: httpx.AsyncClient) -> None:
    for path in ("/health", "/schema", "/schema/openapi.json"):
        answer = await api.get(path, headers={"X-API-Key": "", "X-Client-ID": ""})
        assert answer.status_code == 200, path


async def test_a_metrics_token_is_a_bearer_token(api: httpx.AsyncClient) -> None:
    good = await api.get("/metrics", headers={"Authorization": f"bearer {METRICS_TOKEN}"})
    assert good.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE zimbox_http_requests_total counter" in good.text
    for headers in ({"Authorization": "Bearer wrong"}, {}):
        assert code(await api.get("/metrics", headers=headers)) == (401, "INVALID_API_KEY")


async def test_a_key_may_come_as_a_bearer_token(box: WebBox) -> None:
    async with httpx.AsyncClient(transport=box.transport(), base_url="http://box") as client:
        headers = {"Authorization": f"Bearer {box.key}", "X-Client-ID": box.client}
        assert (await client.get("/v1/auth/test", headers=headers)).status_code == 200
        headers["Authorization"] = f"Basic {box.key}"
        answer = await client.get("/v1/auth/test", headers=headers)
        assert answer.json()["error"]["details"] == {"missing": ["X-API-Key"]}


async def test_two_different_keys_are_refused_and_neither_is_shown(box: WebBox) -> None:
    async with httpx.AsyncClient(transport=box.transport(), base_url="http://box") as client:
        other = "zs_live_" + "1" * 48
        for headers in (
            {"X-API-Key": box.key, "Authorization": f"Bearer {other}"},
            {"X-API-Key": other, "Authorization": f"Bearer {box.key}"},
        ):
            asked = {**headers, "X-Client-ID": box.client, "Accept-Language": "en"}
            answer = await client.get("/v1/auth/test", headers=asked)
            assert code(answer) == (400, "INVALID_REQUEST")
            assert answer.json()["error"]["details"] == {
                "field": "Authorization",
                "reason": "holds another key than X-API-Key; send one of the two",
            }
            assert box.key not in answer.text and other not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER  "])
async def test_a_bearer_token_may_stand_beside_the_key_header(box: WebBox, scheme: str) -> None:
    """The same key twice, and a token that is for a proxy on the way."""
    async with httpx.AsyncClient(transport=box.transport(), base_url="http://box") as client:
        for token in (box.key, "eyJhbGciOiJIUzI1NiJ9.e30.x", ""):
            headers = {**box.headers, "Authorization": f"{scheme} {token}"}
            assert (await client.get("/v1/auth/test", headers=headers)).status_code == 200


async def test_a_bearer_key_needs_the_client_id_as_the_key_header_does(box: WebBox) -> None:
    async with httpx.AsyncClient(transport=box.transport(), base_url="http://box") as client:
        headers = {"Authorization": f"Bearer {box.key}"}
        answer = await client.get("/v1/auth/test", headers=headers)
        assert code(answer) == (400, "MISSING_AUTH_HEADERS")
        assert answer.json()["error"]["details"] == {"missing": ["X-Client-ID"]}
        headers["X-Client-ID"] = "client_9"
        answer = await client.get("/v1/auth/test", headers=headers)
        assert code(answer) == (401, "INVALID_CLIENT_ID")


async def test_cors_is_allowed_only_for_configured_origins(box: WebBox) -> None:
    asked = {
        "Origin": "http://intranet.lan",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key, x-client-id, content-type",
    }
    for origins, allowed in (((), None), (("http://intranet.lan",), "http://intranet.lan")):
        transport = box.transport(cors_origins=origins)
        async with httpx.AsyncClient(transport=transport, base_url="http://box") as client:
            preflight = await client.options("/v1/sms/send", headers=asked)
            assert preflight.status_code == 204
            assert preflight.headers.get("Access-Control-Allow-Origin") == allowed
            headers = {"Origin": asked["Origin"], **box.headers}
            answer = await client.get("/v1/auth/test", headers=headers)
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Access-Control-Allow-Credentials" not in answer.headers
            other = await client.get("/v1/auth/test", headers={**headers, "Origin": "http://x"})
            assert "Access-Control-Allow-Origin" not in other.headers
