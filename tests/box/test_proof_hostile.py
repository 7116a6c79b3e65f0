"""Hostile requests without a key: the box answers them and uses little memory."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.box.running import REQUEST_SECONDS, Client, RunningBox, eventually, free_port

FLOOD_BYTES = 96 * 1024 * 1024
GROWTH_BYTES = 16 * 1024 * 1024
TO = "+33612345678"


def connected(box: RunningBox) -> socket.socket:
    place = urlsplit(box.url)
    return socket.create_connection((place.hostname, place.port), REQUEST_SECONDS)


def read(line: socket.socket, until: bytes) -> bytes:
    """What comes until it contains `until`, or the box closes."""
    answer = b""
    while until not in answer and (more := line.recv(65536)):
        answer += more
    return answer


def peak_bytes(box: RunningBox) -> int:
    """The most memory that the process ever had."""
    status = Path(f"/proc/{box.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def flood(box: RunningBox, start: bytes, block: bytes) -> None:
    """Send `start`, then `block` over and over until the box closes."""
    with connected(box) as line, contextlib.suppress(ConnectionError):
        line.sendall(start)
        for _ in range(FLOOD_BYTES // len(block)):
            line.sendall(block)


FLOODS = {
    "headers": (b"GET / HTTP/1.1\r\nHost: box\r\n", b"a: b\r\n" * 10_000),
    "one header": (b"GET / HTTP/1.1\r\nHost: box\r\nA: ", b"b" * 65_536),
    "one URL": (b"GET /", b"a" * 65_536),
    "one method": (b"", b"A" * 65_536),
    "a chunk's extension": (
        b"POST /v1/sms/send HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"a" * 65_536,
    ),
    "trailers": (
        b"POST /v1/sms/send HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"a: b\r\n" * 10_000,
    ),
    "empty lines": (b"", b"\r\n" * 30_000),
}


@pytest.mark.parametrize("what", FLOODS)
def test_endless_requests_take_no_memory(box: RunningBox, what: str) -> None:
    before = peak_bytes(box)
    flood(box, *FLOODS[what])
    assert requests.get(f"{box.url}/health", timeout=REQUEST_SECONDS).ok
    assert peak_bytes(box) - before < GROWTH_BYTES


HEADERS = b" HTTP/1.1\r\nHost: box\r\n"
TOO_LARGE = {
    "a URL without an end": (b"GET /" + b"a" * 20_000, 414),
    "a whole URL": (b"GET /" + b"a" * 9_000 + HEADERS + b"\r\n", 414),
    "headers without an end": (b"GET /" + HEADERS + b"a: b\r\n" * 4_000, 431),
    "many headers": (b"GET /" + HEADERS + b"a: b\r\n" * 101 + b"\r\n", 431),
    "a whole header": (b"GET /" + HEADERS + b"a: " + b"b" * 17_000 + b"\r\n\r\n", 431),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "two lengths": (b"GET /" + HEADERS + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_too_large_requests_get_their_status(box: RunningBox, what: str) -> None:
    request, status = TOO_LARGE[what]
    with connected(box) as line:
        line.sendall(request)
        answer = read(line, b"}}")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head and b'"INVALID_REQUEST"' in body


def test_the_response_is_readable_before_all_headers_are_sent(
    box: RunningBox,
) -> None:
    with connected(box) as line:
        line.sendall(b"GET /" + HEADERS + b"a: b\r\n" * 40_000)
        assert read(line, b"}}").startswith(b"HTTP/1.1 431 ")


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    "TLS": b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
}


@pytest.mark.parametrize("apart", [False, True], ids=["one packet", "two packets"])
@pytest.mark.parametrize("offered", UPGRADES)
def test_a_post_that_offers_an_upgrade_keeps_its_body_and_its_connection(
    box: RunningBox, shared: Client, offered: str, apart: bool
) -> None:
    body = b'{"to":"%s","message":"upgrade"}' % TO.encode()
    head = (
        b"POST /v1/sms/send HTTP/1.1\r\nHost: box\r\nContent-Type: application/json\r\n"
        + UPGRADES[offered]
        + f"X-API-Key: {shared.api_key}\r\nX-Client-ID: {shared.client_id}\r\n".encode()
        + b"Content-Length: %d\r\n\r\n" % len(body)
    )
    written = len(box.log())
    with connected(box) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(3):
            line.sendall(head if apart else head + body)
            if apart:
                line.sendall(body)
            assert read(line, b"}").startswith(b"HTTP/1.1 202 ")
    assert "upgrade" not in box.log()[written:].lower()


SLOW = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: box\r\nA: ",
    "half a body": b"POST /v1/sms/send HTTP/1.1\r\nHost: box\r\nContent-Length: 99\r\n\r\n{",
    "a request, and no next one": b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n",
}


def answers(box: RunningBox) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(f"{box.url}/health", timeout=REQUEST_SECONDS).ok
    return False


@pytest.mark.parametrize("sent", SLOW)
def test_a_thousand_idle_connections_do_not_block_others(
    box: RunningBox, shared: Client, sent: str
) -> None:
    place = urlsplit(box.url)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as lines:
        if soft < 2_000:  # of this process, which holds the other ends
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(2_000, hard), hard))
            lines.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for number in range(1_000):
            line = lines.enter_context(
                socket.create_connection(
                    (place.hostname, place.port), REQUEST_SECONDS, (f"127.0.1.{number % 20 + 1}", 0)
                )
            )
            with contextlib.suppress(ConnectionError):  # it gave way to the next
                line.sendall(SLOW[sent])
        # As many as there are places may be just about to be answered.
        eventually(lambda: answers(box), "a place")
        shared.until(shared.send(TO), "delivered")
        assert len(list(Path(f"/proc/{box.pid}/fd").iterdir())) < 750


def test_every_tls_connection_is_answered(own_box: Callable[..., RunningBox]) -> None:
    port = free_port()
    own_box(server_https_listen=f"127.0.0.1:{port}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(100):
        with (
            socket.create_connection(("127.0.0.1", port), REQUEST_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="box") as line,
        ):
            line.sendall(b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n")
            assert read(line, b"}").startswith(b"HTTP/1.1 200 ")


def test_a_box_without_a_free_descriptor_sends_every_alphabet(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    client = box.client()
    with requests.Session() as session:  # its connection is there before
        session.headers.update(client.headers)

        def delivered(message_id: str) -> bool:
            answer = session.get(f"{box.url}/v1/sms/status/{message_id}", timeout=REQUEST_SECONDS)
            return bool(answer.json()["status"] == "delivered")

        client.until(client.send(TO), "delivered")
        assert session.get(f"{box.url}/health", timeout=REQUEST_SECONDS).ok
        hard = resource.prlimit(box.pid, resource.RLIMIT_NOFILE)[1]
        used = {int(descriptor.name) for descriptor in Path(f"/proc/{box.pid}/fd").iterdir()}
        lowest = next(number for number in itertools.count() if number not in used)
        resource.prlimit(box.pid, resource.RLIMIT_NOFILE, (lowest, hard))
        for text in ("Bonjour", "Привет 😀" * 30, "ça coûte 5 €", "x" * 400):
            answer = session.post(
                f"{box.url}/v1/sms/send", json={"to": TO, "message": text}, timeout=REQUEST_SECONDS
            )
            assert answer.status_code == 202, answer.text
            eventually(partial(delivered, answer.json()["message_id"]), text[:9])
