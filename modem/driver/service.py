"""The operation of a started modem.

Announced messages are read at once, unannounced ones are looked for once a minute, and the modem's status is asked
while no send is open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from modem.at import responses, ussd
from modem.at.errors import PortError, Restarted, loggable_line
from modem.at.line_parser import Urc, is_unsolicited
from modem.at.session import AtSession
from modem.at.ussd import UssdReply
from modem.driver import configuration, sim
from modem.driver.configuration import ModemConfiguration
from modem.driver.poll_schedule import Poll, PollSchedule
from modem.driver.recovery import RecoveryStep
from modem.driver.references import References
from modem.driver.status import StatusPublisher
from modem.driver.storage import StorageReader
from modem.driver.stored_reports import StoredReports
from modem.driver.urc_monitor import UrcMonitor
from modem.interface import Limitation, ModemState, NetworkTime, ReceivedPdu, Slot
from modem.sms import tpdu

# Consecutive polls that must report "denied": a few seconds of it are normal after a start.
_DENIALS = 3
_PROBES = 3
_ECHO_RETURNS = 2  # times that the echo came back without a restart, before it is tolerated
_STUCK = 3  # consecutive polls of a full storage that could not be emptied
_WARNINGS = {"UNDER-VOLTAGE": "undervoltage", "OVER-VOLTAGE": "overvoltage"}
_NO_TIME = "00" * 7  # 23.040 9.2.3.11
_SIM_LINES = ("+CPIN:", "+SIMCARD:", "+QSIMSTAT:", "+CSMINS:", "+QUSIM:")
_REGISTRATION_LINES = ("+CREG:", "+CGREG:", "+CEREG:")
_TIME_LINES = ("*PSUTTZ", "+PSUTTZ", "+CTZE")


def _plausible(direct: str) -> bool:
    """Return whether a direct PDU of the right length is plausible.

    A lost and a doubled digit keep the length, and leave times and addresses that do not exist.
    """
    try:
        found = tpdu.decode(direct)
    except tpdu.PduError:
        return False
    times = [found.scts, found.discharged_at] if isinstance(found, tpdu.Report) else [found.sent_at]
    # Networks send zeros for an unknown time; that is not an altered time.
    return direct.count(_NO_TIME) >= times.count(None)


class StartupNeeded(Exception):
    """The modem needs another start-up; it is not faulty."""


class UrcsMissing(StartupNeeded):
    """The modem's unsolicited result codes do not arrive on this port."""


