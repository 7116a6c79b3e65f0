"""Start a card for a scenario, and use its gateway as a client and as its administrator."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from image.builder import build
from image.emulator import card_file, machine, results, simulator
from image.emulator.boards import Board
from image.emulator.machine import Machine

FOLDER = build.BUILD / "scenarios"

# A bound for hangs only; scenarios wait for what they expect to see. See machine.BOOT_SECONDS.
WAIT_SECONDS = 1800

RECIPIENT = "+33612345678"

MODEM = ("--personality", "sim868", "--latency", "300", "--report-delay", "500")

AS_GATEWAY = (
    "cd /data/zimbox && setpriv --reuid=zimbox --regid=zimbox --init-groups env PYTHONPATH=/run/zimbox/app "
    "ZIMBOX_DATA=/data/zimbox python3 -P -s -m appliance"
)


class Failed(Exception):
    """The card did not do what the scenario expects; says what was seen."""


def check(holds: bool, words: object) -> None:
    if not holds:
        raise Failed(str(words))


def note(scenario: str, **figures: object) -> None:
    """Print the figures and keep them for the table."""
    for name, value in figures.items():
        print(f"  {name}: {value}", flush=True)
    results.note(scenario, figures)


@contextmanager
def running(
    scenario: str,
    board: Board = "virt",
    *,
    card: Path | None = None,
    drive: str = "",
    exit_on_restart: bool = False,
    memory_mb: int = 1024,
    kernel_words: tuple[str, ...] = (),
    cable: bool = True,
    modem: tuple[str, ...] = MODEM,
) -> Iterator[tuple[Machine, Path]]:
    """Start a box with a simulated modem on its UART; yield it and the journal of the network."""
    folder = FOLDER / scenario
    card = card or new_card(scenario)
    with (
        simulator.simulated_modem(folder, *modem) as (link, journal),
        machine.started(
            board,
            folder,
            card,
            link,
            drive,
            exit_on_restart=exit_on_restart,
            memory_mb=memory_mb,
            kernel_words=kernel_words,
        ) as box,
    ):
        if not cable:
            box.plug_cable(False)
        yield box, journal


def new_card(scenario: str, size_mb: int = 2048) -> Path:
    folder = FOLDER / scenario
    shutil.rmtree(folder, ignore_errors=True)
    return card_file.fresh_card(folder, size_mb)


def until(what: str, condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Wait until `condition` returns something true, and return it. Raises Failed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if seen := condition():
                return seen
        except (OSError, ValueError) as error:
            seen = error
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:.0f} s; last seen {seen!r}")
        time.sleep(1)


def new_key(box: Machine) -> dict[str, str]:
    """Create an API key inside the box; return the headers that use it."""
    made = json.loads(
        box.shell(f"{AS_GATEWAY} key create --data /data/zimbox --json").splitlines()[-1]
    )
    return {"X-API-Key": made["api_key"], "X-Client-ID": str(made["client_id"])}


def online(box: Machine) -> bool:
    return any(device["status"] == "online" for device in box.get("/health")["devices"])


def send(box: Machine, key: dict[str, str], text: str) -> str:
    """Send one SMS by curl and return its id."""
    headers = [word for name, value in key.items() for word in ("-H", f"{name}: {value}")]
    output = subprocess.run(
        ["curl", "-sS", "-m", "60", *headers, "--json", json.dumps({"to": RECIPIENT, "message": text}),
         f"http://127.0.0.1:{box.http_port}/v1/sms/send"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(output.stdout)
    check(answer.get("success") is True, answer)
    return str(answer["message_id"])


class AdminPage:
    """The status page by curl, as a browser without JavaScript sees it."""

    def __init__(self, box: Machine) -> None:
        self._box = box

    def get(self, path: str) -> str:
        """Return the text of a page. Raises OSError if there is none."""
        return self._curl(path)

    def post(self, page: str, path: str, *fields: str) -> str:
        """Send the form of `page` and return the page after it. Fields are `name=value` or `name=@file`."""
        token = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get(page))
        check(token is not None, f"{page} has no form")
        assert token
        form = [word for field in (f"form_token={token[1]}", *fields) for word in ("-F", field)]
        return self._curl(path, "-L", *form)

    def _curl(self, path: str, *more: str) -> str:
        cookies = self._box.folder / "cookies"
        output = subprocess.run(
            ["curl", "-sS", "-m", "600", "-b", cookies, "-c", cookies, "-H", "Accept-Language: en",
             "-H", "Accept: text/html", *more, f"http://127.0.0.1:{self._box.http_port}{path}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if output.returncode:
            raise OSError(output.stderr.strip())
        return output.stdout


def delivered(box: Machine, key: dict[str, str], message: str) -> bool:
    return bool(box.get(f"/v1/sms/status/{message}", key)["status"] == "delivered")


def received(journal: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    )


def data_sectors_written(box: Machine) -> int:
    line = box.shell('cat /sys/class/block/"$(basename "$(findmnt -no SOURCE /data)")"/stat')
    return int(line.split()[6])
