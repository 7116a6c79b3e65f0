"""Open event streams, read as a browser does."""

from __future__ import annotations

import http.client
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit

import requests

SILENCE_SECONDS = 60.0  # longer than the breath of a silent stream


class Listener:
    """One open stream of the status page; keeps its events' names and the last of each region."""

    def __init__(self, url: str, session: requests.Session | None = None) -> None:
        self.events: list[str] = []
        self.last: dict[str, str] = {}
        self.opened = threading.Event()
        self.ended = threading.Event()
        self._line = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SILENCE_SECONDS)
        cookies = (session or requests.Session()).cookies.get_dict()
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        self._line.request("GET", "/live", headers=headers if cookies else {})
        self._answer = self._line.getresponse()
        assert self._answer.status == 200
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        name, lines = "", list[str]()
        try:
            while raw := self._answer.readline():
                self.opened.set()
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    name, lines = line[7:], []
                elif line.startswith("data: "):
                    lines.append(line[6:])
                elif not line and name:
                    self.last[name] = "\n".join(lines)
                    self.events.append(name)
                    name = ""
        except (OSError, http.client.HTTPException):
            pass  # closed by us, or by the box when it stops
        self.ended.set()

    def close(self) -> None:
        if self._line.sock is not None and not self.ended.is_set():
            self._line.sock.shutdown(socket.SHUT_RDWR)
        self._reader.join(SILENCE_SECONDS)
        self._line.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
