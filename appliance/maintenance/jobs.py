"""Timed work of the box. The only module that imports APScheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from sqlite3 import Connection

import structlog
from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from appliance.context import Context
from appliance.core.clock import Clock
from appliance.core.wakeup import SAFETY_POLL_SECONDS
from appliance.devices.balance import Balances
from appliance.domain import limits, report_matching
from appliance.messaging.held import HeldMessages
from appliance.messaging.inbox import Inbox
from appliance.store import (
    archive,
    attempts,
    clients,
    counters,
    deliveries,
    queue,
    reports,
    smpp,
    submissions,
)
from appliance.store import received as received_store
from appliance.store.counters import DAY_MS, HOUR_MS

log = structlog.get_logger(__name__)

# How often a jump of the wall clock is looked for; the comparison costs nothing.
JUMP_SECONDS = 5.0
# The furthest plan of a job; the safety poll finds what is due later.
FURTHEST_SECONDS = 366 * 86_400.0
MINUTE = 60.0
CANCEL_STEP = EXPIRE_STEP = 200  # messages in one transaction
TIDY_MOST = 2000  # rows of each table in one run; more than a busy quarter of an hour adds
ROUNDS_MOST = 1000  # upper bound of one retention run


class SteadyTime(tzinfo):
    """The time zone whose current time is the monotonic clock, counted from the year 3000.

    APScheduler asks `datetime.now(its time zone)`, which Python answers by `fromutc`, for all that it plans. By
    the wall clock it would list every run missed in a jump forward before it coalesces them (46 s and
    453 MB for 400 days), and run nothing for the length of a jump back.
    """

    # Later than any wall clock: so `fromutc` tells a planned time, which APScheduler converts to its time
    # zone (`astimezone`), from the question what time it is.
    START = datetime(3000, 1, 1, tzinfo=UTC)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self.START + timedelta(seconds=self._clock.monotonic())

    def fromutc(self, moment: datetime) -> datetime:
        planned = moment.replace(tzinfo=UTC)
        return planned if planned >= self.START else self.now()

    def utcoffset(self, _moment: datetime | None) -> timedelta:
        return timedelta()

    def dst(self, _moment: datetime | None) -> None:
        return None

    def tzname(self, _moment: datetime | None) -> str:
        return "monotonic"


class MaintenanceJobs:
    """Runs periodic jobs. The jobs are in memory; their work, including due times, is rows in the store."""

    def __init__(self, box: Context, inbox: Inbox, balances: Balances) -> None:
        self._box = box
        self._balances = balances
        self._inbox = inbox
        self._held = HeldMessages(box)
        self._references = ""  # position of the cleanup of concatenation references
        self._rung_to, self._rung_trusted = (
            0,
            False,
        )  # up to when outboxes were notified, and by which clock
        self._steady = SteadyTime(box.clock)
        self._planned = (
            box.clock_jumps.jumps
        )  # the clock jumps that the plan of scheduled messages knows
        self.scheduler = AsyncIOScheduler(
            timezone=self._steady,
            executors={"default": AsyncIOExecutor()},
            job_defaults={
                "coalesce": True,
                "max_instances": 1,
                # However late: APScheduler measures lateness by the wall clock.
                "misfire_grace_time": None,
            },
        )

    def start(self) -> None:
        window = self._box.config.sending.uncertain_window_seconds
        self.every("uncertain", min(window / 4, MINUTE), self.settle_uncertain)
        self.every("revoked", 15.0, self.cancel_of_revoked)
        self.every("removed", 15.0, self.fail_for_removed)
        self.every("held", 5.0, self.carry_out_held)
        self.every("archive", 30.0, self.archive)
        lifetime = self._box.config.queue.lifetime_hours * 3600
        self.every("expiry", min(lifetime / 4, MINUTE), self.expire)
        self.every("reports", MINUTE, self.close_reports)
        self.every("inbox", MINUTE, self.give_up_waiting)
        self.every("clock_jump", JUMP_SECONDS, self.adjust_to_jump)
        self.every("tidy", 15 * MINUTE, self.tidy)
        self.every("counters", 15 * MINUTE, self.fold_counters)
        self.every("retention", 60 * MINUTE, self.retire)
        self.every("balance", MINUTE, self._balances.check)
        self.scheduler.start()

    def stop(self) -> None:
        if self.scheduler.running:
            self.scheduler.shutdown(wait=False)

    def every(self, name: str, seconds: float, job: Callable[[], Awaitable[object]]) -> None:
        """Run `job` at this interval. A failing run is logged; the next one comes nevertheless."""
        interval = timedelta(seconds=max(seconds, 0.05))
        self.scheduler.add_job(
            self._guarded(name, job),
            IntervalTrigger(
                seconds=interval.total_seconds(),
                start_date=self._steady.now() + interval,
                timezone=UTC,  # what counts is the difference to `SteadyTime.now`
            ),
            id=name,
        )

    def _guarded(
        self, name: str, job: Callable[[], Awaitable[object]]
    ) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            try:
                await job()
            except asyncio.CancelledError:
                log.debug(
                    "job_cancelled", job=name
                )  # the box is stopping; the store rolled it back
            except Exception:
                log.exception("job_failed", job=name)

        return run

    async def watch_due(self) -> None:
        """Loop: plan a job for the next scheduled message, which notifies the outboxes.

        The plan is a monotonic time. Plan again whenever a new scheduled message was accepted, after a jump of
        the wall clock, and every 30 s, because the wall clock may be slewed.
        """
        while True:
            await self.schedule_due()
            await self._box.clock.wait(self._box.wakeups.housekeeping, SAFETY_POLL_SECONDS)

    async def schedule_due(self) -> None:
        clock = self._box.clock
        # Notify once only: a modem that cannot send now looks by itself when it can.
        rung_to = min(self._rung_to, clock.now()) if clock.trusted == self._rung_trusted else 0
        moment = await self._box.db.read(queue.next_ready, clock.trusted, rung_to)
        if moment is None:
            if self.scheduler.get_job("due"):
                self.scheduler.remove_job("due")
            return
        # A parked message is due at a time that no datetime can hold.
        wait = min((moment - clock.now()) / 1000, FURTHEST_SECONDS)
        run_at = self._steady.now() + timedelta(seconds=max(wait, 0.0))
        self.scheduler.add_job(
            self.ring, DateTrigger(run_date=run_at), id="due", replace_existing=True
        )

    async def ring(self) -> None:
        self._rung_to, self._rung_trusted = self._box.clock.now(), self._box.clock.trusted
        self._box.wakeups.work()
        self._box.wakeups.housekeeping.set()

    async def adjust_to_jump(self) -> None:
        """After a jump of the wall clock, adjust the store and plan anew what is due by the wall clock."""
        await self._box.clock_jumps.adjust()
        if self._planned == self._box.clock_jumps.jumps:
            return
        self._planned = self._box.clock_jumps.jumps
        self._rung_to = 0
        self._box.wakeups.work()
        self._box.wakeups.housekeeping.set()
        self._box.wakeups.changed()

    # --- the jobs ------------------------------------------------------------------------------------

    async def settle_uncertain(self) -> None:
        await self._box.clock_jumps.adjust()
        window_ms = round(self._box.config.sending.uncertain_window_seconds * 1000)
        await self._box.db.write(
            attempts.settle_uncertain, self._box.ids, window_ms, self._box.clock.now()
        )
        self._box.wakeups.work()
        self._box.wakeups.changed()

    async def archive(self) -> None:
        """Move finished messages to the history, one batch per transaction, with a pause between two."""
        settings = self._box.config.archive
        before = self._box.clock.now() - round(settings.after_minutes * 60_000)
        while await self._box.db.write(archive.move, settings.batch, before):
            await asyncio.sleep(0.05)

    async def cancel_of_revoked(self) -> None:
        """Cancel the messages of keys that the command line revoked with their queue."""
        while await self._box.db.write(
            clients.cancel_of_revoked, self._box.ids, self._box.clock.now(), CANCEL_STEP
        ):
            self._box.wakeups.changed()

    async def carry_out_held(self) -> None:
        """Send or drop messages held after a restore, as the owner decided on the command line."""
        await self._held.carry_out()

    async def fail_for_removed(self) -> None:
        """Fail the messages bound to modems that were removed, perhaps by the command line."""
        while await self._box.db.write(
            attempts.fail_for_removed, self._box.ids, self._box.clock.now(), EXPIRE_STEP
        ):
            self._box.wakeups.changed()
            await asyncio.sleep(0.05)

    async def expire(self) -> None:
        """Fail messages whose lifetime has ended; never with an untrusted clock."""
        if not self._box.clock.trusted:
            return
        await self._box.clock_jumps.adjust()
        while await self._box.db.write(
            attempts.expire, self._box.ids, self._box.clock.now(), EXPIRE_STEP
        ):
            self._box.wakeups.changed()
            await asyncio.sleep(0.05)

    async def close_reports(self) -> None:
        settings = self._box.config.reports
        now = self._box.clock.now()
        await self._box.clock_jumps.adjust()
        before, after = self._box.clock_jumps.submitted_too_early(
            round(settings.window_hours * 3_600_000)
        )
        await self._box.db.write(attempts.close_reports, self._box.ids, before, now, after=after)
        await self._box.db.write(submissions.forget, before - report_matching.FURTHEST_MS)
        strays = await self._box.db.write(
            reports.forget_strays, now - round(settings.stray_minutes * 60_000)
        )
        for stray in strays:
            log.warning(
                "report_without_message",
                device=stray.device,
                reference=stray.reference,
                tp_status=stray.tp_status,
            )

    async def give_up_waiting(self) -> None:
        await self._box.clock_jumps.adjust()
        minutes = self._box.config.inbox.part_timeout_minutes
        before = self._box.clock.now() - round(minutes * 60_000)
        given_up = await self._box.db.write(self._inbox.give_up_waiting, before)
        handed_out = await self._box.db.write(self._inbox.hand_out_unowned)
        if given_up or handed_out:
            self._box.wakeups.changed()

    async def tidy(self) -> None:
        if not self._box.clock.trusted:
            return
        now, log_days = self._box.clock.now(), self._box.config.webhook.log_days
        await self._box.db.write(archive.tidy, now, log_days=log_days)
        await self._box.db.write(self._forget_numbers, now)
        await self._box.db.write(self._keep_marks)
        await self._box.db.write(deliveries.tidy, now - log_days * DAY_MS, TIDY_MOST)
        kept_ms = self._box.config.retention.days * DAY_MS
        await self._box.db.write(smpp.forget, now - kept_ms, TIDY_MOST)

    async def fold_counters(self) -> None:
        await self._box.db.write(counters.fold)

    def _forget_numbers(self, db: Connection, now: int) -> None:
        """Forget numbers once their messages are removed and no answer is expected any more."""
        days = max(self._box.config.retention.days, self._box.config.inbox.reply_days)
        received_store.forget_writers(db, now - round(days * DAY_MS))
        self._references = queue.forget_references(db, self._references, TIDY_MOST)
        # Billing months begin on different days: the previous one may still run for another SIM.
        queue.forget_recipients(db, limits.month_number(now, self._box.zone, 1) - 1)

    async def retire(self) -> None:
        """Remove what is older than the retention period, in small steps, a few days per run."""
        if not self._box.clock.trusted:
            return
        settings = self._box.config.retention
        now = self._box.clock.now()
        cut = self._kept_from(await self._box.db.read(archive.oldest), now)
        cut = cut // HOUR_MS * HOUR_MS  # hourly counters are removed for whole hours
        await self._box.db.write(self._keep_marks)
        for _ in range(ROUNDS_MOST):
            if not await self._box.db.write(archive.retire, cut, settings.step):
                break
            await asyncio.sleep(0.05)
        received = self._kept_from(await self._box.db.read(received_store.oldest), now)
        await self._box.db.write(received_store.retire, received)

    def _kept_from(self, oldest: int | None, now: int) -> int:
        """Return the time before which rows are removed. Bounded, in case the clock jumped years ahead."""
        settings = self._box.config.retention
        cut = now - settings.days * DAY_MS
        return cut if oldest is None else min(cut, oldest + settings.days_per_run * DAY_MS)

    def _keep_marks(self, db: Connection) -> None:
        archive.keep_marks(db, self._box.ids)
