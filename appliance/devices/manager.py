"""The modems of the box: attached, observed, identified by IMEI, or else by SIM or port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING

import msgspec
import structlog

from appliance import __version__
from appliance.context import Context
from appliance.core.config import ModemSettings, Power
from appliance.devices.attached import Attached
from appliance.domain.validation import timestamp
from appliance.store import admin, events
from appliance.store import devices as table
from modem.driver.device import ModemDriver
from modem.driver.gpio import WIRINGS, GpioPower, PowerError, Wiring
from modem.driver.pin_guard import FilePinMemory
from modem.driver.stored_reports import FileReportMemory
from modem.interface import (
    Changed,
    Event,
    Identity,
    ModemState,
    ModemStatus,
    NetworkTime,
    ReceivedPdu,
)
from modem.timeouts import SerialLine, Timing

if TYPE_CHECKING:
    from modem.simulator import Simulator

log = structlog.get_logger(__name__)

# Why a device went offline, as the events name it.
REASONS = {
    ModemState.OFFLINE: "CONNECTION_LOST",
    ModemState.STARTING: "CONNECTION_LOST",
    ModemState.SIM_MISSING: "SIM_MISSING",
    ModemState.PIN_REQUIRED: "PIN_REQUIRED",
    ModemState.PUK_REQUIRED: "PIN_REQUIRED",
    ModemState.SEARCHING: "NOT_REGISTERED",
    ModemState.DENIED: "NOT_REGISTERED",
    ModemState.STOPPED: "SHUTDOWN",
}


Receive = Callable[[Attached, ReceivedPdu], Awaitable[None]]


TEST_SILENCE_SECONDS = 3.0
TEST_START_SECONDS = (
    10.0  # for the start of a simulated modem on a busy board; then its first request continues
)
PROBE_BAUDS = (115200, 9600, 57600, 38400, 19200)


def line(path: str, settings: ModemSettings) -> SerialLine:
    """Return the serial line of a modem; without a configured speed the usual ones are tried."""
    if settings.baud:
        return SerialLine(path=path, baud=settings.baud, rtscts=settings.rtscts)
    return SerialLine(path=path, rtscts=settings.rtscts, probe_bauds=PROBE_BAUDS)


def key_of(identity: Identity, port: str) -> str:
    """Return what a modem is known by: its IMEI, else its SIM, else its port."""
    if identity.imei:
        return identity.imei
    return f"iccid:{identity.sim}" if identity.sim else f"port:{port}"


def power_key(power: Power) -> GpioPower | None:
    """Return the power controls of a modem; None without any."""
    start = WIRINGS.get(power.hat.upper(), Wiring())
    names = ("power_key", "reset", "active_low", "on_seconds", "off_seconds", "reset_seconds")
    own = {n: value for n in names if (value := getattr(power, n)) is not None}
    wiring = msgspec.structs.replace(start, supply_command=power.supply_command, **own)
    if wiring.power_key is None and wiring.reset is None and not wiring.supply_command:
        return None
    return GpioPower(wiring, chip=power.chip)


class Devices:
    """Attaches the configured modems and receives their events."""

    def __init__(self, box: Context, data: Path, receive: Receive) -> None:
        self._box = box
        self._data = data
        self._receive = receive
        self.attached: list[Attached] = []
        self.joined: Callable[[Attached], None] = lambda _: (
            None
        )  # set by the assembly, which starts the legs of a modem
        self.network_time_received: Callable[[float], None] = (
            box.clock.compare_network_time
        )  # … and here its timekeeper
        self.first_known = asyncio.Event()  # set once a modem has its number
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
        """Attach and start a modem: a real one on its port, or the simulated one (`sim`)."""
        path = settings.port
        if path == "sim":
            index = len(self._simulators)
            path = await self._simulate(
                index, test=test, pin=settings.pin, journal=journal, control=control
            )
        power = power_key(settings.power)
        if power is not None:
            try:
                power.hold()
            except PowerError as error:  # the modem may run without them
                log.warning("pins_not_held", port=path, error=str(error))
        modem = ModemDriver(
            line(path, settings),
            timing=self._timing(test),
            pin=settings.pin,
            pin_memory=FilePinMemory(self._data / "pin.json"),
            power=power,
            reports=settings.reports,
            report_memory=FileReportMemory(self._data / "reports.json"),
        )
        attached = Attached(self._box, settings, modem, test=test)
        self.attached.append(attached)
        self.joined(attached)
        await modem.start()
        return attached

    def _timing(self, test: bool) -> Timing:
        """Return time-outs for a simulated modem, short so that a silent one delays nobody for minutes."""
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
        # Distinct identities make several simulated modems several devices.
        # 2 MiB of memory that a box with real modems and no test key does not need.
        from modem.simulator import Settings as SimulatorSettings
        from modem.simulator import Simulator

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
            # A name that stays over reconnections.
            link=self._data / f"simulated-modem-{index}",
            journal=journal,
            control=control,
        )
        self._simulators.append(simulator)
        return await simulator.start()

    async def test_modem(self) -> Attached:
        """Return the simulated modem of the test keys, started on first use."""
        async with self._test_lock:
            for attached in self.attached:
                if attached.test:
                    return attached
            started = await self.attach(ModemSettings(port="sim", name="Simulateur"), test=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(started.been_online.wait(), TEST_START_SECONDS)
            return started

    async def stop(self) -> None:
        """Close every line, after open sends, and every simulator."""
        await asyncio.gather(*(a.modem.stop() for a in self.attached))
        for attached in self.attached:
            if attached.number:
                await self._box.db.write_best_effort(self._note, attached, attached.status)
        for simulator in self._simulators:
            await simulator.stop()

    async def meet_again(self) -> None:
        """Register attached modems again that `zimbox device remove` has removed."""
        there = await self._box.db.read(table.numbers)
        for attached in self.attached:
            if attached.number and attached.number not in there:
                attached.removed()
                await self._changed(attached, attached.status)

    def by_number(self, number: int) -> Attached | None:
        return next((a for a in self.attached if a.number == number), None)

    # --- events of modems --------------------------------------------------------------------------

    async def listen(self, attached: Attached) -> None:
        """Handle all events of one modem in order, until it is stopped."""
        while True:
            event = await attached.modem.next_event()
            await self._heard(attached, event)
            if isinstance(event, Changed) and event.status.state is ModemState.STOPPED:
                return

    async def _heard(self, attached: Attached, event: Event) -> None:
        if isinstance(event, ReceivedPdu):
            await self._receive(attached, event)
        elif isinstance(event, Changed):
            await self._changed(attached, event.status)
        elif isinstance(event, NetworkTime) and not attached.test:  # its time is ours
            # It may have waited here behind events that a full card did not accept.
            self.network_time_received(event.epoch + time.monotonic() - event.heard_at)

    async def _changed(self, attached: Attached, status: ModemStatus) -> None:
        before, now = attached.number, attached.status.identity or status.identity
        # A modem that was busy may still tell its IMEI; once it is ready it does without.
        if now and (now.imei or attached.online):
            await self._identify(attached, now)
        attached.changed(status.state, self._box.clock)
        there = {other.number for other in self.attached if other.online}
        if before and before not in there | {attached.number}:
            reason = REASONS[ModemState.OFFLINE]  # another modem is on its port
            await self._box.db.write_until_stored(
                lambda db: self._store_online(db, before, False, reason)
            )
        if attached.number:
            # Use the current status: an event that waited here must not undo a later one.
            await self._box.db.write_until_stored(
                lambda db: self._note(db, attached, attached.status)
            )
        if attached.number and attached.online:
            attached.been_online.set()
        seen = (attached.number or None, status.state, status.detail, status.operator)
        if seen != attached.logged:
            attached.logged = seen
            device, state, detail, operator = seen
            log.info(
                "modem_changed",
                device=device,
                port=attached.settings.port,
                state=state,
                detail=detail,
                operator=operator,
            )
        self._box.wakeups.work()
        self._box.wakeups.changed()

    def _with_key(self, key: str, besides: Attached) -> list[Attached]:
        """Return the other modems that are known by a key, or will be once their identity is recorded."""
        return [
            other
            for other in self.attached
            if other is not besides
            and key
            == (
                other.key
                or (other.status.identity and key_of(other.status.identity, other.settings.port))
            )
        ]

    async def _identify(self, attached: Attached, identity: Identity) -> None:
        """Identify the device by its IMEI, whatever its port; without one of its own by its SIM or port."""
        own_key = f"{identity.imei} {identity.sim or attached.settings.port}"
        known = await self._box.db.read(table.with_key, own_key)
        key = key_of(identity, attached.settings.port)
        same = self._with_key(key, attached)
        twins = [o for o in same if o.online and o.key == key and o.iccid != identity.sim]
        if identity.imei and (known or (attached.online and twins and attached.key != key)):
            key = own_key
            same = self._with_key(key, attached)
        # Ports change names: until it is asked again, a modem shows the previous modem of its port.
        if not attached.online and any(other.online for other in same):
            attached.removed()
            return
        for other in same:
            if not other.online:
                other.removed()
        attached.key = key
        if key != identity.imei and key != attached.warned_key:
            attached.warned_key = key
            log.warning(
                "modem_identified_without_imei",
                port=attached.settings.port,
                by=attached.identified_by,
                imei=identity.imei,
            )
        name = (
            attached.settings.name or f"{identity.manufacturer} {identity.model}".strip() or "Modem"
        )

        def work(db: Connection) -> int:
            row = table.known(db, key, name, attached.test, self._box.clock.now())
            number: int = row.id
            table.describe(db, number, attached.settings.name, identity)
            attached.limits = admin.limits(db, number) or attached.limits_at_first
            # Only the settings know the client.
            for client in table.assign(db, number, attached.clients):
                log.error("modem_of_no_client", device=number, client=f"client_{client}")
            table.set_configured_aliases(db, number, attached.aliases)
            return number

        attached.number = await self._box.db.write_until_stored(work)
        self.first_known.set()

    def note_after_start(self, db: Connection) -> None:
        """Mark modems offline that were online when the box crashed, and emit their events."""
        for row in table.live(db):
            if row.online:
                # The latest id shows until when the box was running.
                seen = max(row.since or 0, self._box.ids.latest_ms)
                self._store_online(db, row.id, False, "UNKNOWN", seen)

    def _note(self, db: Connection, attached: Attached, status: ModemStatus) -> None:
        """Store whether a modem is online, with its events."""
        reason = REASONS.get(status.state, "UNKNOWN")
        self._store_online(db, attached.number, status.state == ModemState.READY, reason)
        self._warn(db, attached.number, status)

    def _warn(self, db: Connection, number: int, status: ModemStatus) -> None:
        """Store what a modem cannot do, with an event for each change."""
        changed = table.set_limitations(
            db, number, status.limitations, complete=status.state == ModemState.READY
        )
        now = self._box.clock.now()
        for limitation, active in changed.items():
            warning = {
                "warning": limitation.value.upper(),
                "active": active,
                "since": timestamp(now),
            }
            self._emit(db, number, "device.warning", warning, now)

    def _store_online(
        self, db: Connection, number: int, online: bool, reason: str, seen: int | None = None
    ) -> None:
        now = self._box.clock.now()
        if not table.set_online(db, number, online, now):
            return
        if online:
            name = "device.connected"
            data: dict[str, object] = {
                "connected_at": timestamp(now),
                "ip_address": own_address(),
                "app_version": __version__,
            }
        else:
            name = "device.disconnected"
            data = {
                "disconnected_at": timestamp(now),
                "last_seen": timestamp(seen or now),
                "reason": reason,
            }
        self._emit(db, number, name, data, now)

    def _emit(
        self, db: Connection, number: int, name: str, data: dict[str, object], now: int
    ) -> None:
        """Announce an event of a device to the clients that may use it; none of the test keys' modem."""
        row = table.get(db, number)
        if row is None or row.test:
            return
        data = {
            "device_id": f"device_{number}",
            "device_name": row.name,
            "phone_number": row.phone_number or None,
            **data,
        }
        for client in table.clients_of(db, number):
            events.emit(
                db,
                self._box.ids,
                client * 2,
                name,
                lambda: data,
                now,
                stream=f"device_{number}",
            )


def own_address() -> str | None:
    """Return the address of this box in its network, without sending a packet."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: documentation, never routed
            address: str = probe.getsockname()[0]
    except OSError:  # no route, or no descriptor is free
        return None
    return address
