"""The modems of the box: attached, watched, given a number bound to their IMEI."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from sqlite3 import Connection, Row

import msgspec
import structlog

from appliance import __version__
from appliance.box import Box
from appliance.clock import Clock
from appliance.config import Limits, ModemSettings, Power
from appliance.rules import timestamp
from appliance.store import devices as table
from appliance.store import events, owner
from modem.device import Device
from modem.gpio import WIRINGS, GpioPower, PowerKey, Wiring
from modem.interface import (
    Changed,
    Event,
    Fault,
    Modem,
    NetworkTime,
    Outcome,
    Received,
    State,
    Status,
    Verdict,
)
from modem.pin import FilePinMemory
from modem.simulator import Settings as SimulatorSettings
from modem.simulator import Simulator
from modem.timing import Line, Timing

log = structlog.get_logger(__name__)

HOUSEKEEP_REST_SECONDS = 2.0  # time for the driver to read and hand out what fills its store
PACE_WEIGHT = 0.2  # of the newest measurement in the running mean
FIRST_PACE_SECONDS = 4.0  # a part on GSM, until measured

# Why a device went offline, in the words of the documented event and ours.
REASONS = {
    State.OFFLINE: "CONNECTION_LOST",
    State.STARTING: "CONNECTION_LOST",
    State.SIM_MISSING: "SIM_MISSING",
    State.PIN_REQUIRED: "PIN_REQUIRED",
    State.PUK_REQUIRED: "PIN_REQUIRED",
    State.SEARCHING: "NOT_REGISTERED",
    State.DENIED: "NOT_REGISTERED",
    State.STOPPED: "SHUTDOWN",
}


class Attached:
    """One modem with what the box has learnt of it since it started. The store has the rest."""

    def __init__(self, box: Box, settings: ModemSettings, modem: Modem, *, test: bool) -> None:
        self.settings = settings
        self.modem = modem
        self.test = test
        self.number = 0  # until the IMEI is known
        self.limits: Limits = settings.limits if settings.limits != Limits() else box.config.limits
        self.offline_since: float | None = box.clock.monotonic()
        self.been_online = asyncio.Event()
        self.pace_seconds = FIRST_PACE_SECONDS
        self.rest_reason: Fault | None = None
        self.held_by = ""  # the limit that holds the queue back just now
        self.verdicts: Counter[str] = Counter()  # of all parts handed over, for /metrics
        self.balance: float | None = None
        self.balance_text = ""  # the operator's own words
        self._sending = box.config.sending
        self._rest_until = 0.0
        self._suspects: set[str] = set()
        self._next_probe = 0.0

    @property
    def status(self) -> Status:
        return self.modem.status

    @property
    def online(self) -> bool:
        return self.status.state == State.READY

    @property
    def iccid(self) -> str:
        identity = self.status.identity
        return identity.iccid or identity.imsi if identity else ""

    @property
    def device_id(self) -> str | None:
        return f"device_{self.number}" if self.number else None

    @property
    def low_credit(self) -> bool:
        return self.balance is not None and self.balance < self.settings.balance.low

    # --- resting, holding, probing: what a run of refusals means ---------------------------------

    def resting(self, clock: Clock) -> bool:
        return clock.monotonic() < self._rest_until

    def rest_seconds(self, clock: Clock) -> float:
        return max(0.0, self._rest_until - clock.monotonic())

    @property
    def refused(self) -> bool:
        """Several different recipients in a row: it is not them, it is this SIM."""
        return len(self._suspects) >= self._sending.suspicious_recipients

    def bulk_held(self, clock: Clock) -> bool:
        """Only priority 1 goes: the operator refuses, or the credit is down to its reserve."""
        reserve = self.settings.balance.reserve
        return self.refused or (self.balance is not None and self.balance < reserve)

    def may_probe(self, clock: Clock) -> bool:
        return self.refused and clock.monotonic() >= self._next_probe

    def learn(self, outcome: Outcome, recipient: str, clock: Clock) -> None:
        """What the last answer says of the modem and its SIM."""
        # A test key's refusals are asked for by number: they say nothing of a SIM.
        probe_seconds = HOUSEKEEP_REST_SECONDS if self.test else self._sending.probe_minutes * 60
        fault = outcome.fault
        self.verdicts[outcome.verdict] += 1
        if outcome.verdict == Verdict.TAKEN:
            self._suspects.clear()
            self.rest_reason = None
        elif fault is not None and fault.suspicious and not self.test:
            self._suspects.add(recipient)
            self._next_probe = clock.monotonic() + probe_seconds
            self.rest_reason = fault
        if outcome.verdict == Verdict.OWNER:
            self._rest_until = clock.monotonic() + probe_seconds
            self.rest_reason = fault
        elif outcome.verdict == Verdict.WAIT:
            self._rest_until = clock.monotonic() + self._sending.wait_seconds
        elif outcome.verdict == Verdict.HOUSEKEEP:
            self._rest_until = clock.monotonic() + HOUSEKEEP_REST_SECONDS

    def awake(self) -> None:
        """Its state changed: what it rested for may be over."""
        self._rest_until = 0.0
        self._suspects.clear()

    def paced(self, seconds: float) -> None:
        self.pace_seconds += PACE_WEIGHT * (seconds - self.pace_seconds)


Receive = Callable[[Attached, Received], Awaitable[None]]


TEST_SILENCE_SECONDS = 3.0
TEST_START_SECONDS = 10.0  # of a simulated modem on a busy board; then its first request goes on
PROBE_BAUDS = (115200, 9600, 57600, 38400, 19200)


def line(path: str, settings: ModemSettings) -> Line:
    """The serial line of a modem; without a configured speed the usual ones are tried."""
    if settings.baud:
        return Line(path=path, baud=settings.baud, rtscts=settings.rtscts)
    return Line(path=path, rtscts=settings.rtscts, probe_bauds=PROBE_BAUDS)


def power_key(power: Power) -> PowerKey | None:
    """What can be done to the modem from outside; None where nothing is configured."""
    start = WIRINGS.get(power.hat.upper(), Wiring())
    names = ("power_key", "reset", "active_low", "on_seconds", "off_seconds", "reset_seconds")
    own = {n: value for n in names if (value := getattr(power, n)) is not None}
    wiring = msgspec.structs.replace(start, supply_command=power.supply_command, **own)
    if wiring.power_key is None and wiring.reset is None and not wiring.supply_command:
        return None
    return GpioPower(wiring, chip=power.chip)


class Devices:
    """Attaches the configured modems and listens to each; finds the one for a message."""

    def __init__(self, box: Box, data: Path, receive: Receive) -> None:
        self._box = box
        self._data = data
        self._receive = receive
        self.attached: list[Attached] = []
        self.joined: Callable[[Attached], None] = lambda _: (
            None
        )  # the assembly starts its legs here
        self.first_known = asyncio.Event()  # some modem has its number
        self._simulators: list[Simulator] = []
        self._test_lock = asyncio.Lock()

    async def attach(
        self,
        settings: ModemSettings,
        *,
        test: bool = False,
        journal: Path | None = None,
        control: Path | None = None,
    ) -> Attached:
        """Start a modem: a real one on its port, or the simulated one (`sim`)."""
        path = settings.port
        if path == "sim":
            index = len(self._simulators)
            path = await self._simulate(
                index, test=test, pin=settings.pin, journal=journal, control=control
            )
        modem = Device(
            line(path, settings),
            timing=self._timing(test),
            pin=settings.pin,
            pin_memory=FilePinMemory(self._data / "pin.json"),
            power=power_key(settings.power),
        )
        attached = Attached(self._box, settings, modem, test=test)
        self.attached.append(attached)
        self.joined(attached)
        await modem.start()
        return attached

    def _timing(self, test: bool) -> Timing:
        """A simulated modem that does not answer should not hold up its integrator for minutes."""
        timing = self._box.config.timing
        return (
            msgspec.structs.replace(timing, network_seconds=TEST_SILENCE_SECONDS)
            if test
            else timing
        )

    async def _simulate(
        self, index: int, *, test: bool, pin: str, journal: Path | None, control: Path | None
    ) -> str:
        wanted = self._box.config.simulator
        # Distinct identities, so that several simulated modems are several devices.
        simulator = Simulator(
            SimulatorSettings(
                personality=wanted.personality,
                latency=wanted.latency_seconds,
                report_delay=wanted.report_seconds,
                pin=pin,
                number=f"+3360000{int(test)}{index:03d}",
                plmn="20801",
                imei=f"86012304567{int(test)}{index:03d}",
                iccid=f"893301000000000{int(test)}{index:03d}",
                imsi=f"20801000000{int(test)}{index:03d}",
            ),
            # A name that stays when it is unplugged and plugged in again.
            link=self._data / f"simulated-modem-{index}",
            journal=journal,
            control=control,
        )
        self._simulators.append(simulator)
        return await simulator.start()

    async def test_modem(self) -> Attached:
        """The simulated modem of the test keys, started on first use: the first answer knows it."""
        async with self._test_lock:
            for attached in self.attached:
                if attached.test:
                    return attached
            started = await self.attach(ModemSettings(port="sim", name="Simulateur"), test=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(started.been_online.wait(), TEST_START_SECONDS)
            return started

    async def stop(self) -> None:
        """Close every line (an open send is finished first) and every simulator."""
        await asyncio.gather(*(a.modem.stop() for a in self.attached))
        for attached in self.attached:
            if attached.number:
                await self._box.db.write(self._note, attached, attached.status)
        for simulator in self._simulators:
            await simulator.stop()

    def by_number(self, number: int) -> Attached | None:
        return next((a for a in self.attached if a.number == number), None)

    # --- listening ---------------------------------------------------------------------------------

    async def listen(self, attached: Attached) -> None:
        """The receiving loop of one modem: everything that comes from it, in order."""
        while True:
            await self._heard(attached, await attached.modem.next_event())

    async def _heard(self, attached: Attached, event: Event) -> None:
        if isinstance(event, Received):
            await self._receive(attached, event)
        elif isinstance(event, Changed):
            await self._changed(attached, event.status)
        elif isinstance(event, NetworkTime):
            self._box.clock.hear_network(event.epoch)

    async def _changed(self, attached: Attached, status: Status) -> None:
        clock = self._box.clock
        if status.identity and status.identity.imei:
            await self._identify(attached, status)
        if attached.online:
            attached.offline_since = None
            attached.awake()
        elif attached.offline_since is None:
            attached.offline_since = clock.monotonic()
        if attached.number:
            # As it stands by now: an event that waited here must not undo what came after it.
            await self._box.db.write(self._note, attached, attached.status)
        if attached.number and attached.online:
            attached.been_online.set()
        log.info(
            "modem_changed",
            device=attached.number,
            port=attached.settings.port,
            state=status.state,
            detail=status.detail,
            operator=status.operator,
        )
        self._box.bells.work()
        self._box.bells.changed()

    async def _identify(self, attached: Attached, status: Status) -> None:
        """The IMEI says which device this is, whatever port it is on."""
        identity = status.identity
        assert identity is not None
        name = (
            attached.settings.name or f"{identity.manufacturer} {identity.model}".strip() or "Modem"
        )
        clients = [int(c.removeprefix("client_")) for c in attached.settings.clients]

        def work(db: Connection) -> int:
            row = table.known(db, identity.imei, name, attached.test, self._box.clock.now())
            number: int = row["id"]
            attached.limits = owner.limits(db, number) or attached.limits
            table.describe(db, number, attached.settings.name, identity.phone_number)
            if clients:
                table.assign(db, number, clients)
            return number

        attached.number = await self._box.db.write(work)
        self.first_known.set()

    def _note(self, db: Connection, attached: Attached, status: Status) -> None:
        """Online or offline: on the disk, with the events that tell of it."""
        now = self._box.clock.now()
        online = status.state == State.READY
        if not table.set_online(db, attached.number, online, now) or attached.test:
            return
        row: Row = db.execute("SELECT * FROM device WHERE id = ?", (attached.number,)).fetchone()
        data: dict[str, object] = {
            "device_id": attached.device_id,
            "device_name": row["name"],
            "phone_number": row["phone_number"] or None,
        }
        if online:
            name = "device.connected"
            data |= {
                "connected_at": timestamp(now),
                "ip_address": own_address(),
                "app_version": __version__,
            }
        else:
            name = "device.disconnected"
            data |= {
                "disconnected_at": timestamp(now),
                "last_seen": timestamp(now),
                "reason": REASONS.get(status.state, "UNKNOWN"),
            }
        for client in table.clients_of(db, attached.number):
            events.emit(
                db, self._box.ids, client * 2, name, data, now, stream=f"device_{attached.number}"
            )


def own_address() -> str | None:
    """The address this box has on its network: no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: documentation, never routed
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address
