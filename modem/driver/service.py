"""The operation of a started modem.

Announced messages are read at once, unannounced ones are looked for once a minute, and the modem's status is asked
while no send is open.
"""

from __future__ import annotations

import asyncio
import math
import time

from modem.at import responses
from modem.at.errors import PortError, Restarted, said
from modem.at.line_parser import Urc, unasked
from modem.at.session import AtSession
from modem.driver import configuration, sim
from modem.driver.configuration import ModemConfiguration
from modem.driver.urc_monitor import Hearing
from modem.driver.recovery import RecoveryStep
from modem.driver.references import References
from modem.driver.status import StatusPublisher
from modem.driver.storage import Stores
from modem.driver.stored_reports import StoredReports
from modem.interface import Limitation, ModemState, NetworkTime, ReceivedPdu, Slot
from modem.sms import tpdu

# Consecutive polls that must report "denied": a few seconds of it are normal after a start.
_DENIALS = 3
_LOOKS = 3
_ECHO_RETURNS = 2  # times that the echo came back without a restart, before it is tolerated
_STUCK = 3  # consecutive looks at a full storage that could not be emptied
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


class Again(Exception):
    """The modem must be started up again; it is not faulty."""


class Deaf(Again):
    """What the modem says unasked does not arrive on this port."""


