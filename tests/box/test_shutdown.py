"""Requests that are open when the box stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.box.running import REQUEST_SECONDS, RunningBox


@pytest.mark.seconds(10)
def test_a_request_that_cannot_end_before_the_box_gets_no_untrue_answer(
    own_box: Callable[..., RunningBox],
) -> None:
    box = own_box()
    client = box.client()
    assert client.get("/devices").status_code == 200  # the use of the key has been stored
    body = json.dumps({"to": "+4915112300001", "message": "open at the stop"}).encode()
    place = urlsplit(box.url)
    with (
        contextlib.closing(
            sqlite3.connect(box.data / "zimbox.db", isolation_level=None)
        ) as blocker,
        socket.create_connection((place.hostname, place.port), REQUEST_SECONDS) as line,
    ):
        blocker.execute("BEGIN IMMEDIATE")  # as a command beside the box does
        line.sendall(
            f"POST /v1/sms/send HTTP/1.1\r\nHost: box\r\nX-API-Key: {client.api_key}\r\n"
            f"X-Client-ID: {client.client_id}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert line.recv(1000).startswith(b"HTTP/1.1 100 ")  # the box has begun the request
        line.sendall(body)
        os.kill(box.pid, signal.SIGTERM)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := line.recv(10_000):
                answer += data
    assert box.died() == 0
    # On a slow machine the box may have found that it cannot write.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 503 "), answer
