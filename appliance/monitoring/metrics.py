"""Prometheus metrics, with its naming conventions and without personal data in any label."""

from __future__ import annotations

import asyncio
import hmac
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from sqlite3 import Connection

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric

from appliance import __version__
from appliance.context import Context
from appliance.core.mqtt_state import MqttState
from appliance.devices import snapshot
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.devices.snapshot import ModemSnapshot
from appliance.domain.errors import ApiError
from appliance.domain.limits import Usage
from appliance.domain.message import Status
from appliance.store import dashboard as table
from appliance.store import deliveries, queue, smpp
from appliance.store.dashboard import QueueFigures
from appliance.webhooks.dispatcher import WebhookDispatcher
from modem.interface import Limitation, ModemState, Verdict

# Scrapes within this time get the same answer, so that frequent ones do not load the store.
FRESH_SECONDS = 1.0
METHODS = {
    "GET",
    "POST",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "PUT",
    "PATCH",
}  # any other would be an unbounded label
MODES = ("live", "test")


class StoreFigures(msgspec.Struct, frozen=True):
    """The figures from the store."""

    messages: Mapping[tuple[str, str], int]  # by mode and current status
    queue: QueueFigures
    uncertain: int
    webhooks_pending: int
    usage: tuple[Usage, ...]  # one for each modem
    smpp_waiting: int = 0


class SmppFigures(msgspec.Struct, frozen=True):
    """What the SMPP server has done since its start."""

    bound: int
    submissions: Mapping[str, int]  # by result
    deliveries: Mapping[str, int]  # by result
    refused_connections: int


class MetricsSnapshot(msgspec.Struct, frozen=True):
    """All figures, gathered at one time."""

    stored: StoreFigures
    modems: tuple[ModemSnapshot, ...]
    clock_trusted: bool
    calls: Mapping[str, int]  # of webhooks, by result
    calls_open: int
    given_up: int
    disk_free: int
    disk_size: int
    database: int
    smpp: SmppFigures | None = None
    mqtt: MqttState | None = None  # without a broker there are no metrics of it


