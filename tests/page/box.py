"""A whole box in a process of its own, with the page before it and a simulated modem behind it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 30.0  # a loaded machine takes a while to import everything
STOP_SECONDS = 15.0
LOOK_SECONDS = 0.1

PASSWORD = "une phrase bien longue"


class Box:
    """`zimbox serve` on a free port. Its modem takes orders on a socket."""

    def __init__(
        self, folder: Path, *, settings: str = "", pin: str = "", modem: str = "sim"
    ) -> None:
        self.folder = folder
        self.control = folder / "control"
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        text = settings + (f'\n[[modem]]\nport = "sim"\npin = "{pin}"\n' if pin else "")
        (self.data / "zimbox.toml").write_text(text, "utf-8")
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "appliance", "serve", "--data", str(self.data)),
                *("--listen", "127.0.0.1:0", "--modem", modem),
                *("--sim-control", str(self.control), "--sim-journal", str(folder / "journal")),
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"ZIMBOX_CLOCK_TRUST": "always", "ZIMBOX_RATE_LIMIT": "0"},
        )
        self.base = self._address()

    def _address(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        found = re.search(r"http://\S+", line)
        assert found, (line, (self.folder / "log").read_text("utf-8", "replace"))
        self.client = httpx.Client(base_url=found[0], timeout=10)
        self.until(lambda: self.client.get("/health").status_code == 200, "the box answers")
        return found[0]

    @staticmethod
    def until(condition: Any, what: str, seconds: float = START_SECONDS) -> None:
        """Wait for something that another process does; there is no bell to wait for."""
        end = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass  # not listening yet
            assert time.monotonic() < end, f"waited {seconds} s: {what}"
            time.sleep(LOOK_SECONDS)

    def order(self, **order: Any) -> dict[str, Any]:
        """An order to the simulated modem."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self.control))
            line.sendall(json.dumps(order).encode() + b"\n")
            with line.makefile("r") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        assert answer.get("ok", True), answer
        return answer

    def states(self) -> list[str]:
        found: list[str] = [d["state"] for d in self.client.get("/health").json()["devices"]]
        return found

    def ready(self) -> None:
        self.until(lambda: "ready" in self.states(), "the modem is ready")

    def key(self, *, test: bool = False) -> dict[str, str]:
        """Headers of a new key."""
        made = subprocess.run(
            [
                *(sys.executable, "-m", "appliance", "key", "create", "--json"),
                *("--data", str(self.data), *(["--test"] if test else [])),
            ],
            check=True,
            capture_output=True,
        )
        told = json.loads(made.stdout)
        return {"X-API-Key": told["api_key"], "X-Client-ID": told["client_id"]}

    def send(self, headers: dict[str, str], to: str, message: str, **more: Any) -> str:
        answer = self.client.post(
            "/v1/sms/send", headers=headers, json={"to": to, "message": message, **more}
        )
        assert answer.status_code == 202, answer.text
        message_id: str = answer.json()["message_id"]
        return message_id

    def status(self, headers: dict[str, str], message_id: str) -> str:
        answer = self.client.get(f"/v1/sms/status/{message_id}", headers=headers)
        status: str = answer.json()["status"]
        return status

    def stop(self) -> None:
        self.client.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._log.close()
        assert code == 0, (self.folder / "log").read_text("utf-8", "replace")[-3000:]
