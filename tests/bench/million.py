"""A thousand and a million messages in the store, or one and ten million, asked the same over HTTP in turn."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import requests

from appliance.core.folding import fold
from appliance.domain.ids import LONG_SHIFT
from appliance.store.counters import DAY_MS, HOUR_MS
from tests.box.running import RunningBox

DAYS = 89  # within the retention
ROUNDS = 30
WORDS: tuple[str, ...] = (
    "votre",
    "commande",
    "livraison",
    "demain",
    "rendez-vous",
    "médecin",
    "confirmé",
    "facture",
)
WORDS += ("disponible", "code", "promo", "merci", "rappel", "colis", "arrive", "samedi", "boutique")
STATUSES = ("delivered",) * 90 + ("sent",) * 5 + ("failed",) * 4 + ("cancelled",)
RARE_EVERY = 10_000  # messages: one of them holds the rare word
EXPORT_SECONDS = 900.0


def rows(n: int, tenant: int, end: int) -> Iterator[tuple[object, ...]]:
    """n finished messages, evenly over 89 days, oldest first."""
    chance = random.Random(n)
    start = end - DAYS * DAY_MS
    for k in range(n):
        at = start + k * (end - start) // n
        status = chance.choice(STATUSES)
        body = f"{' '.join(chance.choices(WORDS, k=12))} {k}"
        if k % RARE_EVERY == RARE_EVERY // 2 or (n < RARE_EVERY and k == n // 2):
            body += " Zanzibar"
        left = status != "cancelled"
        delivered = at + 4000 if status == "delivered" else None
        failed = at + 4000 if status == "failed" else None
        yield (
            *(
                (at << LONG_SHIFT) + (k & 0xFFFF),
                tenant,
                "sms",
                f"+336{chance.randrange(50_000):08d}",
            ),
            *(body, "GSM-7", 1, 3, 1, status, int(left), int(left), 3, 0, at, at),
            *(at + 2000 if left else None, delivered, failed, at if not left else None),
            *("NETWORK_ERROR" if failed else None, 0, "fail", '{"parts":[],"attempts":[]}'),
        )


INSERT = """INSERT INTO history (id, tenant, kind, recipient, body, alphabet, parts, priority, device,
  status, ever_submitted, attempts, max_attempts, round, created_at, queued_at, sent_at, delivered_at, failed_at,
  cancelled_at, error_code, flash, on_uncertain, timeline)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INDEX = (
    "INSERT INTO history_recipient SELECT tenant, recipient, created_at, id FROM history ORDER BY 1, 2, 3, 4",
    "INSERT INTO history_text (rowid, folded) SELECT id, fold(body) FROM history ORDER BY id",
)
COUNT = """INSERT INTO {table} (tenant, device, {unit}, queued, sent, delivered, failed, cancelled)
SELECT tenant, device, created_at / {width}, 0, SUM(status = 'sent'), SUM(status = 'delivered'),
  SUM(status = 'failed'), SUM(status = 'cancelled') FROM history GROUP BY 1, 2, 3"""


CHUNK = 100_000  # messages in a transaction


