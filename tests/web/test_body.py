"""Bodies in bounded memory: how many values they may hold, and who waits for room."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from appliance.domain.errors import ApiError
from appliance.domain.schemas import BulkBody, SendBody
from web import body
from web.body import BodyBudget, Reservation, decode

ENTRY = b'{"to":"+33612345678","message":"Bonjour"}'


def reason(raw: bytes, kind: Any = BulkBody) -> str:
    with pytest.raises(ApiError) as refused:
        decode(raw, kind)
    assert refused.value.code == "INVALID_REQUEST"
    return refused.value.message("en")


# Made when they are wanted: together they are a quarter of a gigabyte.
HUGE: dict[str, Callable[[], bytes]] = {
    "objects": lambda: b'{"messages":[' + b"{}," * (5 << 20) + b"{}]}",
    "lists": lambda: b'{"messages":[' + b"[]," * (5 << 20) + b"[]]}",
    "numbers": lambda: b'{"recipients":[' + b"0," * (8 << 20) + b"0]}",
    "texts": lambda: b'{"recipients":[' + b'"",' * (5 << 20) + b'""]}',
    "names": lambda: b"{" + b",".join(b'"%x":0' % n for n in range(1 << 20)) + b"}",
    "names of an entry": lambda: b'{"messages":[{' + b'"":{},' * (2 << 20) + b'"":0}]}',
    "no end of a text": lambda: b'{"message":"' + b'\\"' * (8 << 20),
    "no end of quotes": lambda: b'{"a":' + b'"' * (16 << 20),
    "one text": lambda: b'{"message":"' + b"x" * (16 << 20) + b'"}',
    "one wide text": lambda: '{{"message":"{}😀"}}'.format("x" * (15 << 20)).encode(),
    "one wide text of an entry": lambda: '{{"messages":[{{"message":"{}😀"}}]}}'.format(
        "x" * (15 << 20)
    ).encode(),
    "a wide text that nobody wants": lambda: '{{"messages":[{{"pad":"{}😀"}}]}}'.format(
        "x" * (15 << 20)
    ).encode(),
    "digits": lambda: b'{"priority":' + b"9" * (16 << 20) + b"}",
    "nesting": lambda: b'{"metadata":' + b"[" * (16 << 20),
    "metadata": lambda: b'{"metadata":{"a":"' + b"x" * (16 << 20) + b'"}}',
    "spaces": lambda: b'{"messages":[' + b" " * (16 << 20) + b"]}",
}


@pytest.mark.parametrize("what", HUGE)
def test_any_body_of_16_mib_becomes_few_objects(what: str) -> None:
    raw = HUGE[what]()
    tracemalloc.start()
    try:
        decoded: Any = decode(raw, BulkBody)
    except ApiError as refusal:
        assert refusal.code == "INVALID_REQUEST"
        decoded = None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    del decoded
    assert peak < 24 << 20


def test_the_largest_documented_bulk_is_accepted() -> None:
    text = "😀" * 1600
    metadata = b'{"k":"%s"}' % (b"\\u00e9" * 500)
    escaped = "".join(f"\\u{unit:04x}" for unit in (0xD83D, 0xDE00)) * 1600
    for message in (text.encode(), escaped.encode()[: 12 * 1600]):
        entry = b'{"to":"+33612345678","message":"%s","metadata":%s}' % (message, metadata)
        raw = b'{"messages":[' + b",".join([entry] * 600) + b"]}"
        assert len(raw) < body.BULK_BYTES
        decoded = decode(raw, BulkBody)
        assert [e["message"] for e in decoded["messages"]] == [text] * 600


def test_commas_and_brackets_in_a_text_do_not_count_as_values() -> None:
    text = ',[{\\"' * 400
    raw = b'{"messages":[' + b",".join(
        b'{"to":"+33612345678","message":"%s"}' % text.encode() for _ in range(1000)
    )
    assert len(decode(raw + b"]}", BulkBody)["messages"]) == 1000


def test_too_many_values_are_refused_in_words() -> None:
    assert "more than 2000 values" in reason(b'{"metadata":[' + b"0," * 2000 + b"0]}", SendBody)
    assert "more than 100000 values" in reason(b'{"messages":[' + b"{}," * 100_000 + b"{}]}")


async def test_a_value_longer_than_its_field_keeps_the_fields_own_code(
    api: httpx.AsyncClient,
) -> None:
    long = "x" * 100_000
    sent = {"to": "+33612345678", "message": "x"}
    for field, value, code in (
        ("message", long, "MESSAGE_TOO_LONG"),
        ("to", long, "INVALID_PHONE_NUMBER"),
        ("priority", long, "INVALID_PRIORITY"),
        ("scheduled_at", long, "INVALID_SCHEDULED_DATE"),
        ("webhook_url", f"https://x.example/{long}", "INVALID_WEBHOOK_URL"),
        ("metadata", {"x": long}, "INVALID_REQUEST"),
        ("metadata", long, "INVALID_REQUEST"),
        ("flash", [long], "INVALID_REQUEST"),
    ):
        answer = await api.post("/v1/sms/send", json={**sent, field: value})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert (await api.get("/v1/sms/history")).json()["data"] == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
async def test_a_compressed_body_is_415_and_named(api: httpx.AsyncClient, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await api.post("/v1/sms/send", content=b"\x1f\x8b\x08\x00", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["details"]["content_encoding"] == encoding
    headers["Content-Encoding"] = "identity"
    assert (await api.post("/v1/sms/send", content=ENTRY, headers=headers)).status_code == 202


async def test_requests_beyond_the_memory_limit_wait_in_order() -> None:
    budget = BodyBudget()
    first, *others = (Reservation(budget) for _ in range(4))
    await first.cover(body.BULK_BYTES, None)
    order: list[int] = []

    async def wait(number: int) -> None:
        await others[number].cover(body.BODY_BYTES + 1, None)
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    await Reservation(budget).cover(body.BODY_BYTES, None)  # small ones do not wait for it
    tasks[0].cancel()
    await asyncio.sleep(0)
    first.end()
    await tasks[1]
    others[1].end()
    await tasks[2]
    assert order == [1, 2]
    others[2].end()
    await first.cover(body.BULK_BYTES, None)
