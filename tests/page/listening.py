"""Open event streams, read as a browser reads them."""

from __future__ import annotations

import threading
from types import TracebackType

import requests

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0  # longer than the breath of a silent stream


class Listener:
    """One open stream of the status page; counts its events and keeps the last of each region."""

    def __init__(self, url: str, session: requests.Session | None = None) -> None:
        self.events: list[str] = []
        self.last: dict[str, str] = {}
        self.opened = threading.Event()
        self.ended = threading.Event()
        self._answer = (session or requests.Session()).get(
            url + "/live", stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS)
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        name, lines = "", list[str]()
        try:
            for raw in self._answer.iter_lines():
                line = raw.decode()
                self.opened.set()
                if line.startswith("event: "):
                    name, lines = line[7:], []
                elif line.startswith("data: "):
                    lines.append(line[6:])
                elif not line and name:
                    self.events.append(name)
                    self.last[name] = "\n".join(lines)
                    name = ""
        except (requests.RequestException, AttributeError):
            pass  # closed by us, or by the box when it stops
        self.ended.set()

    def close(self) -> None:
        self._answer.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
