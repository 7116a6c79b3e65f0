"""A day's traffic on one box in less time, and what its process and its files need meanwhile.

`scripts/torture day [--messages N] [--minutes N] [--write]`. The wall clock runs as usual: the traffic is denser than
that of a day. 24 parts of the run stand for the hours, with the fewest messages at night and the most at noon.
"""

from __future__ import annotations

import math
import random
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from tests.box.listening import Listener, listening
from tests.box.outside import OutsideModem
from tests.box.running import Client, RunningBox, eventually
from tests.box.when import ahead

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "reliability.md"
CHART = ROOT / "docs" / "reliability-day.svg"
HEADING = "\n## A day of traffic\n"  # the last section of the page
HOURS = 24
SAMPLE_SECONDS = 5.0
SCHEDULE_SECONDS = 60.0  # between a request and its scheduled time
SETTLE_SECONDS = 600.0  # until all that was accepted has its final status
EVENTS = ["sms.sent", "sms.delivered", "sms.failed", "sms.cancelled"]
# An interpreter of its own: a fork of the tests' launcher would share memory with it.
SETTINGS = {"PYTHONPATH": str(ROOT)}
NETWORK = ("--latency", "20", "--latency-jitter", "10", "--report-delay", "500", "--no-magic")
GAUGES = ("PSS, MiB", "threads", "descriptors", "WAL, MiB", "log, KiB", "database, MiB")


class Sample(msgspec.Struct):
    """One measurement."""

    hour: float
    accepted: int
    values: tuple[float, ...]  # in the order of GAUGES


class Day(msgspec.Struct):
    """What a run measured."""

    messages: int
    minutes: float
    statuses: dict[str, int]
    received: int
    webhook_calls: int
    samples: list[Sample]


class Traffic:
    """One client: sends, bulks, one-time passwords, schedules, reads; and people who answer."""

    def __init__(self, client: Client, modem: OutsideModem, seed: int) -> None:
        self._client, self._modem = client, modem
        self._chance = random.Random(seed)
        self.accepted = 0
        self.received = 0
        self._schedules = False

    def run(self, messages: int, seconds: float, hour: list[float]) -> None:
        """Send so many messages within so many seconds, or as fast as the box takes them."""
        began = time.monotonic()
        self._schedules = (
            seconds > SCHEDULE_SECONDS * HOURS / 2
        )  # a short run need not wait for them
        weights = [1.2 - math.cos(2 * math.pi * (n + 0.5) / HOURS) for n in range(HOURS)]
        due = 0.0
        for number, weight in enumerate(weights):
            share = messages * weight / sum(weights)
            while (passed := (time.monotonic() - began) / (seconds / HOURS) - number) < 1:
                hour[0] = number + max(passed, 0)
                if self.accepted < due + share * passed:
                    self._act()
                else:
                    time.sleep(0.02)  # the pace of the traffic
            due += share
        while self.accepted < messages:
            self._act()
        hour[0] = HOURS

    def _act(self) -> None:
        kind = self._chance.random()
        if kind < 0.08:
            self._post(
                "/sms/send-bulk",
                {"messages": [self._sms() for _ in range(10)]},
                10,
            )
        elif kind < 0.18:
            body = {"to": self._number(), "template": "Code {{code}}", "expiry": 600}
            self._post("/sms/send-otp", body, 1)
        else:
            body = self._sms()
            if self._schedules and self._chance.random() < 0.05:
                body["scheduled_at"] = ahead(seconds=SCHEDULE_SECONDS)
            self._post("/sms/send", body, 1)
        if self._chance.random() < 0.1:
            self._modem.order("incoming", sender=self._number(), text=f"Answer {self.received}")
            self.received += 1
        if self._chance.random() < 0.2:
            path = self._chance.choice(("/sms/history", "/sms/stats", "/sms/inbox", "/devices"))
            assert self._client.get(path).status_code == 200

    def _post(self, path: str, body: object, count: int) -> None:
        answer = self._client.post(path, body)
        assert answer.status_code == 202, answer.text
        self.accepted += count

    def _number(self) -> str:
        return f"+49151{self._chance.randrange(10_000_000):07d}"

    def _sms(self) -> dict[str, object]:
        text = "Your order is ready. " * self._chance.choice((1, 2, 5, 12))
        return {"to": self._number(), "message": text.strip(), "priority": 3}


