"""The Kannel of Debian: bearerbox and smsbox, connected to a box as docs/smpp.md says."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests

from tests.box.running import REQUEST_SECONDS, STOP_SECONDS, eventually, free_port
from tests.docs.blocks import DOCS

# What docs/smpp.md does not have: Kannel itself, and who sends and receives through it.
REST = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = admin
smsbox-port = {smsbox}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
global-sender = Kannel

group = sendsms-user
username = tester
password = tester
max-messages = 10
concatenation = true

group = sms-service
keyword = default
get-url = "http://127.0.0.1:{calls}/received?from=%p&text=%b"
max-messages = 0
"""


def documented(port: int, account: tuple[str, str]) -> str:
    """The connection as docs/smpp.md shows it, to this port with this account."""
    block = re.search(r"```text\n(group = smsc\n.*?)```", (DOCS / "smpp.md").read_text(), re.DOTALL)
    assert block
    text = block[1]
    for name, value in (
        ("host", "127.0.0.1"),
        ("port", str(port)),
        ("smsc-username", account[0]),
        ("smsc-password", account[1]),
    ):
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert found == 1, name
    return text


class Kannel:
    """A running Kannel, and the calls that it makes for receipts and received messages."""

    def __init__(self, folder: Path) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._sendsms = free_port()
        self._admin = free_port()
        self._smsbox = free_port()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = urlsplit(self.path)
                fields = {name: values[0] for name, values in parse_qs(found.query).items()}
                calls.append((found.path, fields))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def start(self, port: int, account: tuple[str, str]) -> None:
        """Start both programs; Kannel is bound when this returns."""
        file = self._folder / "kannel.conf"
        rest = REST.format(
            admin=self._admin,
            smsbox=self._smsbox,
            sendsms=self._sendsms,
            calls=self._server.server_address[1],
        )
        file.write_text(rest + "\n" + documented(port, account))
        self._run("bearerbox", file)
        eventually(lambda: "online" in self.status(), "Kannel is bound")
        self._run("smsbox", file)
        eventually(lambda: "smsbox" in self.status(), "the smsbox is connected")

    def _run(self, program: str, file: Path) -> None:
        with (self._folder / f"{program}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([program, str(file)], stdout=log, stderr=subprocess.STDOUT)
            )

    def status(self) -> str:
        """The status page of the bearerbox; empty while it starts."""
        try:
            return requests.get(
                f"http://127.0.0.1:{self._admin}/status.txt",
                params={"password": "admin"},
                timeout=REQUEST_SECONDS,
            ).text
        except requests.ConnectionError:
            return ""

    def send(self, to: str, text: str, name: str, **more: str) -> None:
        """Send a text; what becomes of it is told in calls to /`name`."""
        calls = f"http://127.0.0.1:{self._server.server_address[1]}/{name}?kind=%d&id=%F"
        fields = {
            **{"username": "tester", "password": "tester", "to": to, "text": text},
            **{"charset": "UTF-8", "dlr-mask": "31", "dlr-url": calls},
            **more,
        }
        answer = requests.get(
            f"http://127.0.0.1:{self._sendsms}/cgi-bin/sendsms",
            params=fields,
            timeout=REQUEST_SECONDS,
        )
        assert answer.status_code == 202, answer.text

    def kinds(self, name: str) -> list[int]:
        """What was told of a text: 8 accepted by the box, 1 delivered, 2 not delivered, 16 refused by the box."""
        return [int(fields["kind"]) for path, fields in self.calls if path == f"/{name}"]

    def received(self) -> list[tuple[str, str]]:
        """The senders and texts of received messages."""
        return [
            (fields["from"], fields["text"]) for path, fields in self.calls if path == "/received"
        ]

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            process.wait(STOP_SECONDS)
        self._server.shutdown()
        self._server.server_close()

    def log(self) -> str:
        return (self._folder / "bearerbox.log").read_text("utf-8", "replace")


@contextlib.contextmanager
def kannel(folder: Path, port: int, account: tuple[str, str]) -> Iterator[Kannel]:
    """A Kannel that is bound to a box."""
    folder.mkdir()
    running = Kannel(folder)
    try:
        running.start(port, account)
        yield running
    finally:
        running.stop()
