"""A receiver of webhooks for tests in another process than the box."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.box.running import eventually


class Call(NamedTuple):
    """One POST as it came."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.raw)
        return result

    @property
    def event(self) -> str:
        name: str = self.body["event"]
        return name

    def signed(self, secret: str) -> bool:
        """Whether X-Webhook-Signature is the hex HMAC-SHA256 of the raw body under this secret."""
        expected = hmac.new(secret.encode(), self.raw, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers["X-Webhook-Signature"], expected)


class Listener:
    """What came in, in order. `answer` may be replaced: it gives status and headers for a call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: Callable[[Call], tuple[int, dict[str, str]]] = lambda _: (200, {})
        self.url = ""
        self._lock = threading.Lock()

    def take(self, call: Call) -> tuple[int, dict[str, str]]:
        """Keep a call, and say what to answer."""
        with self._lock:
            self.calls.append(call)
        return self.answer(call)

    def of(self, event: str) -> list[Call]:
        """The calls with this event."""
        return [call for call in self.calls if call.event == event]

    def first(self, event: str, count: int = 1) -> list[Call]:
        """The first `count` calls of an event, as soon as there are so many."""
        return eventually(
            lambda: found[:count] if len(found := self.of(event)) >= count else None,
            f"{count} {event}",
        )


@contextmanager
def listening() -> Iterator[Listener]:
    """A receiver on a port of its own, while the block runs."""
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            raw = self.rfile.read(length)
            if len(raw) < length:
                return  # its caller was killed in the middle of it
            status, headers = listener.take(Call(self.path, dict(self.headers.items()), raw))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
