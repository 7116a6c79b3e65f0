"""Builds, starts and stops the whole gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from sqlite3 import Connection

import structlog

from appliance.admin.auth import AdminAuth
from appliance.admin.clients import AdminClients
from appliance.admin.maintenance import AdminMaintenance
from appliance.admin.messages import AdminMessages
from appliance.admin.modems import AdminModems
from appliance.admin.preferences import AdminPreferences
from appliance.admin.smpp import AdminSmpp
from appliance.admin.support import SupportFile
from appliance.admin.webhooks import AdminWebhooks
from appliance.clients.authentication import Authenticator
from appliance.clients.rate_limit import Limiter
from appliance.context import Context
from appliance.core.clock import Clock, SystemClock
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import KEY_FILE, Encryption
from appliance.core.lock import DataLock
from appliance.core.tasks import forever
from appliance.devices.attached import Attached
from appliance.devices.balance import Balances
from appliance.devices.directory import DeviceDirectory
from appliance.devices.manager import Devices
from appliance.maintenance.clock_sync import ClockSync
from appliance.maintenance.jobs import MaintenanceJobs
from appliance.messaging.block_list import BlockList
from appliance.messaging.conversations import Conversations
from appliance.messaging.held import HeldMessages
from appliance.messaging.inbox import Inbox
from appliance.messaging.intake import Intake
from appliance.messaging.otp import OneTimePasswords
from appliance.messaging.outbox import Outbox
from appliance.messaging.received import ReceivedMessages
from appliance.messaging.tracking import Tracking
from appliance.monitoring.dashboard import DashboardReader
from appliance.monitoring.health import HealthCheck
from appliance.monitoring.metrics import Metrics
from appliance.services import AdminServices, Services
from appliance.store import archive, attempts, mqtt, starts
from appliance.store.database import Database, DatabaseMissing
from appliance.webhooks.dispatcher import WebhookDispatcher
from appliance.webhooks.registry import WebhookRegistry

log = structlog.get_logger(__name__)

DATABASE = "zimbox.db"
# A modem reports its identity within a second or two; without one the API must not wait longer.
FIRST_DEVICE_SECONDS = 3.0
# How often the owner's alarms are checked.
ALARM_SECONDS = 60.0
# How often removals by the command line are looked for.
MEET_AGAIN_SECONDS = 15.0
# Time to record what the modems have reported when the box stops; a full card would block it for ever.
RECORDING_SECONDS = 5.0


def _check_present(data: Path) -> None:
    """Raise DatabaseMissing if the database is gone or empty beside its key: this is not a new box."""
    file = data / DATABASE
    if (data / KEY_FILE).exists() and not (file.exists() and file.stat().st_size):
        raise DatabaseMissing(
            f"{file} is gone or empty, and {KEY_FILE} shows that there was one: restore a backup, "
            f"or delete {KEY_FILE} to begin as a new box"
        )


def compose(box: Context, devices: Devices, dispatcher: WebhookDispatcher) -> Services:
    """Build the services that the web uses."""
    config = box.config
    limiter = Limiter(box.clock, config.rate_limit, config.read_limit)
    intake, tracking = Intake(box, devices), Tracking(box)
    webhooks = WebhookRegistry(box, dispatcher)
    dashboard = DashboardReader(box, devices)
    preferences = AdminPreferences(box)
    clients = AdminClients(box, preferences)
    conversations = Conversations(box)
    return Services(
        context=box,
        authenticator=Authenticator(box.credentials, box.clock, box.db, limiter),
        intake=intake,
        otps=OneTimePasswords(box, intake),
        tracking=tracking,
        received=ReceivedMessages(box),
        conversations=conversations,
        block_list=BlockList(box),
        webhooks=webhooks,
        devices=DeviceDirectory(box, devices),
        dashboard=dashboard,
        health=HealthCheck(box, devices),
        metrics=Metrics(box, devices, dispatcher),
        admin=AdminServices(
            auth=AdminAuth(box),
            clients=clients,
            held=HeldMessages(box),
            maintenance=AdminMaintenance(box),
            messages=AdminMessages(box, intake, tracking, conversations, clients),
            modems=AdminModems(box, devices),
            preferences=preferences,
            smpp=AdminSmpp(box, preferences),
            support=SupportFile(box, devices, dashboard),
            webhooks=AdminWebhooks(box, webhooks),
        ),
    )


class Assembly:
    """The running gateway; the web uses its `services`."""

    def __init__(self, box: Context, lock: DataLock) -> None:
        self.box = box
        self._lock = lock
        inbox = Inbox(box)
        self.devices = Devices(box, box.db.path.parent, inbox.receive)
        self.webhooks = WebhookDispatcher(box)
        self.services = compose(box, self.devices, self.webhooks)
        balances = Balances(box.clock, self.devices.attached)
        self.housekeeping = MaintenanceJobs(box, inbox, balances)
        self._outboxes: list[Outbox] = []
        self._sending: list[asyncio.Task[None]] = []
        self._legs: list[asyncio.Task[None]] = []
        self._receiving: list[asyncio.Task[None]] = []  # the tasks that end with their modem
        self._telling: asyncio.Task[None] | None = None
        self.devices.joined = self._join
        self._timekeeper = ClockSync(box.clock, box.wakeups, lambda: box.ids.latest_ms / 1000)
        self.devices.network_time_received = self._timekeeper.network_time

    @classmethod
    async def build(
        cls,
        data: Path,
        config: Config,
        clock: Clock | None = None,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Assembly:
        """Open the data folder and build the gateway. Raises DataInUse, BadKey, sqlite3.Error, OSError.

        A migration calls `progress` with the statements run and their total, in another thread.
        """
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = DataLock(data)
        lock.take()
        async with contextlib.AsyncExitStack() as opened:
            opened.callback(lock.release)
            _check_present(data)
            db = await Database.open(data / DATABASE, progress)
            opened.push_async_callback(db.close)  # its threads keep the process alive otherwise
            encryption = Encryption(data / KEY_FILE)  # after the database: see `_check_present`
            new_ids = await db.read(archive.marks)
            clock = clock or SystemClock(config.clock.trust, new_ids.latest_ms)
            assembly = cls(Context(config, clock, db, new_ids, encryption), lock)
            opened.pop_all()
            return assembly

    async def start(
        self,
        modems: Sequence[ModemSettings],
        *,
        sim_journal: Path | None = None,
        sim_control: Path | None = None,
    ) -> None:
        """Mark what a crash left uncertain, then start every leg."""
        box = self.box
        doubtful = await box.db.write(self._begin)
        if doubtful:
            log.warning("uncertain_parts_after_start", parts=doubtful)
        await box.db.write(self.devices.note_after_start)
        await self._start_admin()
        for settings in modems:
            simulated = settings.port == "sim"
            await self.devices.attach(
                await self.services.admin.modems.completed(settings),
                journal=sim_journal if simulated else None,
                control=sim_control if simulated else None,
            )
        self.housekeeping.every("devices", MEET_AGAIN_SECONDS, self.devices.meet_again)
        self.housekeeping.start()
        self._leg("due", self.housekeeping.watch_due)
        self._leg("time", self._timekeeper.run)
        self._telling = asyncio.create_task(forever("webhooks", self.webhooks.run))
        await self._start_mqtt()
        if self.box.config.alarms.sms_to or self.box.config.alarms.mail_to:
            from appliance.alarms.owner import OwnerAlarms  # most boxes have none

            self.housekeeping.every("alarms", ALARM_SECONDS, OwnerAlarms(self.services).check)
        await self._meet_first_device()
        log.info("box_started", modems=[m.port for m in modems])

    def _begin(self, db: Connection) -> int:
        """Count the start, and mark what was being sent. Return the number of uncertain parts."""
        starts.begin(db)
        return attempts.mark_uncertain_after_start(db, self.box.ids, self.box.clock.now())

    async def _start_mqtt(self) -> None:
        """Start the leg to the MQTT broker if there is one; else make sure that no events wait for it."""
        if self.box.mqtt is None:
            if await self.box.db.read(mqtt.is_on):
                await self.box.db.write(mqtt.switch_off)
            return
        from appliance.mqtt.bridge import MqttBridge  # most boxes have no broker

        self._leg("mqtt", MqttBridge(self.services, self.devices, self.box.mqtt).run)

    async def _start_admin(self) -> None:
        """Take up what was set on the page, before the modems start."""
        admin = self.services.admin
        await admin.auth.start()
        await asyncio.to_thread(admin.maintenance.start)
        await admin.preferences.start()

    async def _meet_first_device(self) -> None:
        """Wait a moment for a modem's IMEI on the first start, when no device has a number yet."""
        known = await self.box.db.read(lambda db: db.execute("SELECT 1 FROM device").fetchone())
        if known is None and self.devices.attached:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_DEVICE_SECONDS):
                    await self.devices.first_known.wait()

    def _join(self, attached: Attached) -> None:
        """Start the two loops of a modem that was attached."""
        outbox = Outbox(self.box, attached)
        self._outboxes.append(outbox)
        name = attached.settings.port
        self._sending.append(asyncio.create_task(forever(f"outbox {name}", outbox.run)))
        self._receiving.append(self._leg(f"inbox {name}", lambda: self.devices.listen(attached)))

    def _leg(self, name: str, loop: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(forever(name, loop), name=name)
        self._legs.append(task)
        return task

    async def alive(self) -> bool:
        """Return whether the store accepts work and no leg has ended, for the watchdog."""
        await self.box.db.write(lambda db: db.execute("SELECT 1").fetchone())
        return not any(task.done() for task in [*self._legs, *self._sending])

    async def stop(self) -> None:
        """Finish and record open sends, then close everything, whatever fails."""
        try:
            await self._stop_legs()
        finally:
            await self.box.db.close()
            self._lock.release()
            log.info("box_stopped")

    async def _stop_legs(self) -> None:
        self.housekeeping.stop()
        for outbox in self._outboxes:
            outbox.stop()
        await asyncio.gather(*self._sending)
        await self.devices.stop()
        if self._receiving:
            await asyncio.wait(self._receiving, timeout=RECORDING_SECONDS)
        self.webhooks.stop()
        if self._telling:
            await asyncio.wait([self._telling], timeout=self.webhooks.ending_seconds)
            self._telling.cancel()
        for leg in self._legs:
            leg.cancel()
        await asyncio.gather(*self._legs, return_exceptions=True)