class Service:
    """The operation of a modem between two start-ups."""

    def __init__(
        self, talk: AtSession, board: StatusPublisher, stores: Stores, reports: StoredReports
    ) -> None:
        self._talk = talk
        self._board = board
        self._stores = stores
        self._reports = reports
        self._poke = asyncio.Event()
        self._due: dict[str, float] = {}
        self._announced: dict[Slot, bool] = {}  # stored and not read yet; True for a report
        self._done: dict[str, float] = {}  # when something was last done (monotonic)
        self._read_at: dict[Slot, float] = {}  # when an announced place was last read (monotonic)
        self._echo_returns = 0  # how often the echo came back although the settings were kept
        self.hearing = Hearing(talk.timing.hearing_seconds)
        self._full = 0  # consecutive looks that found the storage full
        self._again = ""  # why the modem must be started up again
        self._acknowledge = 0  # direct reports that still need their +CNMA
        self._made: ModemConfiguration | None = None
        self._looking = asyncio.Lock()  # a second caller waits for the result of the first
        self._resyncs = 0
        self._denials = 0
        self._registered_at = 0.0
        self._lost_network = False
        self._warned_at = 0.0
        self.ussd: asyncio.Future[responses.UssdReply] | None = None
        self.sending = False
        self.sent_at = 0.0
        self.references = References()

    # Unsolicited result codes

    def hear(self, heard: Urc) -> None:
        """Classify an unsolicited result code; `serve` acts on it."""
        line = heard.line
        name = line.partition(":")[0].strip().upper()
        if unasked(line) or name + ":" in _REGISTRATION_LINES:
            self.hearing.line()
            if self._reports.relent():
                self.again("unsolicited lines arrive after all")
        if heard.pdu:
            self._direct(name, heard)
        elif name in ("+CMTI", "+CDSI"):
            self._arrived(line, report=name == "+CDSI")
        elif name == "+CUSD":
            self._answered(line)
        elif name + ":" in _REGISTRATION_LINES:
            self._soon("standing")
        elif name in _TIME_LINES and (epoch := responses.network_time(line)) is not None:
            self._board.publish(NetworkTime(epoch))
        elif name in ("+CTZV", "DST"):
            self._soon("clock")
        elif line.startswith(_SIM_LINES):
            if "READY" not in line or "NOT" in line:
                self.again(f"the SIM: {line}")
        elif warning := next((w for start, w in _WARNINGS.items() if line.startswith(start)), ""):
            self._warned_at = time.monotonic()
            self._board.show(warning=warning, last_error=line)
            self._board.log.warning("supply_warning", line=line)
        else:
            self._board.log.debug("unsolicited_line", line=line)
        self.poke()

    def _arrived(self, line: str, *, report: bool) -> None:
        """Note an announcement (+CMTI, +CDSI). The same place again at once is a matter for the next look."""
        slot = responses.slot(line)
        if slot is None:  # `+CMTI: ,-1`: the storage had no place for it
            self._board.log.warning("announcement_without_place", line=said(line))
            self._board.limit(Limitation.NO_STORAGE, True, line=said(line))
            self._soon("stores")
            return
        if not report:
            self._board.limit(Limitation.NO_STORAGE, False)
        if time.monotonic() - self._read_at.get(slot, 0.0) < self._talk.timing.repeat_seconds:
            self._soon("stores")
        else:
            self._announced[slot] = report

    def _soon(self, what: str) -> None:
        """Do `what` now, or a moment after the last time: an answer may contain what asks for it."""
        done = self._done.get(what)
        self._due[what] = 0.0 if done is None else done + self._talk.timing.repeat_seconds

    def _direct(self, name: str, heard: Urc) -> None:
        if name == "+CBM":
            return  # cell broadcasts are ignored
        if name == "+CDS":
            self._reports.direct()
            self.reported()
        else:
            self._board.limit(Limitation.NO_STORAGE, False)
        if self._talk.careful and not _plausible(heard.pdu):
            self._board.log.warning("line_corrupted", line=said(heard.line))
            return
        identity = self._board.status.identity
        self._board.publish(ReceivedPdu(heard.pdu, None, identity.iccid if identity else ""))
        self._acknowledge += 1

    def _answered(self, line: str) -> None:
        answer = responses.ussd(line)
        if answer is not None and self.ussd is not None and not self.ussd.done():
            self.ussd.set_result(answer)
        else:
            self._board.log.info("operator_message", line=said(line))

    def poke(self) -> None:
        """Wake `serve` to look now."""
        self._poke.set()

    def again(self, why: str) -> None:
        """Request another start-up."""
        self._again = why
        self.poke()

    def look_into_stores(self) -> None:
        """Read the storage soon: the modem reports that it is full."""
        self._soon("stores")
        self.poke()

    def look_at_sim(self) -> None:
        """Check the SIM soon: a send was refused because of it."""
        self._soon("sim")
        self.poke()

    # In service

    def begin(self) -> None:
        """Reset the schedule after a start-up that has read the storage."""
        now = time.monotonic()
        timing = self._talk.timing
        self._again = ""
        self._announced.clear()
        self._denials = 0
        self._lost_network = False
        self._acknowledge = 0
        self.references = (
            References()
        )  # another SIM counts separately, and some modems start at 0 again
        self._registered_at = now
        self._resyncs = self._talk.dialogue.resyncs
        self._due = {
            "standing": 0.0,
            "stores": now + timing.stored_poll_seconds,
            "other_stores": now + timing.other_store_seconds,
            "status": 0.0,
            "clock": 0.0,
            "sim": now + timing.idle_poll_seconds,
            "settings": now + timing.stored_poll_seconds,
            "look": math.inf,
        }

    async def serve(self, made: ModemConfiguration) -> None:
        """Operate the modem while nothing is wrong. Raises Again, or the PortError that ended it."""
        self._made = made
        while True:
            self._poke.clear()
            if self._may_look():
                await self._line_is_well(made)
            await self._read_what_came(made)
            if self._is_due("standing"):
                await self._stand()
            if self._hides_restarts and self._is_due("settings"):
                # With the echo on, it does not show a restart, even within a burst.
                self._next("settings", self._talk.timing.stored_poll_seconds)
                await self._look_at_settings()
            if self._idle():
                await self._look_around()
            await self._wait()

    @property
    def _hides_restarts(self) -> bool:
        return self._talk.is_open and self._talk.port.hides_restarts

    def _idle(self) -> bool:
        quiet = time.monotonic() - self.sent_at >= self._talk.timing.idle_after_seconds
        return quiet and not self.sending

    def _is_due(self, what: str) -> bool:
        return self._due.get(what, 0.0) <= time.monotonic()

    def _next(self, what: str, seconds: float) -> None:
        now = time.monotonic()
        self._done[what] = now
        self._due[what] = now + seconds

    async def _wait(self) -> None:
        now = time.monotonic()
        timing = self._talk.timing
        urgent = min(self._due["standing"], self._due["stores"])
        calm = min(self._due.values())
        until = min(urgent, max(calm, self.sent_at + timing.idle_after_seconds))
        if self.sending:
            until = urgent
        try:
            async with asyncio.timeout(max(0.0, until - now)):
                await self._poke.wait()
        except TimeoutError:
            return

    def _may_look(self) -> bool:
        """Return whether to check the line now. A modem may put what looks like a restart into every answer."""
        port = self._talk.port
        next_look = port.looked_at + self._talk.timing.repeat_seconds
        if port.suspect and not (port.restarted or port.stale or self._again):
            self._due["look"] = next_look
            return next_look <= time.monotonic()
        return True

    async def _line_is_well(self, made: ModemConfiguration) -> None:
        if self._again:
            raise Again(self._again)
        async with self._looking:
            await self._looked_at(made)

    async def _looked_at(self, made: ModemConfiguration) -> None:
        port = self._talk.port
        if port.restarted:
            raise Restarted("the modem has restarted")
        if port.stale:
            await self._talk.ask("AT")  # resynchronises before
        while self._resyncs < self._talk.dialogue.resyncs:
            self._resyncs += 1
            self._board.count(RecoveryStep.RESYNC.value)
        if port.echoed or port.suspect:
            port.suspect = False  # what makes it doubtful from here on wants another look
            holds = await self._holds(made)
            if not holds or self._echoed_by_a_restart():
                port.suspect = True
                raise Restarted("the modem has lost its settings")
            port.looked_at = time.monotonic()
            self._due["look"] = math.inf

    def _echoed_by_a_restart(self) -> bool:
        """Return whether to take the echo for a sign of a restart although the settings are there.

        It may have kept them. If it happens again, the modem switches its echo on by itself, which does no harm.
        """
        port = self._talk.port
        if not port.echoed:
            return False
        self._echo_returns += 1
        if self._echo_returns <= _ECHO_RETURNS:
            return True
        self._board.log.warning("echo_comes_back")
        port.echo_stays, port.echoed = True, False
        self._due["standing"] = 0.0  # a send may have taken it for a restart
        return False

    async def is_well(self) -> bool:
        """Return whether the modem has its settings, checked if there is a doubt.

        A modem that has restarted silently would send a part without a report.
        """
        try:
            port = self._talk.port
            if port.hides_restarts:
                port.suspect = True  # with the echo on there is no other sign of a restart
            if not (port.stale or port.suspect or self._looking.locked()) or self._made is None:
                return True
            await self._line_is_well(self._made)
        except (Again, PortError) as error:
            self.again(str(error))
            return False
        return True

    async def _holds(self, made: ModemConfiguration) -> bool:
        # On a line that alters answers, a single one proves nothing.
        for _ in range(_LOOKS if self._talk.port.careful else 1):
            if await configuration.holds(self._talk, made):
                return True
        return False

    async def _read_what_came(self, made: ModemConfiguration) -> None:
        if made.acknowledges:
            while self._acknowledge:
                self._acknowledge -= 1
                await self._talk.try_ask("AT+CNMA")
        while self._announced:
            slot = next(iter(self._announced))  # in the order of arrival
            report = self._announced.pop(slot)
            await self._stores.announced(slot, report=report)
            self._read_at[slot] = time.monotonic()
            if report:
                await self._check_readable()
        if self._is_due("stores"):
            self._next("stores", self._talk.timing.stored_poll_seconds)
            found = await self._stores.look()
            self._listen(found)
            if self._reports.overdue():
                raise Again("no stored report has come: asking for direct ones")

    def _listen(self, found: int) -> None:
        """Note new messages of which nothing was said. Raises Deaf if the lines go to another port."""
        now = time.monotonic()
        if found:
            self.hearing.found_unannounced(now)
        told = Limitation.NO_REPORTS in self._board.status.limitations
        if not told and self.hearing.deaf(now, self._talk.timing.repeat_seconds):
            raise Deaf("nothing that the modem says unasked arrives on this port")

    def reported(self) -> None:
        """Note that a delivery report has arrived."""
        self.hearing.report()
        self._board.limit(Limitation.NO_REPORTS, False)

    async def _check_readable(self) -> None:
        """Ask for direct reports if an announced one cannot be read, even at a second attempt."""
        if self._reports.undecided:
            await self._stores.look()
            if self._reports.unreadable():
                raise Again("announced reports cannot be read: asking for direct ones")

    async def _stand(self) -> None:
        """Update the state: whether the network lets this SIM send."""
        timing = self._talk.timing
        self._next("standing", timing.registration_poll_seconds)
        found = await configuration.standing(self._talk)
        self._denials = self._denials + 1 if found.denied else 0
        self._board.show(registration=found.stat, roaming=found.roaming)
        if found.can_send:
            if self._lost_network:
                await self._look_at_sim()  # not every module reports a change of SIM
                self._lost_network = False
            self._registered_at = time.monotonic()
            ready = await self._ready()
            self._next("standing", timing.idle_poll_seconds if ready else timing.owner_poll_seconds)
            return
        self._lost_network |= self._board.status.state is ModemState.READY
        if self._denials >= _DENIALS:
            self._board.show(ModemState.DENIED, "the network refuses this SIM")
        elif self._board.status.state is not ModemState.DENIED or not found.denied:
            self._board.show(ModemState.SEARCHING, "not registered with a network")
        self._next("standing", timing.registration_poll_seconds)
        if time.monotonic() - self._registered_at > timing.registration_seconds:
            self._registered_at = time.monotonic()
            self._board.log.warning("automatic_network_selection")
            await self._talk.optional("AT+COPS=0", timing.slow_command_seconds)

    async def _ready(self) -> bool:
        """Return whether there is a service centre, the last condition for sending."""
        identity = self._board.status.identity
        if identity is not None and not identity.smsc:
            found = await configuration.smsc(self._talk)
            if not found:
                self._board.show(ModemState.NO_SMSC, "the SIM names no service centre (SMSC)")
                return False
            self._board.show(identity=configuration.with_smsc(identity, found))
        self._board.show(ModemState.READY)
        return True

    async def _look_around(self) -> None:
        """Ask what may be asked on an idle line only, one question at a time, until somebody sends."""
        timing = self._talk.timing
        looks = (
            ("sim", self._look_at_sim, timing.idle_poll_seconds),
            ("settings", self._look_at_settings, timing.stored_poll_seconds),
            ("status", self._look_at_network, timing.idle_poll_seconds),
            ("clock", self._look_at_clock, timing.clock_poll_seconds),
            ("other_stores", self._look_everywhere, timing.other_store_seconds),
        )
        for what, look, seconds in looks:
            if self._is_due(what) and self._idle():
                self._next(what, seconds)
                await look()
                if not self._idle():
                    self._due[what] = 0.0  # perhaps interrupted: again later

    async def _look_at_sim(self) -> None:
        if not sim.usable(found := await sim.state(self._talk)):
            raise Again(f"the SIM: {found}")
        identity = self._board.status.identity
        found = await sim.iccid(self._talk)
        if identity is not None and found and found != identity.iccid:
            raise Again("another SIM is in the modem")
        if identity is not None and not found and not identity.iccid:
            # Without an ICCID the IMSI stands for the SIM.
            imsi = await configuration.imsi(self._talk)
            if imsi and identity.imsi and imsi != identity.imsi:
                raise Again("another SIM is in the modem")
        # Without an IMEI it is not a device of the box. A modem that was busy answers now.
        if (
            identity is not None
            and not identity.imei
            and (imei := await configuration.imei(self._talk))
        ):
            self._board.show(identity=configuration.with_imei(identity, imei))

    async def _look_at_settings(self) -> None:
        self._talk.port.suspect = True  # some modules lose +CNMI without a restart
        self.poke()

    async def _look_at_network(self) -> None:
        if self._board.status.warning and (
            time.monotonic() - self._warned_at > self._talk.timing.warning_seconds
        ):
            self._board.show(warning="")
        self._board.show(signal_dbm=responses.signal_dbm(await self._talk.optional("AT+CSQ") or ()))
        if not self._idle():
            return
        name, technology = responses.operator(
            await self._talk.optional("AT+COPS?", self._talk.timing.slow_command_seconds) or ()
        )
        self._board.show(operator=name, technology=technology)
        if self._idle():
            stores = responses.stores(await self._talk.optional("AT+CPMS?") or ())
            if stores:
                self._board.show(stored=stores[-1].used, storage=stores[-1].total)
                self._notice_full(stores[-1])

    def _notice_full(self, usage: responses.StorageUsage) -> None:
        """Note whether the storage stays full although everything in it was read and may be deleted."""
        self._full = self._full + 1 if usage.total and usage.used >= usage.total else 0
        self._board.limit(
            Limitation.STORAGE_STUCK, self._full >= _STUCK, used=usage.used, size=usage.total
        )

    async def _look_at_clock(self) -> None:
        """Ask for the network's time twice, because the line may alter a digit."""
        for _ in range(2):
            epoch = responses.clock(await self._talk.optional("AT+CCLK?") or ())
            if epoch is None:  # the network has not reported it yet
                timing = self._talk.timing
                if not self._is_due("clock"):  # otherwise it was reported meanwhile
                    self._next("clock", min(timing.clock_poll_seconds, timing.stored_poll_seconds))
                return
            self._board.publish(NetworkTime(epoch))
            if not self._idle():
                return

    async def _look_everywhere(self) -> None:
        await self._stores.look(everywhere=True)
