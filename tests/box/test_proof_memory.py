"""The most expensive requests use at most half of the memory that the unit allows."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tests.box.running import Client, RunningBox
from tests.box.test_proof_hostile import TO, peak_bytes

# image/root/etc/systemd/system/zimbox.service has MemoryMax=250M.
HALF_BYTES = 125 * 1000 * 1000
KIB = 1024
NewBox = Callable[..., RunningBox]


def request(client: Client, method: str, path: str, body: bytes = b"") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: box\r\nX-API-Key: {client.api_key}\r\n"
        f"X-Client-ID: {client.client_id}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def at_once(box: RunningBox, requests: list[bytes], most: int = 400) -> Counter[str]:
    """Send them from twenty addresses, `most` at a time; how often each status came."""
    place = urlsplit(box.url)
    result: Counter[str] = Counter()

    async def one(number: int, data: bytes, free: asyncio.Semaphore) -> None:
        async with free:
            source = (f"127.0.2.{number % 20 + 1}", 0)
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port, local_addr=source
            )
            try:
                writer.write(data)
                result[(await reader.readuntil(b"\r\n"))[9:12].decode()] += 1
            except (ConnectionError, asyncio.IncompleteReadError):
                result["closed"] += 1
            finally:
                writer.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def main() -> None:
        free = asyncio.Semaphore(most)
        await asyncio.gather(*(one(n, data, free) for n, data in enumerate(requests)))

    asyncio.run(main())
    return result


def padded(size: int) -> bytes:
    start = b'{"to":"%s","message":"x","pad":"' % TO.encode()
    return start + b"x" * (size - len(start) - 2) + b'"}'


MANY = {
    "history": ("GET", "/v1/sms/history?limit=100", b"", 9_000, "200"),
    "sends": ("POST", "/v1/sms/send", padded(1 * KIB), 9_000, "202"),
    "large sends": ("POST", "/v1/sms/send", padded(250 * KIB), 2_000, "202"),
}


@pytest.mark.seconds(15)
@pytest.mark.parametrize("what", MANY)
def test_thousands_of_requests_at_once_stay_in_half_of_the_memory(
    own_box: NewBox, what: str
) -> None:
    method, path, body, count, good = MANY[what]
    box = own_box(simulator_latency_seconds="1")
    client = box.client()
    result = at_once(box, [request(client, method, path, body)] * count)
    assert peak_bytes(box) < HALF_BYTES, result
    assert result[good] > 0 and set(result) <= {good, "429", "closed"}
    assert client.get("/auth/test").status_code == 200


def shapes(size: int) -> Iterator[bytes]:
    """Bodies of this size that are many objects, or few large ones, or none."""
    yield b'{"messages":[' + b"{}," * (size // 3 - 10) + b"{}]}"
    yield b'{"recipients":[' + b'"",' * (size // 3 - 10) + b'""]}'
    yield b"{" + b",".join(b'"%06x":[]' % n for n in range(size // 12)) + b"}"
    yield '{{"message":"{}😀"}}'.format("x" * (size - 40)).encode()
    yield b"[" * size
    entry = padded(size // 1000 - 1)
    yield b'{"messages":[' + b",".join([entry] * 999) + b"]}"


ROUTES = {
    "/v1/sms/send-bulk": 16 * KIB * KIB,
    "/v1/sms/send-bulk-personalized": 16 * KIB * KIB,
    "/v1/sms/send": 256 * KIB,
    "/v1/sms/send-otp": 256 * KIB,
    "/v1/sms/verify-otp": 256 * KIB,
    "/v1/webhooks/configure": 256 * KIB,
    "/v1/blocklist": 256 * KIB,
    "/v1/sms/msg_0000000000000000/resend": 256 * KIB,
}


@pytest.mark.seconds(15)
@pytest.mark.parametrize("path", ROUTES)
def test_the_worst_bodies_of_a_route_stay_in_half_of_the_memory(own_box: NewBox, path: str) -> None:
    box = own_box()
    client = box.client()
    bodies = [request(client, "POST", path, body) for body in shapes(ROUTES[path])]
    at_once(box, bodies * (1 if ROUTES[path] > 256 * KIB else 40), most=6)
    assert peak_bytes(box) < HALF_BYTES
    assert client.get("/auth/test").status_code == 200
