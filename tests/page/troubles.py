"""Problems that need a box of their own, each caused by a real fault."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from appliance.domain.ids import LONG_SHIFT
from appliance.store.database import beside
from tests.box.running import QUICK_DRIVER, RunningBox, eventually
from tests.box.when import noon
from tests.page.conftest import ready
from tests.page.owner import Visit

HOUR_MS = 3_600_000
MIB = 1 << 20


class CannotMount(Exception):
    """A small card needs a small disk, and that needs root."""


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[RunningBox]:
    named = {f"ZIMBOX_{name.upper()}": value for name, value in settings.items()}
    box = RunningBox(folder, {**QUICK_DRIVER, **named})
    try:
        yield box
    finally:
        box.stop()


def begin(box: RunningBox) -> None:
    box.start()
    ready(box)
    Visit(box.url).claim()


@contextmanager
def queue_stuck(folder: Path) -> Iterator[RunningBox]:
    """The network takes a minute to answer for a part: the modem is ready, and nothing moves."""
    with running(folder, queue_stuck_minutes="0.05") as box:
        begin(box)
        box.simulate(do="send", at="taken", late=60.0, times=None)
        client = box.client()
        for number in range(3):
            client.send(f"+3361234560{number}")
        yield box
        box.kill()  # a stop would wait for the part on the line


@contextmanager
def clock_unknown(folder: Path) -> Iterator[RunningBox]:
    """The box has seen a later moment than its clock shows; the modem, silent, knows no better."""
    with running(folder, clock_trust="auto") as box:
        begin(box)
        client = box.client()
        sent = client.send("+33612345678")
        client.until(sent, "delivered")
        box.stop()
        seen = (int(sent.removeprefix("msg_"), 16) >> LONG_SHIFT) + HOUR_MS
        beside(
            box.data / "zimbox.db",
            lambda db: db.execute(
                "INSERT INTO meta VALUES ('long_mark', ?1) ON CONFLICT DO UPDATE SET value = ?1",
                (seen << LONG_SHIFT,),
            ),
        )
        box.start()
        box.simulate(do="hang")
        yield box


class Refuses(BaseHTTPRequestHandler):
    """Somebody's server, out of order."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Not on the test's output."""


@contextmanager
def webhook_failing(folder: Path) -> Iterator[RunningBox]:
    """A receiver that answers 500, until the box gives up."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with running(folder, webhook_retry_seconds="0.1,0.1") as box:
            begin(box)
            client = box.client()
            hook = {"url": f"http://127.0.0.1:{server.server_port}/", "events": ["sms.delivered"]}
            assert client.post("/webhooks/configure", hook).status_code == 200
            for number in range(3):
                client.until(client.send(f"+3361234560{number}"), "delivered")
            yield box
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def small_card(folder: Path, mib: int) -> Iterator[None]:
    """The data folder on a disk of so many MiB."""
    disk = folder / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise CannotMount
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@contextmanager
def card_nearly_full(folder: Path) -> Iterator[RunningBox]:
    """A small card: what the box keeps back is still free, and little more."""
    with small_card(folder, 128), running(folder) as box:
        begin(box)
        yield box


@contextmanager
def card_full(folder: Path) -> Iterator[RunningBox]:
    """The same, filled up."""
    with small_card(folder, 64), running(folder) as box:
        begin(box)
        (box.data / "filler").write_bytes(bytes(40 * MIB))
        yield box


@contextmanager
def balance_low(folder: Path) -> Iterator[RunningBox]:
    """The operator says that little is left, asked as the owner asks."""
    with running(folder) as box:
        begin(box)
        box.simulate(do="ussd", code="[*]100#", text="Solde : 0,85 EUR")
        visit = Visit(box.url)
        visit.login()
        page = "/settings/sim"
        visit.post(f"{page}/1/balance", {"code": "*100#", "low": "2,50"}, page=page)
        visit.post(f"{page}/1/ask", {"code": "*100#"}, page=page)
        yield box


@contextmanager
def daily_limit(folder: Path) -> Iterator[RunningBox]:
    """What the SIM may send today is used up, and something waits."""
    with running(folder, limits_per_day="2", time_zone=noon()) as box:
        begin(box)
        client = box.client()
        for number in range(2):
            client.until(client.send(f"+3361234560{number}"), "delivered")
        client.send("+33612345609", priority=5)
        eventually(lambda: len(box.received()) == 2, "the limit holds")
        yield box


class Trouble(msgspec.Struct, frozen=True):
    """What happens, and the beginning of its sentence in both languages."""

    name: str
    happens: Callable[[Path], AbstractContextManager[RunningBox]]
    french: str
    english: str


TROUBLES = (
    Trouble("queue-stuck", queue_stuck, "La file n’avance plus", "The queue has not moved"),
    Trouble(
        "clock-unknown",
        clock_unknown,
        "Le boîtier ne connaît pas encore l’heure",
        "The box does not know the time yet",
    ),
    Trouble(
        "webhook-failing",
        webhook_failing,
        "Votre serveur n’a pas répondu à 3 notifications",
        "Your server did not answer 3 notifications",
    ),
    Trouble(
        "card-nearly-full",
        card_nearly_full,
        "La carte mémoire est presque pleine",
        "The memory card is nearly full",
    ),
    Trouble("card-full", card_full, "La carte mémoire est pleine", "The memory card is full"),
    Trouble(
        "balance-low",
        balance_low,
        "Le crédit de la carte SIM est presque épuisé",
        "The credit of the SIM card is nearly used up",
    ),
    Trouble(
        "daily-limit",
        daily_limit,
        "Les messages attendent",
        "Messages are waiting",
    ),
)