class Metrics:
    """Gathers the figures on request, at most once per second."""

    def __init__(self, box: Context, devices: Devices, webhooks: WebhookDispatcher) -> None:
        self._box = box
        self._devices = devices
        self._webhooks = webhooks
        self._lock = asyncio.Lock()
        self._answer = b""
        self._fresh_until = 0.0
        self._facts: MetricsSnapshot | None = None
        self.smpp: Callable[[], SmppFigures] | None = None  # while the SMPP server runs
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not typed there
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "zimbox_http_requests",
            "HTTP requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "zimbox_http_request_seconds",
            "Time from the request to the end of its answer, in seconds.",
            ["method", "route"],
            registry=self._registry,
        )
        self._observed: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request. `route` is the template, without parameter values."""
        key = (method if method in METHODS else "other", route, status)
        found = self._observed.get(key)
        if found is None:  # few: looking labels up costs more than counting
            found = self._observed[key] = (
                self._requests.labels(key[0], route, str(status)),
                self._seconds.labels(key[0], route),
            )
        found[0].inc()
        found[1].observe(seconds)

    async def text(self, token: str | None) -> bytes:
        """Return the metrics in Prometheus text format. Raises INVALID_API_KEY for a wrong token."""
        wanted = self._box.config.server.metrics_token
        if wanted and not hmac.compare_digest(wanted.encode(), (token or "").encode()):
            raise ApiError("INVALID_API_KEY")
        async with self._lock:
            now = self._box.clock.monotonic()
            if not self._answer or now >= self._fresh_until:
                self._facts = await self._gather()
                self._answer = generate_latest(self._registry)
                self._fresh_until = now + FRESH_SECONDS
            return self._answer

    def collect(self) -> Iterable[Metric]:
        """Return the metric families; none before the first gathering."""
        return families(self._facts) if self._facts else ()

    async def _gather(self) -> MetricsSnapshot:
        box = self._box
        attached = [a for a in self._devices.attached if a.number and not a.test]
        stored = await box.db.read(self._read, attached, box.clock.now())
        disk = shutil.disk_usage(box.db.path.parent)
        counters = self._webhooks.counters
        return MetricsSnapshot(
            stored=stored,
            modems=tuple(
                snapshot.take(a, used, box.clock, a.settings.name)
                for a, used in zip(attached, stored.usage, strict=True)
            ),
            clock_trusted=box.clock.trusted,
            calls={"ok": counters.succeeded, "failed": counters.failed},
            calls_open=self._webhooks.open_calls,
            given_up=counters.given_up,
            disk_free=disk.free,
            disk_size=disk.total,
            database=_size(box.db.path),
            smpp=self.smpp() if self.smpp else None,
            mqtt=box.mqtt,
        )

    def _read(self, db: Connection, attached: list[Attached], now: int) -> StoreFigures:
        zone = self._box.zone
        return StoreFigures(
            messages=_messages(db),
            queue=table.queue(db, now),
            uncertain=table.uncertain(db),
            webhooks_pending=deliveries.pending(db),
            usage=tuple(queue.usage(db, a.iccid, a.limits, now, zone) for a in attached),
            smpp_waiting=smpp.undelivered(db) if self.smpp else 0,
        )


def _messages(db: Connection) -> dict[tuple[str, str], int]:
    """Count all messages ever accepted by current status, from the daily counters."""
    columns = ", ".join(f"SUM({status})" for status in Status)
    found = {(mode, status.value): 0 for mode in MODES for status in Status}
    for row in db.execute(f"SELECT tenant & 1, {columns} FROM day_count GROUP BY tenant & 1"):
        for status, count in zip(Status, row[1:], strict=True):
            found[MODES[row[0]], status.value] = count
    return found


def _size(database: Path) -> int:
    """Return the size of the database and its write-ahead log in octets."""
    files = (database, database.with_name(database.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


# --- metric families: pure ---------------------------------------------------------------------------


def families(facts: MetricsSnapshot) -> Iterator[Metric]:
    """Yield every metric family."""
    yield InfoMetricFamily("zimbox", "Version of the software.", value={"version": __version__})
    yield gauge(
        "zimbox_clock_trusted", "1 if the wall clock is trusted, 0 otherwise.", facts.clock_trusted
    )
    yield from _of_messages(facts.stored)
    yield from _of_modems(facts.modems)
    calls = CounterMetricFamily(
        "zimbox_webhook_calls", "Webhook calls since the start, by result.", labels=["result"]
    )
    for result, count in facts.calls.items():
        calls.add_metric([result], count)
    yield calls
    yield CounterMetricFamily(
        "zimbox_webhook_given_up",
        "Webhook events given up after all attempts, since the start.",
        value=facts.given_up,
    )
    yield gauge(
        "zimbox_webhook_open_calls", "Webhook calls that wait for an answer.", facts.calls_open
    )
    yield gauge(
        "zimbox_webhook_pending_events",
        "Webhook events that are not delivered yet.",
        facts.stored.webhooks_pending,
    )
    yield gauge(
        "zimbox_storage_free_bytes", "Free space on the disk of the data folder.", facts.disk_free
    )
    yield gauge(
        "zimbox_storage_size_bytes", "Size of the disk of the data folder.", facts.disk_size
    )
    yield gauge(
        "zimbox_database_bytes", "Size of the database with its write-ahead log.", facts.database
    )
    if facts.smpp is not None:
        yield from _of_smpp(facts.smpp, facts.stored.smpp_waiting)
    if facts.mqtt is not None:
        yield from _of_mqtt(facts.mqtt)


def _of_smpp(figures: SmppFigures, waiting: int) -> Iterator[Metric]:
    """Yield the families of the SMPP server; there are none while it is off."""
    yield gauge("zimbox_smpp_sessions", "Engines that are bound.", figures.bound)
    submissions = CounterMetricFamily(
        "zimbox_smpp_submissions", "Submissions since the start, by result.", labels=["result"]
    )
    for result, count in figures.submissions.items():
        submissions.add_metric([result], count)
    yield submissions
    sent = CounterMetricFamily(
        "zimbox_smpp_deliveries",
        "Receipts and received messages sent to engines since the start, by result.",
        labels=["result"],
    )
    for result, count in figures.deliveries.items():
        sent.add_metric([result], count)
    yield sent
    yield gauge(
        "zimbox_smpp_waiting_deliveries",
        "Receipts and received messages that no engine has confirmed yet.",
        waiting,
    )
    yield CounterMetricFamily(
        "zimbox_smpp_refused_connections",
        "Connections to the SMPP server that were refused since the start.",
        value=figures.refused_connections,
    )


def _of_mqtt(mqtt: MqttState) -> Iterator[Metric]:
    yield gauge(
        "zimbox_mqtt_connected", "1 while the MQTT broker is connected, else 0.", mqtt.connected
    )
    yield CounterMetricFamily(
        "zimbox_mqtt_connections",
        "Connections to the MQTT broker since the start.",
        mqtt.connections,
    )
    yield CounterMetricFamily(
        "zimbox_mqtt_published_events",
        "Events that the MQTT broker has acknowledged.",
        mqtt.published,
    )
    yield CounterMetricFamily(
        "zimbox_mqtt_given_up_events",
        "Events given up because too many waited for the MQTT broker.",
        mqtt.given_up,
    )
    commands = CounterMetricFamily(
        "zimbox_mqtt_commands", "Commands received by MQTT since the start.", labels=["result"]
    )
    commands.add_metric(["accepted"], mqtt.accepted)
    commands.add_metric(["refused"], mqtt.refused)
    yield commands


def gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=float(value))


def _of_messages(stored: StoreFigures) -> Iterator[Metric]:
    accepted = CounterMetricFamily(
        "zimbox_messages_accepted", "Messages accepted.", labels=["mode"]
    )
    for mode in MODES:
        total = sum(count for (at, _), count in stored.messages.items() if at == mode)
        accepted.add_metric([mode], total)
    yield accepted
    standing = GaugeMetricFamily(
        "zimbox_messages",
        "All messages ever accepted, by current status.",
        labels=["mode", "status"],
    )
    for (mode, status), count in stored.messages.items():
        standing.add_metric([mode, status], count)
    yield standing
    messages = GaugeMetricFamily(
        "zimbox_queue_messages", "Messages that are due and waiting.", labels=["priority"]
    )
    parts = GaugeMetricFamily(
        "zimbox_queue_parts", "Parts of the messages that are due and waiting.", labels=["priority"]
    )
    levels = {level.priority: level for level in stored.queue.levels}
    for priority in range(1, 6):
        level = levels.get(priority)
        messages.add_metric([str(priority)], level.messages if level else 0)
        parts.add_metric([str(priority)], level.parts if level else 0)
    yield messages
    yield parts
    yield gauge(
        "zimbox_queue_scheduled_messages", "Messages scheduled for later.", stored.queue.scheduled
    )
    yield gauge(
        "zimbox_uncertain_messages",
        "Uncertain messages: submitted without an answer.",
        stored.uncertain,
    )


def _of_modems(modems: tuple[ModemSnapshot, ...]) -> Iterator[Metric]:
    """Yield every modem family, also without a modem: an absent metric raises no alert."""
    up = GaugeMetricFamily(
        "zimbox_modem_up", "1 if the modem can send, 0 otherwise.", labels=["device"]
    )
    state = GaugeMetricFamily(
        "zimbox_modem_state",
        "1 for the current state, 0 for the others.",
        labels=["device", "state"],
    )
    info = InfoMetricFamily(
        "zimbox_modem", "Name, model, operator and technology of the modem.", labels=["device"]
    )
    signal = GaugeMetricFamily(
        "zimbox_modem_signal_dbm", "Signal strength in dBm.", labels=["device"]
    )
    roaming = GaugeMetricFamily(
        "zimbox_modem_roaming", "1 if the modem is roaming, 0 otherwise.", labels=["device"]
    )
    pace = GaugeMetricFamily(
        "zimbox_modem_part_seconds",
        "Time to send a part, running mean in seconds.",
        labels=["device"],
    )
    balance = GaugeMetricFamily(
        "zimbox_modem_balance", "Credit of the SIM, in the operator's currency.", labels=["device"]
    )
    used = GaugeMetricFamily(
        "zimbox_modem_store_used", "Messages in the modem's storage.", labels=["device"]
    )
    size = GaugeMetricFamily(
        "zimbox_modem_store_size", "Places in the modem's storage.", labels=["device"]
    )
    sent = CounterMetricFamily(
        "zimbox_parts_sent",
        "Parts submitted since the start, by verdict.",
        labels=["device", "verdict"],
    )
    recoveries = CounterMetricFamily(
        "zimbox_modem_recoveries", "Recovery steps since the start.", labels=["device", "step"]
    )
    limitation = GaugeMetricFamily(
        "zimbox_modem_limitation",
        "1 while the modem has this limitation, else 0.",
        labels=["device", "limitation"],
    )
    limit = GaugeMetricFamily(
        "zimbox_sim_limit", "Limits of the SIM, in parts or recipients.", labels=["device", "limit"]
    )
    in_use = GaugeMetricFamily(
        "zimbox_sim_limit_used",
        "Use of the SIM's limits, in parts or recipients.",
        labels=["device", "limit"],
    )
    for m in modems:
        of, status = [f"device_{m.number}"], m.status
        up.add_metric(of, float(m.state is ModemState.READY))
        for one in ModemState:
            state.add_metric([*of, one.value], float(m.state is one))
        info.add_metric(
            of,
            {
                "name": m.name,
                "model": m.model,
                "operator": status.operator,
                "technology": status.technology,
            },
        )
        if status.signal_dbm is not None:
            signal.add_metric(of, status.signal_dbm)
        roaming.add_metric(of, float(status.roaming))
        pace.add_metric(of, m.pace_seconds)
        if m.balance is not None:
            balance.add_metric(of, m.balance)
        used.add_metric(of, status.stored)
        size.add_metric(of, status.storage)
        for verdict in Verdict:
            sent.add_metric([*of, verdict.value], m.verdicts.get(verdict, 0))
        for step, count in status.recoveries.items():
            recoveries.add_metric([*of, step], count)
        for each in Limitation:
            limitation.add_metric([*of, each.value], float(each in status.limitations))
        for use in m.limit_uses:
            limit.add_metric([*of, use.name], use.most)
            in_use.add_metric([*of, use.name], use.used)
    yield from (up, state, info, signal, roaming, pace, balance, used, size)
    yield from (sent, recoveries, limitation, limit, in_use)