class Service:
    """The operation of a modem between two start-ups."""

    def __init__(
        self,
        session: AtSession,
        publisher: StatusPublisher,
        storage: StorageReader,
        reports: StoredReports,
    ) -> None:
        self._session = session
        self._publisher = publisher
        self._storage = storage
        self._reports = reports
        self._wakeup = asyncio.Event()
        self._polls = PollSchedule(session.timing.repeat_seconds)
        self._announced: dict[Slot, bool] = {}  # stored and not read yet; True for a report
        self._read_at: dict[Slot, float] = {}  # when an announced place was last read (monotonic)
        self._echo_returns = 0  # how often the echo came back although the settings were kept
        self.urc_monitor = UrcMonitor(session.timing.urc_silence_seconds)
        self._full = 0  # consecutive polls that found the storage full
        self._startup_reason = ""  # why the modem must be started up again
        self._acknowledge = 0  # direct reports that still need their +CNMA
        self._settings: ModemConfiguration | None = None
        self._probing = asyncio.Lock()  # a second caller waits for the result of the first
        self._resyncs = 0
        self._denials = 0
        self._registered_at = 0.0
        self._lost_network = False
        self._warned_at = 0.0
        self.ussd: asyncio.Future[UssdReply] | None = None
        self.sending = False
        self.sent_at = 0.0
        self.references = References()

    # Unsolicited result codes

    def urc_received(self, urc: Urc) -> None:
        """Classify an unsolicited result code; `serve` acts on it."""
        line = urc.line
        name = line.partition(":")[0].strip().upper()
        if is_unsolicited(line) or name + ":" in _REGISTRATION_LINES:
            self.urc_monitor.urc_received()
            if self._reports.stop_forcing():
                self.request_startup("unsolicited result codes arrive after all")
        if urc.pdu:
            self._direct(name, urc)
        elif name in ("+CMTI", "+CDSI"):
            self._arrived(line, report=name == "+CDSI")
        elif name == "+CUSD":
            self._answered(line)
        elif name + ":" in _REGISTRATION_LINES:
            self._polls.soon("registration")
        elif name in _TIME_LINES and (epoch := responses.network_time(line)) is not None:
            self._publisher.publish(NetworkTime(epoch))
        elif name in ("+CTZV", "DST"):
            self._polls.soon("clock")
        elif line.startswith(_SIM_LINES):
            if "READY" not in line or "NOT" in line:
                self.request_startup(f"the SIM: {line}")
        elif warning := next((w for start, w in _WARNINGS.items() if line.startswith(start)), ""):
            self._warned_at = time.monotonic()
            self._publisher.update(warning=warning, last_error=line)
            self._publisher.log.warning("supply_warning", line=line)
        else:
            self._publisher.log.debug("unsolicited_line", line=line)
        self.wake_up()

    def _arrived(self, line: str, *, report: bool) -> None:
        """Note an announcement (+CMTI, +CDSI). A repetition for the same place is left to the next poll."""
        slot = responses.slot(line)
        if slot is None:  # `+CMTI: ,-1`: the storage had no place for it
            self._publisher.log.warning("announcement_without_place", line=loggable_line(line))
            self._publisher.set_limitation(Limitation.NO_STORAGE, True, line=loggable_line(line))
            self._polls.soon("stores")
            return
        if not report:
            self._publisher.set_limitation(Limitation.NO_STORAGE, False)
        if time.monotonic() - self._read_at.get(slot, 0.0) < self._session.timing.repeat_seconds:
            self._polls.soon("stores")
        else:
            self._announced[slot] = report

    def _direct(self, name: str, urc: Urc) -> None:
        if name == "+CBM":
            return  # cell broadcasts are ignored
        if name == "+CDS":
            self._reports.direct_report_received()
            self.reported()
        else:
            self._publisher.set_limitation(Limitation.NO_STORAGE, False)
        if self._session.degraded and not _plausible(urc.pdu):
            self._publisher.log.warning("line_corrupted", line=loggable_line(urc.line))
            return
        identity = self._publisher.status.identity
        self._publisher.publish(ReceivedPdu(urc.pdu, None, identity.iccid if identity else ""))
        self._acknowledge += 1

    def _answered(self, line: str) -> None:
        answer = ussd.reply(line)
        if answer is not None and self.ussd is not None and not self.ussd.done():
            self.ussd.set_result(answer)
        else:
            self._publisher.log.info("operator_message", line=loggable_line(line))

    def wake_up(self) -> None:
        """Wake `serve`, so that it polls now."""
        self._wakeup.set()

    def request_startup(self, why: str) -> None:
        """Request another start-up."""
        self._startup_reason = why
        self.wake_up()

    def poll_storage_soon(self) -> None:
        """Read the storage soon: the modem reports that it is full."""
        self._polls.soon("stores")
        self.wake_up()

    def poll_sim_soon(self) -> None:
        """Check the SIM soon: a send was refused because of it."""
        self._polls.soon("sim")
        self.wake_up()

    # In service

    def begin(self) -> None:
        """Reset the schedule after a start-up that has read the storage."""
        now = time.monotonic()
        timing = self._session.timing
        self._startup_reason = ""
        self._announced.clear()
        self._denials = 0
        self._lost_network = False
        self._acknowledge = 0
        self.references = (
            References()
        )  # another SIM counts separately, and some modems start at 0 again
        self._registered_at = now
        self._resyncs = self._session.client.resyncs
        for poll in ("registration", "status", "clock"):
            self._polls.at_once(poll)
        self._polls.after("stores", timing.stored_poll_seconds)
        self._polls.after("other_stores", timing.other_store_seconds)
        self._polls.after("sim", timing.idle_poll_seconds)
        self._polls.after("settings", timing.stored_poll_seconds)
        self._polls.never("probe")

    async def serve(self, settings: ModemConfiguration) -> None:
        """Operate the modem while nothing is wrong. Raises StartupNeeded, or the PortError that ended it."""
        self._settings = settings
        while True:
            self._wakeup.clear()
            if self._may_probe():
                await self._probe_line(settings)
            await self._read_new_messages(settings)
            if self._polls.is_due("registration"):
                await self._poll_registration()
            if self._hides_restarts and self._polls.is_due("settings"):
                # With the echo on, it does not show a restart, even within a burst.
                self._polls.done("settings", self._session.timing.stored_poll_seconds)
                await self._verify_settings()
            if self._idle():
                await self._poll_when_idle()
            await self._wait()

    @property
    def _hides_restarts(self) -> bool:
        return self._session.is_open and self._session.port.hides_restarts

    def _idle(self) -> bool:
        quiet = time.monotonic() - self.sent_at >= self._session.timing.idle_after_seconds
        return quiet and not self.sending

    async def _wait(self) -> None:
        now = time.monotonic()
        timing = self._session.timing
        urgent = self._polls.next_urgent()
        calm = self._polls.next_of_all()
        until = min(urgent, max(calm, self.sent_at + timing.idle_after_seconds))
        if self.sending:
            until = urgent
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                await self._wakeup.wait()
        except TimeoutError:
            return

    def _may_probe(self) -> bool:
        """Return whether to probe now.

        A modem may send a line like that of a restart with every answer, so probes keep a minimum distance.
        """
        port = self._session.port
        next_probe = port.verified_at + self._session.timing.repeat_seconds
        if port.suspect and not (port.restarted or port.stale or self._startup_reason):
            self._polls.at("probe", next_probe)
            return next_probe <= time.monotonic()
        return True

    async def _probe_line(self, settings: ModemConfiguration) -> None:
        if self._startup_reason:
            raise StartupNeeded(self._startup_reason)
        async with self._probing:
            await self._probe(settings)

    async def _probe(self, settings: ModemConfiguration) -> None:
        port = self._session.port
        if port.restarted:
            raise Restarted("the modem has restarted")
        if port.stale:
            await self._session.command("AT")  # resynchronises before
        while self._resyncs < self._session.client.resyncs:
            self._resyncs += 1
            self._publisher.count(RecoveryStep.RESYNC.value)
        if port.echoed or port.suspect:
            port.suspect = False  # a doubt that arises from here on needs another probe
            is_kept = await self._holds(settings)
            if not is_kept or self._echoed_by_a_restart():
                port.suspect = True
                raise Restarted("the modem has lost its settings")
            port.verified_at = time.monotonic()
            self._polls.never("probe")

    def _echoed_by_a_restart(self) -> bool:
        """Return whether to take the echo for a sign of a restart although the settings are there.

        It may have kept them. If it happens again, the modem switches its echo on by itself, which does no harm.
        """
        port = self._session.port
        if not port.echoed:
            return False
        self._echo_returns += 1
        if self._echo_returns <= _ECHO_RETURNS:
            return True
        self._publisher.log.warning("echo_comes_back")
        port.echo_stays, port.echoed = True, False
        self._polls.at_once("registration")  # a send may have taken it for a restart
        return False

    async def probe_if_needed(self) -> bool:
        """Return whether the modem still has its settings, checked if it may have restarted.

        A modem that has restarted silently would send a part without a report.
        """
        try:
            port = self._session.port
            if port.hides_restarts:
                port.suspect = True  # with the echo on there is no other sign of a restart
            if not (port.stale or port.suspect or self._probing.locked()) or self._settings is None:
                return True
            await self._probe_line(self._settings)
        except (StartupNeeded, PortError) as error:
            self.request_startup(str(error))
            return False
        return True

    async def _holds(self, settings: ModemConfiguration) -> bool:
        # On a line that alters answers, a single one proves nothing.
        for _ in range(_PROBES if self._session.port.degraded else 1):
            if await configuration.is_kept(self._session, settings):
                return True
        return False

    async def _read_new_messages(self, settings: ModemConfiguration) -> None:
        if settings.acknowledges:
            while self._acknowledge:
                self._acknowledge -= 1
                await self._session.try_command("AT+CNMA")
        while self._announced:
            slot = next(iter(self._announced))  # in the order of arrival
            report = self._announced.pop(slot)
            await self._storage.announced(slot, report=report)
            self._read_at[slot] = time.monotonic()
            if report:
                await self._check_readable()
        if self._polls.is_due("stores"):
            self._polls.done("stores", self._session.timing.stored_poll_seconds)
            found = await self._storage.poll()
            self._note_unannounced(found)
            if self._reports.overdue():
                raise StartupNeeded("no stored report has come: asking for direct ones")

    def _note_unannounced(self, found: int) -> None:
        """Note that messages came without +CMTI. Raises UrcsMissing if URCs go to another port."""
        now = time.monotonic()
        if found:
            self.urc_monitor.message_unannounced(now)
        known = Limitation.NO_REPORTS in self._publisher.status.limitations
        if not known and self.urc_monitor.urcs_missing(now, self._session.timing.repeat_seconds):
            raise UrcsMissing("no unsolicited result codes arrive on this port")

    def reported(self) -> None:
        """Note that a delivery report has arrived."""
        self.urc_monitor.report_received()
        self._publisher.set_limitation(Limitation.NO_REPORTS, False)

    async def _check_readable(self) -> None:
        """Ask for direct reports if an announced one cannot be read, even at a second attempt."""
        if self._reports.undecided:
            await self._storage.poll()
            if self._reports.unreadable():
                raise StartupNeeded("announced reports cannot be read: asking for direct ones")

    async def _poll_registration(self) -> None:
        """Update the state: whether the network lets this SIM send."""
        timing = self._session.timing
        self._polls.done("registration", timing.registration_poll_seconds)
        found = await configuration.registration(self._session)
        self._denials = self._denials + 1 if found.denied else 0
        self._publisher.update(registration=found.stat, roaming=found.roaming)
        if found.can_send:
            if self._lost_network:
                await self._poll_sim()  # not every module reports a change of SIM
                self._lost_network = False
            self._registered_at = time.monotonic()
            ready = await self._ready()
            self._polls.done(
                "registration", timing.idle_poll_seconds if ready else timing.owner_poll_seconds
            )
            return
        self._lost_network |= self._publisher.status.state is ModemState.READY
        if self._denials >= _DENIALS:
            self._publisher.update(ModemState.DENIED, "the network refuses this SIM")
        elif self._publisher.status.state is not ModemState.DENIED or not found.denied:
            self._publisher.update(ModemState.SEARCHING, "not registered with a network")
        self._polls.done("registration", timing.registration_poll_seconds)
        if time.monotonic() - self._registered_at > timing.registration_seconds:
            self._registered_at = time.monotonic()
            self._publisher.log.warning("automatic_network_selection")
            await self._session.optional("AT+COPS=0", timing.slow_command_seconds)

    async def _ready(self) -> bool:
        """Return whether there is a service centre, the last condition for sending."""
        identity = self._publisher.status.identity
        if identity is not None and not identity.smsc:
            found = await configuration.smsc(self._session)
            if not found:
                self._publisher.update(ModemState.NO_SMSC, "the SIM names no service centre (SMSC)")
                return False
            self._publisher.update(identity=configuration.with_smsc(identity, found))
        self._publisher.update(ModemState.READY)
        return True

    async def _poll_when_idle(self) -> None:
        """Ask what may be asked on an idle line only, one question at a time, until somebody sends."""
        timing = self._session.timing
        polls: tuple[tuple[Poll, Callable[[], Awaitable[None]], float], ...] = (
            ("sim", self._poll_sim, timing.idle_poll_seconds),
            ("settings", self._verify_settings, timing.stored_poll_seconds),
            ("status", self._poll_network, timing.idle_poll_seconds),
            ("clock", self._poll_clock, timing.clock_poll_seconds),
            ("other_stores", self._poll_all_storages, timing.other_store_seconds),
        )
        for poll, ask, seconds in polls:
            if self._polls.is_due(poll) and self._idle():
                self._polls.done(poll, seconds)
                await ask()
                if not self._idle():
                    self._polls.at_once(poll)  # perhaps interrupted: again later

    async def _poll_sim(self) -> None:
        if not sim.usable(found := await sim.state(self._session)):
            raise StartupNeeded(f"the SIM: {found}")
        identity = self._publisher.status.identity
        found = await sim.iccid(self._session)
        if identity is not None and found and found != identity.iccid:
            raise StartupNeeded("another SIM is in the modem")
        if identity is not None and not found and not identity.iccid:
            # Without an ICCID the IMSI stands for the SIM.
            imsi = await configuration.imsi(self._session)
            if imsi and identity.imsi and imsi != identity.imsi:
                raise StartupNeeded("another SIM is in the modem")
        # Without an IMEI it is not a device of the box. A modem that was busy answers now.
        if (
            identity is not None
            and not identity.imei
            and (imei := await configuration.imei(self._session))
        ):
            self._publisher.update(identity=configuration.with_imei(identity, imei))

    async def _verify_settings(self) -> None:
        self._session.port.suspect = True  # some modules lose +CNMI without a restart
        self.wake_up()

    async def _poll_network(self) -> None:
        if self._publisher.status.warning and (
            time.monotonic() - self._warned_at > self._session.timing.warning_seconds
        ):
            self._publisher.update(warning="")
        self._publisher.update(
            signal_dbm=responses.signal_dbm(await self._session.optional("AT+CSQ") or ())
        )
        if not self._idle():
            return
        name, technology = responses.operator(
            await self._session.optional("AT+COPS?", self._session.timing.slow_command_seconds)
            or ()
        )
        self._publisher.update(operator=name, technology=technology)
        if self._idle():
            storage = responses.stores(await self._session.optional("AT+CPMS?") or ())
            if storage:
                self._publisher.update(stored=storage[-1].used, storage=storage[-1].total)
                self._notice_full(storage[-1])

    def _notice_full(self, usage: responses.StorageUsage) -> None:
        """Note whether the storage stays full although everything in it was read and may be deleted."""
        self._full = self._full + 1 if usage.total and usage.used >= usage.total else 0
        self._publisher.set_limitation(
            Limitation.STORAGE_STUCK, self._full >= _STUCK, used=usage.used, size=usage.total
        )

    async def _poll_clock(self) -> None:
        """Ask for the network's time twice, because the line may alter a digit."""
        for _ in range(2):
            epoch = responses.clock(await self._session.optional("AT+CCLK?") or ())
            if epoch is None:  # the network has not reported it yet
                timing = self._session.timing
                if not self._polls.is_due("clock"):  # otherwise it was reported meanwhile
                    self._polls.done(
                        "clock", min(timing.clock_poll_seconds, timing.stored_poll_seconds)
                    )
                return
            self._publisher.publish(NetworkTime(epoch))
            if not self._idle():
                return

    async def _poll_all_storages(self) -> None:
        await self._storage.poll(everywhere=True)
