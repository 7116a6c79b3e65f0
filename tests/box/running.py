"""Start a box as a user does: a process of its own, reached over HTTP and the command line only."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import requests

from appliance.cli.main import main as command_line
from tests.box.launcher import ZIMBOX, Process, launcher

START_SECONDS = 120.0  # until it takes requests, on a busy machine
STOP_SECONDS = 120.0  # what is on the line is finished first
SETTLE_SECONDS = 120.0  # until a message is where a test wants it
POLL_SECONDS = 0.02  # between two polls
REQUEST_SECONDS = 120.0

# Quick, without the limits that a test is not about, and without whatever the tester has set.
SETTINGS = {
    "ZIMBOX_RATE_LIMIT": "0",
    "ZIMBOX_CLOCK_TRUST": "always",
    "ZIMBOX_WEBHOOK_ALLOW_LOOPBACK": "1",
    "ZIMBOX_LIMITS_PER_MINUTE": "0",
    "ZIMBOX_SIMULATOR_LATENCY_SECONDS": "0.005",
    "ZIMBOX_SIMULATOR_REPORT_SECONDS": "0.02",
    "ZIMBOX_SENDING_FIRST_BACKOFF_SECONDS": "0.1",
    "ZIMBOX_SENDING_LONGEST_BACKOFF_SECONDS": "0.2",
}

# A driver that looks often and gives up soon: for tests that wait for what it finds out.
QUICK_DRIVER = {
    "ZIMBOX_TIMING_SIM_SECONDS": "3",
    "ZIMBOX_TIMING_SIM_POLL_SECONDS": "0.2",
    "ZIMBOX_TIMING_REGISTRATION_POLL_SECONDS": "0.5",
    "ZIMBOX_TIMING_OWNER_POLL_SECONDS": "0.5",
    "ZIMBOX_TIMING_IDLE_POLL_SECONDS": "1",
    "ZIMBOX_TIMING_RESET_SECONDS": "0.2",
    "ZIMBOX_TIMING_REOPEN_SECONDS": "0.2",
    "ZIMBOX_TIMING_BACKOFF_FIRST_SECONDS": "0.5",
    "ZIMBOX_TIMING_BACKOFF_LONGEST_SECONDS": "2",
    "ZIMBOX_TIMING_STEADY_SECONDS": "0.2",
}

_PORTS = iter(range(1_000))
_SPEAKING = threading.Lock()  # a process has one standard output

T = TypeVar("T")


def free_port() -> int:
    """A port of 127.0.0.1 that stays free until somebody listens on it.

    Below the range from which the kernel gives ports away (`ip_local_port_range`): one of those, found free, is
    some other test's outgoing connection a moment later. Each worker takes them in turn from a range of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in _PORTS:
        port = 10_000 + 1_000 * (worker % 22) + number
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a worker has asked for a thousand ports")


def eventually(look: Callable[[], T | None], what: str, seconds: float = SETTLE_SECONDS) -> T:
    """What `look` finds, as soon as it finds something. AssertionError after `seconds`."""
    last = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < last, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)  # polls another process


