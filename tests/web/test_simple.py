"""GET and POST /v1/simple/send: the door for devices that can only fetch an address."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection
from urllib.parse import quote

import httpx
import msgspec
import pytest
import structlog

from appliance.domain.views import Permissions
from appliance.store import clients
from tests.web.box import METRICS_TOKEN, NOW, WebBox

NARROW = Permissions(simple=True, prefixes=("+33",), daily_cap=100, read=False)
SEND = "/v1/simple/send"
MINUTE_MS = 60_000


@pytest.fixture
async def device(box: WebBox) -> AsyncIterator[httpx.AsyncClient]:
    """A device on the LAN that sends no headers of its own, but reads English."""
    transport = box.transport()
    headers = {"Accept-Language": "en"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://box", headers=headers
    ) as client:
        yield client


async def a_key(box: WebBox, may: Permissions = NARROW) -> str:
    """A key of the box's client."""
    number = int(box.client.removeprefix("client_"))
    made = await box.db.write(clients.add_key, number, NOW, permissions=may)
    return made.key


async def stored(box: WebBox) -> list[tuple[str, str]]:
    """What is queued, oldest first."""

    def read(db: Connection) -> list[tuple[str, str]]:
        return [tuple(row) for row in db.execute("SELECT recipient, body FROM message ORDER BY id")]

    return await box.db.read(read)


async def test_an_address_sends_one_sms_and_the_answer_is_one_line(
    box: WebBox, device: httpx.AsyncClient
) -> None:
    key = await a_key(box)
    answer = await device.get(f"{SEND}?key={key}&to=%2B33612345678&text=Alarme%20zone%203")
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        202,
        "text/plain; charset=utf-8",
    )
    ok, message_id = answer.text.split()
    assert (ok, answer.text.count("\n")) == ("OK", 1)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert await stored(box) == [("+33612345678", "Alarme zone 3")]
    status = await device.get(f"/v1/sms/status/{message_id}", headers=box.headers)
    assert status.json()["status"] == "queued"


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("0612345678", ["+33612345678"]),
        ("06%2012%2034%2056%2078", ["+33612345678"]),
        ("06.12.34.56.78;+33698765432", ["+33612345678", "+33698765432"]),
        ("+33612345678,+33698765432", ["+33612345678", "+33698765432"]),  # not encoded
        ("%2B33612345678,%2033698765432", ["+33612345678", "+33698765432"]),
        ("0612345678,0612345678,+33612345678", ["+33612345678"]),
        ("0612345678&to=0698765432", ["+33612345678", "+33698765432"]),
    ],
)
async def test_numbers_are_read_as_the_country_writes_them(
    box: WebBox, device: httpx.AsyncClient, written: str, numbers: list[str]
) -> None:
    await box.services.admin.preferences.change(own_number="+33600000000")
    answer = await device.get(f"{SEND}?key={await a_key(box)}&to={written}&text=x")
    assert answer.status_code == 202, answer.text
    assert [to for to, _ in await stored(box)] == numbers


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (quote("Dégât des eaux €"), "Dégât des eaux €"),
        ("D%E9g%E2t", "Dégât"),  # ISO 8859-1, as old devices write
        ("a+b%2Bc%0Ad", "a b+c\nd"),
    ],
)
async def test_a_text_is_read_in_either_encoding(
    box: WebBox, device: httpx.AsyncClient, raw: str, text: str
) -> None:
    answer = await device.get(f"{SEND}?key={await a_key(box)}&to=%2B33612345678&text={raw}")
    assert answer.status_code == 202, answer.text
    assert [body for _, body in await stored(box)] == [text]