class Probe:
    """Measures the process and the files of a box."""

    def __init__(self, box: RunningBox) -> None:
        self._box = box

    def values(self) -> tuple[float, ...]:
        proc = Path("/proc", str(self._box.pid))
        rollup = (proc / "smaps_rollup").read_text()
        pss = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
        return (
            int(pss.split()[1]) / 1024,
            float(len(list((proc / "task").iterdir()))),
            float(len(list((proc / "fd").iterdir()))),
            _size(self._box.data / "zimbox.db-wal") / 2**20,
            len(self._box.log()) / 2**10,
            _size(self._box.data / "zimbox.db") / 2**20,
        )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def day(folder: Path, messages: int, seconds: float, seed: int = 1) -> Day:
    """Run the traffic of a day in so many seconds. AssertionError if not everything was sent."""
    with ExitStack() as opened:
        listener: Listener = opened.enter_context(listening())
        modem = OutsideModem(folder, *NETWORK, "--seed", str(seed))
        opened.callback(modem.stop)
        box = RunningBox(folder, SETTINGS, modems=(str(modem.port),))
        opened.callback(box.stop)
        box.start()
        client = box.client()
        hook = {"url": listener.url, "events": EVENTS}
        assert client.post("/webhooks/configure", hook).status_code == 200
        traffic, probe = Traffic(client, modem, seed), Probe(box)
        hour, samples, over = [0.0], [], threading.Event()

        def sample() -> None:
            while not over.is_set():
                samples.append(Sample(round(hour[0], 2), traffic.accepted, probe.values()))
                over.wait(SAMPLE_SECONDS)

        sampling = threading.Thread(target=sample)
        sampling.start()
        began = time.monotonic()
        try:
            traffic.run(messages, seconds, hour)
            eventually(lambda: not _open(client), "all messages are final", SETTLE_SECONDS)
        finally:
            over.set()
            sampling.join()
        minutes = (time.monotonic() - began) / 60
        samples.append(Sample(HOURS, traffic.accepted, probe.values()))
        statuses = {
            status: n
            for status in ("delivered", "sent", "failed", "cancelled")
            if (n := _count(client, status))
        }
        assert sum(statuses.values()) == traffic.accepted, statuses
        return Day(
            traffic.accepted, minutes, statuses, traffic.received, len(listener.calls), samples
        )


def _count(client: Client, status: str) -> int:
    page = client.get("/sms/history", params={"status": status, "limit": 1}).json()
    total: int = page["pagination"]["total_items"]
    return total


def _open(client: Client) -> int:
    return _count(client, "queued") + _count(client, "sent")


# --- the page --------------------------------------------------------------------------------------


def section(outcome: Day, commit: str, now: datetime) -> str:
    """Return the section of docs/reliability.md."""
    rows = []
    for hour in range(0, HOURS + 1, 4):
        at = min(outcome.samples, key=lambda sample: abs(sample.hour - hour))
        cells = " | ".join(f"{value:,.1f}".removesuffix(".0") for value in at.values)
        rows.append(f"| {hour}:00 | {at.accepted:,} | {cells} |")
    ends = ", ".join(f"{count:,} {status}" for status, count in outcome.statuses.items())
    per_message = outcome.samples[-1].values[-1] - outcome.samples[0].values[-1]
    return "\n".join(
        [
            HEADING,
            f"{now:%d %B %Y}, commit `{commit}`: `scripts/torture day` let one box do the work of a day in "
            f"{outcome.minutes:.0f} minutes: {outcome.messages:,} messages ({ends}), "
            f"{outcome.received:,} received SMS and {outcome.webhook_calls:,} webhook calls. Hours are parts of the "
            "run: the wall clock was not moved.",
            "",
            f"| hour | messages | {' | '.join(GAUGES)} |",
            f"| --- |{' ---: |' * (len(GAUGES) + 1)}",
            *rows,
            "",
            "The database grows with what it keeps: "
            f"{per_message * 2**20 / outcome.messages:,.0f} bytes for a message with its events and its share of "
            "received SMS. Log rotation is left to the system.",
            "",
            "![Memory, threads, descriptors and files over the day](reliability-day.svg)",
            "",
        ]
    )


def chart(outcome: Day) -> str:
    """Return an SVG with one line for each gauge, each from zero."""
    width, height, left = 720, 90, 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height * len(GAUGES) + 24}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    inner, plot = height - 30, width - left - 16
    for row, name in enumerate(GAUGES):
        top = row * height + 20
        most = max(sample.values[row] for sample in outcome.samples) or 1.0
        points = " ".join(
            f"{left + sample.hour / HOURS * plot:.1f},{top + inner * (1 - sample.values[row] / most):.1f}"
            for sample in outcome.samples
        )
        parts += [
            f'<text x="{left}" y="{top - 6}">{name}</text>',
            f'<text x="{left - 6}" y="{top + 8}" text-anchor="end">{most:,.1f}</text>',
            f'<text x="{left - 6}" y="{top + inner}" text-anchor="end">0</text>',
            f'<path d="M{left} {top}V{top + inner}H{left + plot}" fill="none" stroke="#999"/>',
            f'<polyline points="{points}" fill="none" stroke="#0b5394" stroke-width="1.5"/>',
        ]
    bottom = height * len(GAUGES) + 14
    parts += [
        f'<text x="{left + plot * n / 4:.0f}" y="{bottom}" text-anchor="middle">{n * 6}:00</text>'
        for n in range(5)
    ]
    return "\n".join([*parts, "</svg>", ""])


@click.command()
@click.option("--messages", default=6_000, show_default=True)
@click.option("--minutes", default=20.0, show_default=True)
@click.option("--write", is_flag=True, help="Write the section and chart of docs/reliability.md.")
@click.option("--commit", default="unknown", help="Commit named in the section.")
def main(messages: int, minutes: float, write: bool, commit: str) -> None:
    """Run the traffic of a day, and measure the box."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = day(Path(folder), messages, minutes * 60)
    text = section(outcome, commit, datetime.now(UTC))
    click.echo(text)
    if write:
        before, _, _ = DOC.read_text("utf-8").partition(HEADING)
        DOC.write_text(before + text, "utf-8")
        CHART.write_text(chart(outcome), "utf-8")