class RunningBox:
    """One `zimbox serve` on a data folder, with a simulated modem by default."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        modems: Sequence[str] = ("sim",),
        program: Sequence[str] = (),
    ) -> None:
        self._modems = modems
        self._program = program  # another `zimbox` than this environment's
        self.data = folder / "data"
        self.journal = folder / "journal.jsonl"
        self.control = folder / "control"
        self._log = folder / "box.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ZIMBOX_")}
        self._environment = {**kept, **SETTINGS, **(settings or {})}
        # Other code than ours: an interpreter of its own imports it.
        self._own_code = "PYTHONPATH" in (settings or {})
        self._process: Process | subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, *more: str) -> RunningBox:
        """Start it and wait until it takes requests."""
        words = (
            *("serve", "--data", str(self.data), "--listen", "127.0.0.1:0"),
            *(word for modem in self._modems for word in ("--modem", modem)),
            *("--sim-journal", str(self.journal)),
            *("--sim-control", str(self.control), *more),
        )
        out, into = os.pipe()
        self._said = open(out)  # noqa: SIM115, PTH123 - open as long as the box may write
        with self._log.open("a") as log, open(into, "wb") as stdout:  # noqa: PTH123
            self._process = self._launch(words, stdout.fileno(), log.fileno())
        try:
            self.url = _address(self._said, self.log)
            eventually(self._healthy, "GET /health", START_SECONDS)
            if set(self._modems) == {"sim"}:
                eventually(self._modems_known, "its modems have reported their IMEI", START_SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def _launch(
        self, words: Sequence[str], stdout: int, stderr: int
    ) -> Process | subprocess.Popen[bytes]:
        if not self._own_code:
            return launcher().start(words, self._environment, stdout, stderr)
        program = self._program or [str(ZIMBOX)]
        return subprocess.Popen(
            [*program, *words], env=self._environment, stdout=stdout, stderr=stderr
        )

    def _healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=REQUEST_SECONDS).ok
        except requests.ConnectionError:
            return False

    def health(self) -> dict[str, Any]:
        """What GET /health tells."""
        answer = requests.get(f"{self.url}/health", timeout=REQUEST_SECONDS)
        result: dict[str, Any] = answer.json()
        return result

    def _modems_known(self) -> bool:
        """Before that, the first start has no device to send with."""
        return len(self.health()["devices"]) >= len(self._modems)

    def stop(self) -> None:
        """SIGTERM, and what is on the line is finished."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut, for the process."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(STOP_SECONDS)
        self._said.close()
        self._process = None

    def died(self) -> int:
        """Wait until it has ended by itself; return its exit code, negative for a signal."""
        assert self._process is not None
        code = self._process.wait(STOP_SECONDS)
        self._said.close()
        self._process = None
        return code

    def without(self, variable: str) -> None:
        """Start it without this variable from now on."""
        self._environment.pop(variable)

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """All that it said so far."""
        return self._log.read_text("utf-8", "replace")  # a letter may be there in half

    def zimbox(self, *words: str) -> Any:
        """A command beside the running box, its JSON.

        The same code as `command` runs, in this process: most tests begin with two of them, and two
        interpreters take a second to start.
        """
        result = io.StringIO()
        with _SPEAKING, contextlib.redirect_stdout(result):
            command_line.main([*words, "--data", str(self.data), "--json"], standalone_mode=False)
        return json.loads(result.getvalue())

    def command(self, *words: str) -> None:
        """A command beside the running box that has nothing to tell."""
        subprocess.run(
            [str(ZIMBOX), *words, "--data", str(self.data)],
            env=self._environment,
            capture_output=True,
            timeout=START_SECONDS,
            check=True,
        )

    def client(self, *key_options: str, of: str | None = None) -> Client:
        """A key of a new client, or of an existing one."""
        client_id = of or self.zimbox("client", "create")["client_id"]
        made = self.zimbox("key", "create", "--client", client_id, *key_options)
        return Client(self.url, made["client_id"], made["api_key"], made["key_id"])

    def simulate(self, **order: object) -> dict[str, Any]:
        """Order something of the running simulator."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(REQUEST_SECONDS)
            line.connect(str(self.control))
            line.sendall(json.dumps(order).encode() + b"\n")
            with line.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        assert answer["ok"], answer
        return answer

    def received(self) -> list[dict[str, Any]]:
        """What the simulated network took, in order: the truth."""
        return self.lines("submit")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the network's journal about an event, in order."""
        if not self.journal.exists():
            return []
        # A line that is only half there is left for later.
        text = self.journal.read_text("utf-8", "replace").rpartition("\n")[0]
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line.get("event") == event]


def _address(out: IO[str], log: Callable[[], str]) -> str:
    """Where it serves, as it says on its first lines."""
    found: list[str] = []

    def read() -> None:
        for line in out:
            if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                found.append(match[0])
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(START_SECONDS)
    assert found, f"the box did not say where it serves:\n{log()}"
    return found[0]


class Client:
    """One key at work. Plain requests: what a client of the API sees."""

    def __init__(self, url: str, client_id: str, api_key: str, key_id: int) -> None:
        self.url, self.client_id, self.api_key, self.key_id = url, client_id, api_key, key_id
        self.headers = {"X-API-Key": api_key, "X-Client-ID": client_id}

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        session: requests.Session | None = None,
        **more: Any,
    ) -> requests.Response:
        """Any request under /v1, with this client's headers. None as a header takes it away.

        Without a session it has a connection of its own.
        """
        send = session.request if session else requests.request
        return send(
            method,
            f"{self.url}/v1{path}",
            headers={**self.headers, **(headers or {})},
            timeout=REQUEST_SECONDS,
            **more,
        )

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> requests.Response:
        return self.request("POST", path, json=body, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        return self.request("DELETE", path, **more)

    def send(self, to: str, message: str = "Bonjour", **more: object) -> str:
        """A message that is taken; its id."""
        answer = self.post("/sms/send", {"to": to, "message": message, **more})
        assert answer.status_code == 202, answer.text
        message_id: str = answer.json()["message_id"]
        return message_id

    def status(self, message_id: str) -> dict[str, Any]:
        """All that is known of it."""
        answer = self.get(f"/sms/status/{message_id}")
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def until(
        self, message_id: str, *statuses: str, seconds: float = SETTLE_SECONDS
    ) -> dict[str, Any]:
        """Its status as soon as it is one of these."""

        def look() -> dict[str, Any] | None:
            result = self.status(message_id)
            return result if result["status"] in statuses else None

        return eventually(look, f"{message_id} {' or '.join(statuses)}", seconds)


def code(answer: requests.Response, status: int) -> str:
    """The code of a failure with that status, in a whole envelope."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    body = answer.json()
    assert body.keys() == {"success", "error"} and body["success"] is False
    assert body["error"].keys() >= {"code", "message"}
    result: str = body["error"]["code"]
    return result