async def test_a_form_has_the_key_in_no_address(box: WebBox, device: httpx.AsyncClient) -> None:
    key = await a_key(box)
    form = {"key": key, "to": "+33612345678", "text": "Onduleur sur batterie"}
    answer = await device.post(SEND, data=form)
    assert answer.status_code == 202, answer.text
    del form["key"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        answer = await device.post(SEND, data={**form, "text": str(headers)}, headers=headers)
        assert answer.status_code == 202, answer.text
    assert len(await stored(box)) == 3
    raw = "text=D\xe9g\xe2t&to=%2B33612345678".encode("latin-1")
    answer = await device.post(SEND, content=raw, headers={"X-API-Key": key})
    assert (answer.status_code, (await stored(box))[-1][1]) == (202, "Dégât")
    answer = await device.post(SEND, json=form, headers={"X-API-Key": key})
    assert (answer.status_code, answer.text.split(":")[0]) == (415, "ERROR UNSUPPORTED_MEDIA_TYPE")


async def test_the_same_request_again_sends_nothing_for_a_minute(
    box: WebBox, device: httpx.AsyncClient
) -> None:
    url = f"{SEND}?key={await a_key(box)}&to=%2B33612345678,%2B33698765432&text=Alarme"
    first = await device.get(url)
    box.clock.advance((MINUTE_MS - 1) / 1000)
    assert (await device.get(url)).text == first.text
    respelt = url.replace("%2B33612345678,", "0033%206%2012%2034%2056%2078,")
    assert (await device.get(respelt)).text == first.text
    assert len(await stored(box)) == 2
    box.clock.advance(0.001)
    assert (await device.get(url)).text != first.text
    assert len(await stored(box)) == 4


async def test_an_id_makes_a_request_one_for_a_day(box: WebBox, device: httpx.AsyncClient) -> None:
    url = f"{SEND}?key={await a_key(box)}&to=%2B33612345678&text=Alarme&id=event-7"
    first = await device.get(url)
    box.clock.advance(23 * 3600)
    assert (await device.get(url)).text == first.text
    other = await device.get(url.replace("Alarme", "Autre"))
    assert (other.status_code, other.text.split(":")[0]) == (409, "ERROR IDEMPOTENCY_CONFLICT")
    assert (await device.get(url.replace("event-7", "event-8"))).text != first.text
    assert len(await stored(box)) == 2


@pytest.mark.parametrize(
    "may",
    [
        Permissions(prefixes=("+33",), daily_cap=10),
        Permissions(simple=True, daily_cap=10),
        Permissions(simple=True, prefixes=("+33",)),
    ],
)
async def test_a_key_that_is_not_open_or_not_narrow_is_refused(
    box: WebBox, device: httpx.AsyncClient, may: Permissions
) -> None:
    key = await a_key(box, may)
    answer = await device.get(f"{SEND}?key={key}&to=%2B33612345678&text=x")
    assert answer.status_code == 403
    assert (
        answer.text == "ERROR KEY_NOT_ALLOWED: This API key is not allowed to do this. (simple)\n"
    )
    assert await stored(box) == []


async def test_a_key_in_the_address_opens_no_other_route(
    box: WebBox, device: httpx.AsyncClient
) -> None:
    answer = await device.get(f"/v1/sms/history?key={await a_key(box)}")
    assert answer.json()["error"]["code"] == "MISSING_AUTH_HEADERS"


@pytest.mark.parametrize(
    ("query", "status", "line"),
    [
        ("to=%2B33612345678&text=x", 400, "ERROR MISSING_AUTH_HEADERS: "),
        ("key=zs_live_none&to=%2B33612345678&text=x", 401, "ERROR INVALID_API_KEY: "),
        ("key=KEY&text=x", 400, "ERROR INVALID_REQUEST: The request is invalid: to, is required\n"),
        (
            "key=KEY&to=%2B33612345678",
            400,
            "ERROR INVALID_REQUEST: The request is invalid: text, is",
        ),
        ("key=KEY&to=123&text=x", 400, "ERROR INVALID_PHONE_NUMBER: "),
        ("key=KEY&to=%2B41791234567&text=x", 403, "ERROR KEY_NOT_ALLOWED: "),
        ("key=KEY&to=%2B33612345678&text=" + "x" * 1601, 400, "ERROR MESSAGE_TOO_LONG: "),
        (
            "key=KEY&to=%2B33612345678&text=a%00",
            400,
            "ERROR INVALID_REQUEST: The request is invalid: text",
        ),
        ("key=KEY&" + "a=b&" * 400, 400, "ERROR INVALID_REQUEST: "),
        (
            "key=KEY&to=" + ",".join(f"%2B336000{n:05}" for n in range(101)) + "&text=x",
            400,
            "ERROR TOO_MANY",
        ),
    ],
)
async def test_an_error_is_one_line_with_the_right_status_and_no_key(
    box: WebBox, device: httpx.AsyncClient, query: str, status: int, line: str
) -> None:
    key = await a_key(box)
    for method in ("GET", "POST"):
        asked = query.replace("KEY", key)
        answer = await device.request(method, f"{SEND}?{asked}")
        assert answer.status_code == status, answer.text
        assert answer.text.startswith(line) and answer.text.count("\n") == 1, answer.text
        assert "zs_live_" not in answer.text.replace("key=zs_live_…", "")
    assert await stored(box) == []


async def test_of_several_numbers_those_that_can_go_do(
    box: WebBox, device: httpx.AsyncClient
) -> None:
    url = f"{SEND}?key={await a_key(box)}&to=%2B33612345678,%2B41791234567,12&text=x"
    answer = await device.get(url)
    ok, *refused = answer.text.strip().split("; ")
    assert (answer.status_code, ok.split()[0], len(ok.split())) == (202, "OK", 2)
    assert refused == ["+41791234567 KEY_NOT_ALLOWED", "12 INVALID_PHONE_NUMBER"]
    assert [to for to, _ in await stored(box)] == ["+33612345678"]


async def test_two_different_keys_are_refused(box: WebBox, device: httpx.AsyncClient) -> None:
    key = await a_key(box)
    url = f"{SEND}?key={key}&to=%2B33612345678&text=x"
    answer = await device.get(url, headers={"X-API-Key": box.key})
    assert (answer.status_code, answer.text.split(":")[0]) == (400, "ERROR INVALID_REQUEST")
    assert key not in answer.text and box.key not in answer.text


async def test_who_only_looks_at_an_address_sends_nothing(
    box: WebBox, device: httpx.AsyncClient
) -> None:
    url = f"{SEND}?key={await a_key(box)}&to=%2B33612345678&text=x"
    answer = await device.head(url)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    for purpose in ("prefetch", "prefetch;prerender"):
        assert (await device.get(url, headers={"Sec-Purpose": purpose})).status_code == 400
    assert await stored(box) == []


async def test_the_daily_cap_counts_and_a_request_is_a_write(tmp_path: Path) -> None:
    box = await WebBox.start(tmp_path, rate_limit=3)
    try:
        key = await a_key(box, msgspec.structs.replace(NARROW, daily_cap=2))
        transport = box.transport()
        async with httpx.AsyncClient(transport=transport, base_url="http://box") as device:
            answers = [
                await device.get(f"{SEND}?key={key}&to=%2B3361234567{n}&text=x") for n in range(4)
            ]
    finally:
        await box.stop()
    assert [answer.status_code for answer in answers] == [202, 202, 403, 429]
    assert "(daily_cap)" in answers[2].text
    assert int(answers[3].headers["Retry-After"]) >= 1


async def test_the_key_is_in_no_log_and_no_metric(
    box: WebBox, device: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = await a_key(box)
    with structlog.testing.capture_logs() as entries:
        for text, status in (("x", 202), ("", 400)):
            answer = await device.get(f"{SEND}?key={key}&to=%2B33612345678&text={text}")
            assert answer.status_code == status
        # What goes wrong inside is logged with its traceback.
        await box.db.write(lambda db: db.execute("DROP TABLE idempotency") and None)
        answer = await device.get(f"{SEND}?key={key}&to=%2B33612345678&text=y")
        assert (answer.status_code, answer.text.split(":")[0]) == (500, "ERROR INTERNAL_ERROR")
    assert [entry["route"] for entry in entries if entry["event"] == "request"] == [SEND] * 3
    said = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert key not in repr(entries) and key not in repr(said)
    assert key.encode() not in await box.services.metrics.text(METRICS_TOKEN)
