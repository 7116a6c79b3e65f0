"""Every failure, whatever its source, comes in the one envelope and in the language asked for."""

import resource
from pathlib import Path
from sqlite3 import Connection

import httpx
import pytest

from tests.web.box import WebBox
from web.error_responses import preferred, wants_page
from web.page import manual
from web.page.routes import StatusPage

SEND = "/v1/sms/send"


def error_of(answer: httpx.Response) -> dict[str, object]:
    """The error of a failure, after the envelope itself was checked."""
    body = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert body.keys() == {"success", "error"}
    assert body["success"] is False
    assert {"code", "message"} <= body["error"].keys() <= {"code", "message", "details"}
    assert body["error"]["message"]
    error: dict[str, object] = body["error"]
    return error


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v1", 404, "NOT_FOUND"),
        ("GET", "/v1/sms", 404, "NOT_FOUND"),
        ("GET", "/v1/sms/status", 404, "NOT_FOUND"),
        ("GET", "/v1/sms/status/a/b", 404, "NOT_FOUND"),
        ("POST", "/schema/nothing", 404, "NOT_FOUND"),
        ("GET", "/schema/nothing", 404, "NOT_FOUND"),
        ("GET", "/v1/%00", 404, "NOT_FOUND"),
        ("GET", "/v1/%ff%fe", 404, "NOT_FOUND"),
        ("GET", SEND, 405, "METHOD_NOT_ALLOWED"),
        ("PATCH", "/v1/sms/msg_1", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", "/health", 405, "METHOD_NOT_ALLOWED"),
        ("BREW", "/health", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/sms/status/msg_0", 404, "MESSAGE_NOT_FOUND"),
        ("GET", "/v1/sms/status/%F0%9F%98%80", 404, "MESSAGE_NOT_FOUND"),
        ("POST", SEND, 400, "INVALID_REQUEST"),
    ],
)
async def test_every_error_has_the_documented_json_form(
    api: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await api.request(method, path)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


async def test_a_wrong_method_gets_the_allowed_ones(api: httpx.AsyncClient) -> None:
    answer = await api.put("/v1/sms/history")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    answer = await api.get(SEND)
    assert answer.headers["Allow"] == "OPTIONS, POST"
    assert answer.headers.get_list("Allow") == ["OPTIONS, POST"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"nonsense", b"NaN", b'{"to": NaN}', b'{"to": Infinity}', b"\xff\xfe{\x00}\x00"),
        *(b'{"to": "\xff"}', b'{"to": "\\ud800"}', b'{"to": "x\x00"}', b"{} {}"),
        *(
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"priority": 1e400}',
            b'{"to": ' + b"9" * 9000 + b"}",
        ),
        *(b"[]", b'"text"', b"5", b"null", b"true"),
    ],
)
async def test_a_body_that_is_no_json_object_is_an_invalid_request(
    api: httpx.AsyncClient, body: bytes
) -> None:
    answer = await api.post(SEND, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["code"] == "INVALID_REQUEST"
    assert isinstance(error["details"], dict) and error["details"]["field"] == "body"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        ";",
    ],
)
async def test_a_body_of_another_kind_is_an_unsupported_media_type(
    api: httpx.AsyncClient, kind: str
) -> None:
    answer = await api.post(SEND, content=b"a=b", headers={"Content-Type": kind})
    if kind == ";":  # no type at all: taken for JSON, which it is not
        assert (answer.status_code, error_of(answer)["code"]) == (400, "INVALID_REQUEST")
    else:
        assert (answer.status_code, error_of(answer)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json", None]
)
async def test_json_may_be_called_by_any_of_its_names_or_none(
    api: httpx.AsyncClient, kind: str | None
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    body = b'{"to": "+33612345678", "message": "x"}'
    assert (await api.post(SEND, content=body, headers=headers)).status_code == 202


async def test_a_body_above_256_kib_is_too_large(api: httpx.AsyncClient) -> None:
    answer = await api.post(SEND, json={"to": "x" * 256 * 1024})
    assert (answer.status_code, error_of(answer)["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_does_not_say_its_size_is_too_large_as_well(
    api: httpx.AsyncClient,
) -> None:
    sent = 0

    async def endless() -> object:
        nonlocal sent
        for _ in range(1024):
            sent += 1
            yield b" " * 1024

    answer = await api.post(
        SEND,
        content=endless(),  # type: ignore[arg-type]
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, error_of(answer)["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert sent < 300  # it did not wait for the end


async def test_a_bulk_may_have_16_mib(api: httpx.AsyncClient) -> None:
    body = {"recipients": ["+33612345678"], "message": "x", "pad": "x" * (15 * 1024 * 1024)}
    for path in ("/v1/sms/send-bulk", "/v1/sms/send-bulk-personalized"):
        fits = (
            body
            if path.endswith("bulk")
            else {**body, "messages": [{"to": "+33612345678", "message": "x"}]}
        )
        assert (await api.post(path, json=fits)).status_code == 202
        answer = await api.post(path, json={"pad": "x" * (16 * 1024 * 1024)})
        assert (answer.status_code, error_of(answer)["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_an_internal_error_reveals_nothing(
    api: httpx.AsyncClient, box: WebBox, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(db: Connection) -> None:
        db.execute("ALTER TABLE api_key RENAME TO the_secret_is_42")

    await box.db.write(damage)
    answer = await api.get("/v1/auth/test")
    assert (answer.status_code, error_of(answer)["code"]) == (500, "INTERNAL_ERROR")
    assert "api_key" not in answer.text
    logged = capsys.readouterr().out
    assert "no such table: api_key" in logged and "Traceback" in logged


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "fr"),
        ("fr", "fr"),
        ("en", "en"),
        ("EN-us", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("en,fr", "en"),
        ("fr,en", "fr"),
        ("fr;q=0.5,en;q=0.8", "en"),
        ("en;q=0.5, fr;q=0.8", "fr"),
        ("*", "fr"),
        ("de", "fr"),
        ("de,en;q=0.1", "en"),
        ("en;q=0", "fr"),
        ("en;q=nonsense", "fr"),
        ("en;q=nan", "fr"),
        (",;,=;q", "fr"),
        ("en," * 10_000, "en"),
    ],
)
def test_english_for_those_who_prefer_it_and_french_for_all_others(
    header: str, language: str
) -> None:
    assert preferred(header) == language


async def test_the_message_is_in_the_language_asked_for_and_the_code_never_changes(
    api: httpx.AsyncClient,
) -> None:
    french = await api.get("/v1/sms/history?limit=0")
    english = await api.get("/v1/sms/history?limit=0", headers={"Accept-Language": "en"})
    assert error_of(french)["code"] == error_of(english)["code"] == "INVALID_REQUEST"
    assert "doit être un entier de 1 à 100" in str(error_of(french))
    assert "must be a whole number from 1 to 100" in str(error_of(english))


async def test_too_many_requests_get_retry_after(
    tmp_path: Path,
) -> None:
    box = await WebBox.start(tmp_path, rate_limit=3, read_limit=2)
    async with httpx.AsyncClient(
        transport=box.transport(), base_url="http://box", headers=box.headers
    ) as api:
        for seconds, remaining, reset in ((0, 1, 60), (30, 0, 30)):
            box.clock.advance(seconds)
            answer = await api.get("/v1/auth/test")
            assert answer.headers["RateLimit-Limit"] == "2"
            assert answer.headers["RateLimit-Remaining"] == str(remaining)
            assert answer.headers["RateLimit-Reset"] == str(reset)
        answer = await api.get("/v1/auth/test")
        assert (answer.status_code, error_of(answer)["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert answer.headers["Retry-After"] == "30"
        box.clock.advance(30)
        assert (await api.get("/v1/auth/test")).status_code == 200
    await box.stop()


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True),
        ("application/json, text/html", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("*/*", False),
        ("", False),
        ("image/avif,image/webp,*/*", False),
    ],
)
def test_only_a_navigating_browser_gets_an_html_page(accept: str, page: bool) -> None:
    assert wants_page(accept) is page


@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")  # handlers of the page
async def test_a_page_whose_file_cannot_be_opened_is_not_an_error_of_the_program(
    box: WebBox,
) -> None:
    transport = box.transport(pages=StatusPage(box.services).handlers)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as visitor:
        assert (await visitor.get("/manual")).status_code == 200
        manual.rendered.cache_clear()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            answer = await visitor.get("/manual")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert answer.status_code == 503
        assert (await visitor.get("/manual")).status_code == 200
