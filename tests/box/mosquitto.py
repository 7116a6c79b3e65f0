"""Debian's mosquitto as a process, and its own programs as the other clients of the broker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tests.box.running import START_SECONDS, eventually, free_port
from tests.needed import needed

PROGRAMS = ("mosquitto", "mosquitto_pub", "mosquitto_sub")


def program(name: str) -> str:
    """The path of a program; the broker is in a folder that is not on everybody's PATH."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        needed(name)
    assert found is not None
    return found


class Broker:
    """A broker in a folder, which keeps its sessions and retained messages over a restart."""

    def __init__(self, folder: Path, more: str = "", *, first: str = "") -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._file.write_text(
            f"{first}persistence true\npersistence_location {folder}/\nlog_type all\nuser root\n"
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{more}"
        )

    def start(self) -> Broker:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program("mosquitto"), "-c", str(self._file)], stdout=log, stderr=log
            )
        try:
            eventually(self._running, "the broker listens", START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def _running(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log()
        # The program connects, and fails while nobody listens.
        return self._publish("test/running", "up", check=False) == 0

    def stop(self) -> None:
        """End it as systemd does; it stores what it keeps."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def publish(self, topic: str, body: object, *more: str) -> None:
        """Publish with QoS 1: JSON, or a text as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        self._publish(topic, text, *more)

    def publish_lines(self, topic: str, lines: list[str]) -> None:
        """Publish each line as a message, one behind the other."""
        self._publish(topic, "\n".join(lines), how="-l")

    def _publish(
        self, topic: str, text: str, *more: str, how: str = "-s", check: bool = True
    ) -> int:
        words = [program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(self.port)]
        words += ["-q", "1", "-t", topic, how, *more]
        done = subprocess.run(
            words, input=text.encode(), stderr=subprocess.PIPE, check=False, timeout=START_SECONDS
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.returncode


class Subscriber:
    """`mosquitto_sub` with a session of its own: it loses nothing while the broker restarts."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.lines: list[tuple[str, bool, str]] = []
        words = [program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(broker.port)]
        words += ["-c", "-i", name, "-q", "1", "-t", "#", "-F", "%t\t%r\t%p"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

        def subscribed() -> bool:
            broker.publish("test/subscribed", name)
            return name in self.payloads("test/subscribed")

        try:
            eventually(subscribed, "mosquitto_sub has subscribed", START_SECONDS)
        except BaseException:
            self.close()
            raise

    def _read(self, out: IO[str]) -> None:
        for line in out:
            fields = line.rstrip("\n").split("\t", 2)
            if len(fields) == 3:
                self.lines.append((fields[0], fields[1] == "1", fields[2]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def payloads(self, topic: str) -> list[str]:
        """All that was published to a topic, in order."""
        return [payload for name, _, payload in list(self.lines) if name == topic]

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads(topic)]

    def until(
        self, topic: str, wanted: Callable[[dict[str, Any]], object], what: str
    ) -> dict[str, Any]:
        """The first body of a topic that is the wanted one."""
        return eventually(
            lambda: next((body for body in self.bodies(topic) if wanted(body)), None), what
        )
