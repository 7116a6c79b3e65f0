"""The data of the status page, gathered in one read of the store and from the modems."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from sqlite3 import Connection
from zoneinfo import ZoneInfo

import msgspec

from appliance.context import Context
from appliance.core.config import Limits
from appliance.devices import snapshot
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.devices.snapshot import ModemSnapshot
from appliance.domain import limits as limit_rules
from appliance.domain.limits import Usage
from appliance.monitoring import wifi
from appliance.monitoring.diagnosis import DiagnosisInput, Problem, diagnose
from appliance.store import dashboard as table
from appliance.store import held, queue, reports
from appliance.store.counters import DAY_MS, HOUR_MS
from appliance.store.dashboard import Figures, Owned, QueueFigures
from modem.interface import ModemState

MIB = 1 << 20
DAYS = 30
LATEST = 8
RECENT_HOURS = 3  # of which many failures are a problem


class DayView(msgspec.Struct, frozen=True):
    """One local day: `date` is "2025-01-31"."""

    date: str
    figures: Figures


class Overview(msgspec.Struct, frozen=True):
    """All figures, gathered at one time."""

    now: int
    problems: tuple[Problem, ...]
    modems: tuple[ModemSnapshot, ...]
    queue: QueueFigures
    empty_at: int | None  # when the queue will be empty; None: it is empty, or unknown
    today: Figures
    received_today: int
    days: tuple[DayView, ...]
    latest: tuple[Owned, ...]
    disk_free_mib: int
    free: bool  # whether a modem is ready and only limits delay it

    @property
    def ready(self) -> bool:
        """Whether a modem is ready to send."""
        return any(modem.state is ModemState.READY for modem in self.modems)


def empties_at(
    parts: int,
    pace_seconds: Sequence[float],
    limits: Sequence[tuple[Limits, Usage]],
    now: int,
    zone: ZoneInfo,
) -> int | None:
    """Return when `parts` will have been sent (ms), by the pace and limits of the modems that are ready.

    None if no modem is ready, or a daily or monthly limit is reached first.
    """
    if not parts or not pace_seconds:
        return None
    rate = 0.0  # parts per millisecond
    begins = now
    for pace, (limit, used) in zip(pace_seconds, limits, strict=True):
        room = limit_rules.room_today(limit, used)
        if room is not None and room < parts:
            return None
        quiet_until = limit_rules.quiet(limit.quiet_hours, now, zone)
        begins = max(begins, quiet_until or now)
        caps = [
            1 / (pace * 1000),
            *([limit.per_minute / 60_000] if limit.per_minute else []),
            *([limit.per_hour / 3_600_000] if 0 < limit.per_hour < used.hour + parts else []),
        ]
        rate += min(caps)
    return round(begins + parts / rate)


def local_days(hours: dict[int, Figures], now: int, zone: ZoneInfo) -> tuple[DayView, ...]:
    """Return the hourly figures as the last 30 local days, including empty ones."""
    today = limit_rules.local(now, zone).date()
    days = {today - timedelta(days=n): Figures() for n in range(DAYS - 1, -1, -1)}
    for begins, figures in hours.items():
        day = datetime.fromtimestamp(begins / 1000, zone).date()
        if day in days:
            before = days[day]
            days[day] = Figures(
                before.queued + figures.queued,
                before.sent + figures.sent,
                before.delivered + figures.delivered,
                before.failed + figures.failed,
            )
    return tuple(DayView(day.isoformat(), figures) for day, figures in days.items())


def local_midnight(day: date, zone: ZoneInfo, *, after: bool = False) -> int:
    """Return when a local day begins, or ends (ms)."""
    begins = day + timedelta(days=int(after))
    return int(datetime.combine(begins, time(), zone).timestamp() * 1000)


class _Stored(msgspec.Struct, frozen=True):
    queue: QueueFigures
    last_sent: int | None
    hours: dict[int, Figures]
    received: int
    given_up: int
    unplaced_reports: int
    held: int
    latest: tuple[Owned, ...]
    usage: tuple[Usage, ...]


class DashboardReader:
    """Gathers an `Overview`; has no state of its own."""

    def __init__(self, box: Context, devices: Devices) -> None:
        self._box = box
        self._devices = devices

    async def take(self) -> Overview:
        """Return a snapshot of the store and of every modem except that of the test keys."""
        box = self._box
        now = box.clock.now()
        attached = [a for a in self._devices.attached if not a.test]
        stored = await box.db.read(self._read, attached, now)
        modems = tuple(
            snapshot.take(a, used, box.clock, name)
            for a, used, name in zip(
                attached, stored.usage, snapshot.names_of(attached), strict=True
            )
        )
        disk = shutil.disk_usage(box.db.path.parent).free // MIB
        days = local_days(stored.hours, now, box.zone)
        free = [
            (a, used)
            for a, used in zip(attached, stored.usage, strict=True)
            if a.online and not a.resting(box.clock) and not a.bulk_held(box.clock)
        ]
        return Overview(
            now=now,
            problems=diagnose(self._diagnosis_input(modems, stored, disk, now)),
            modems=modems,
            queue=stored.queue,
            empty_at=empties_at(
                stored.queue.parts,
                [a.pace_seconds for a, _ in free],
                [(a.limits, used) for a, used in free],
                now,
                box.zone,
            ),
            today=days[-1].figures,
            received_today=stored.received,
            days=days,
            latest=stored.latest,
            disk_free_mib=disk,
            free=bool(free),
        )

    def _read(self, db: Connection, attached: Sequence[Attached], now: int) -> _Stored:
        zone = self._box.zone
        live = table.tenants(db, test=False)
        midnight = local_midnight(limit_rules.local(now, zone).date(), zone)
        return _Stored(
            queue=table.queue(db, now),
            last_sent=table.last_sent(db),
            hours=table.hours(db, live, now - DAYS * DAY_MS),
            received=table.received(db, live, midnight),
            given_up=table.given_up(db, now - DAY_MS),
            unplaced_reports=reports.unplaced(db, now - DAY_MS),
            held=held.undecided(db),
            latest=tuple(table.latest(db, live, LATEST)),
            usage=tuple(queue.usage(db, a.iccid, a.limits, now, zone) for a in attached),
        )

    def _diagnosis_input(
        self, modems: tuple[ModemSnapshot, ...], stored: _Stored, free_mib: int, now: int
    ) -> DiagnosisInput:
        still = None
        if stored.queue.ready_since is not None:
            moved = max(stored.queue.ready_since, stored.last_sent or 0)
            still = (now - moved) / 60_000
        recent = [
            figures
            for begins, figures in stored.hours.items()
            if begins > now - RECENT_HOURS * HOUR_MS
        ]
        mqtt = self._box.mqtt
        away = mqtt is not None and not mqtt.connected
        return DiagnosisInput(
            mqtt_minutes=(self._box.clock.monotonic() - mqtt.since) / 60 if mqtt and away else None,
            mqtt_cause=mqtt.problem if mqtt else "",
            recent_hours=RECENT_HOURS,
            recent_gone=sum(figures.gone for figures in recent),
            recent_failed=sum(figures.failed for figures in recent),
            modems=modems,
            waiting=stored.queue.parts,
            scheduled=stored.queue.scheduled,
            minutes_without_progress=still,
            stuck_minutes=self._box.config.queue.stuck_minutes,
            disk_free_mib=free_mib,
            disk_reserve_mib=self._box.config.storage.reserve_mib,
            clock_trusted=self._box.clock.trusted,
            webhooks_given_up=stored.given_up,
            unplaced_reports=stored.unplaced_reports,
            wifi=wifi.read(),
            held=stored.held,
        )
