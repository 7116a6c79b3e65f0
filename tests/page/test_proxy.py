"""The page behind a reverse proxy under a path: every link stays below it, whether the proxy takes it off or not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

import pytest

from tests.box.running import RunningBox, free_port
from tests.page.conftest import Open, ready
from tests.page.owner import PASSWORD, REQUEST_SECONDS, Visit

pytestmark = pytest.mark.seconds(30)

ROOT = "/chez/sms"


class Proxy(BaseHTTPRequestHandler):
    """Passes what is below ROOT on to the box and answers 404 to everything else, as another program would."""

    target = 0
    strips = True
    astray: ClassVar[list[str]] = []

    def _pass(self) -> None:
        if not self.path.startswith(f"{ROOT}/"):
            self.astray.append(self.path)
            self.send_error(404)
            return
        path = self.path[len(ROOT) :] if self.strips else self.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        box = HTTPConnection("127.0.0.1", self.target, timeout=REQUEST_SECONDS)
        box.request(self.command, path, body, dict(self.headers))
        answer = box.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the browser has left a live stream
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()

    do_GET = do_POST = _pass  # noqa: N815 - the names that BaseHTTPRequestHandler calls

    def log_message(self, *_words: object) -> None:
        """Stay silent."""


@pytest.fixture(params=[True, False], ids=["strips", "keeps"])
def proxied(request: pytest.FixtureRequest, new_box: Callable[..., RunningBox]) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}{ROOT}"
    box = new_box(server_public_url=url)
    ready(box)
    Visit(box.url).claim()

    class ToTheBox(Proxy):
        target = urlsplit(box.url).port or 0
        strips = request.param
        astray: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", port), ToTheBox) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield url
        server.shutdown()
    assert ToTheBox.astray == []


def test_every_link_form_and_stream_stays_below_the_path(proxied: str, open_browser: Open) -> None:
    person = open_browser(proxied, language="en", size="phone")
    person.go("/login")
    person.fill("password", PASSWORD)
    person.press("Log in")
    person.wait_for("All is well")
    person.press("Send")
    person.fill("to", "06 12 34 56 78")
    person.fill("text", "Bonjour")
    person.click("main button.primary")
    person.wait_for_badge("Delivered")  # by the live stream
    pages = (
        "/",
        "/messages",
        "/send",
        "/inbox",
        "/settings",
        "/settings/keys",
        "/settings/sim",
        "/schema",
    )
    for page in pages:
        person.go(page)
        links = person.driver.execute_script(
            "return [...document.querySelectorAll('a[href], link[href], script[src], form[action]')]"
            ".map((e) => e.href || e.src || e.action)"
        )
        assert links and all(link.startswith(f"{proxied}/") for link in links), page
    person.go("/settings/keys")
    person.press("Create the key")
    person.wait_for("it is shown this once")
    assert f"{proxied}/v1" in [one.text for one in person.all(".take .code")]
    person.press("Log out")
    person.wait_for("Log in")
    assert person.console == []