def fill(path: Path, n: int, tenant: int) -> None:
    """What archive.move leaves behind for n messages, in bulk: rows, indexes, counts.

    Nothing is synced, and each chunk is one transaction, so that the log stays small.
    """
    made = rows(n, tenant, time.time_ns() // 1_000_000 - HOUR_MS)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.create_function("fold", 1, fold, deterministic=True)
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -262144")
        while chunk := list(itertools.islice(made, CHUNK)):
            db.execute("BEGIN")
            db.executemany(INSERT, chunk)
            first, last = chunk[0][0], chunk[-1][0]
            for statement in INDEX:
                where = "history WHERE id BETWEEN ? AND ?"
                db.execute(statement.replace("history ORDER", f"{where} ORDER"), (first, last))
            db.execute("COMMIT")
        db.execute("BEGIN")
        for table, unit, width in (("hour_total", "hour", HOUR_MS), ("day_total", "day", DAY_MS)):
            db.execute(COUNT.format(table=table, unit=unit, width=width))
        db.execute("COMMIT")


class Stored:
    """A box with n messages in its store."""

    def __init__(self, folder: Path, n: int) -> None:
        folder.mkdir(parents=True)
        self.n = n
        self.box = RunningBox(
            folder, {"ZIMBOX_RETENTION_DAYS": "3650", "ZIMBOX_READ_LIMIT": "0"}, modems=()
        ).start()
        self.client = self.box.client()
        self.box.stop()
        tenant = 2 * int(self.client.client_id.removeprefix("client_"))
        fill(self.box.data / "zimbox.db", n, tenant)
        self.box.start()
        self.client.url = self.box.url
        self.session = requests.Session()
        self.session.headers.update(self.client.headers)
        self.some_id = self._page(page=max(1, n // 200), limit=100)[50]["message_id"]

    def _page(self, **params: str | int) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.get("/sms/history", **params)["data"]
        return found

    def get(self, path: str, **params: str | int) -> dict[str, list[dict[str, str]]]:
        answer = self.session.get(f"{self.client.url}/v1{path}", params=params, timeout=60)
        assert answer.status_code == 200, answer.text
        result: dict[str, list[dict[str, str]]] = answer.json()
        return result

    def resident_kib(self) -> int:
        """The most memory that the process ever had."""
        status = Path(f"/proc/{self.box.pid}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(match[1]) if match else 0

    def export(self) -> float:
        """Rows per second of a whole export."""
        began = time.perf_counter()
        count = 0
        with self.session.get(
            f"{self.client.url}/v1/sms/export",
            params={"format": "jsonl"},
            stream=True,
            timeout=EXPORT_SECONDS,
        ) as answer:
            assert answer.status_code == 200
            for piece in answer.iter_content(1 << 16):
                count += piece.count(b"\n")
        assert count == self.n, f"{count} rows of {self.n}"
        return count / (time.perf_counter() - began)

    def stop(self) -> None:
        self.session.close()
        self.box.stop()


def _date(days_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - days_ago * 86400, UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


Ask = Callable[[Stored], object]

QUESTIONS: dict[str, tuple[float, Ask]] = {
    # name: (how much longer a million may take, the question)
    "history, newest 50 with total": (1.5, lambda s: s.get("/sms/history", limit=50)),
    "history, status and dates": (
        1.5,
        lambda s: s.get(
            "/sms/history",
            limit=50,
            status="delivered",
            from_date=_date(60.3),
            to_date=_date(10.7),
        ),
    ),
    "history, page at 30 % depth": (
        1.5,
        lambda s: s.get("/sms/history", limit=50, page=max(1, round(s.n * 0.3 / 50))),
    ),
    "status of one message": (1.5, lambda s: s.get(f"/sms/status/{s.some_id}")),
    "statistics, 30 days": (1.5, lambda s: s.get("/sms/stats")),
    "statistics, all": (
        1.5,
        lambda s: s.get("/sms/stats", from_date=_date(DAYS), to_date=_date(0)),
    ),
    "search, rare word, newest 50": (
        5.0,
        lambda s: s.get("/sms/history", limit=50, search="zanzibar"),
    ),
    "search, common word, newest 50": (
        5.0,
        lambda s: s.get("/sms/history", limit=50, search="livraison"),
    ),
    "search, absent word": (5.0, lambda s: s.get("/sms/history", limit=50, search="xylophone")),
}


class Compared(msgspec.Struct, frozen=True):
    """One question, milliseconds (medians)."""

    question: str
    most: float
    small: float
    large: float

    @property
    def ratio(self) -> float:
        return self.large / self.small


def compare(small: Stored, large: Stored, rounds: int = ROUNDS) -> list[Compared]:
    """Each question to both in turn, so that whatever else the machine does hits both."""
    found = []
    for name, (most, ask) in QUESTIONS.items():
        taken: dict[int, list[float]] = {small.n: [], large.n: []}
        for stored in (small, large):
            ask(stored)  # warm
        for _ in range(rounds):
            for stored in (small, large):
                began = time.perf_counter()
                ask(stored)
                taken[stored.n].append((time.perf_counter() - began) * 1000)
        found.append(
            Compared(
                name, most, statistics.median(taken[small.n]), statistics.median(taken[large.n])
            )
        )
    return found


def ten_million(folder: Path) -> str:
    return measure(folder, 1_000_000, 10_000_000)


def measure(folder: Path, small_n: int = 1000, large_n: int = 1_000_000) -> str:
    stores: list[Stored] = []
    try:
        stores.extend(Stored(folder / str(n), n) for n in (small_n, large_n))
        small, large = stores
        size = (large.box.data / "zimbox.db").stat().st_size
        lines = [
            f"The store with {small_n:,} and {large_n:,} messages over {DAYS} days, over HTTP, median ms",
            f"  ({size / large_n:.0f} bytes a message on disk, search and indexes included)",
        ]
        lines += [
            f"  {c.question:32} {c.small:8.2f} {c.large:8.2f}   × {c.ratio:5.2f} (aim {c.most:g})"
            for c in compare(small, large)
        ]
        rates = [stored.export() for stored in stores]
        before = large.resident_kib()
        again = large.export()
        lines.append(
            f"  export, rows/s                   {rates[0]:8.0f} {rates[1]:8.0f}   again {again:.0f}; "
            f"peak memory {before / 1024:.1f} MiB before it, {large.resident_kib() / 1024:.1f} MiB after"
        )
        return "\n".join(lines)
    finally:
        for stored in stores:
            stored.stop()
