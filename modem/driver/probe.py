"""A probe of a modem that changes nothing: its identity and state."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from modem.at import responses
from modem.at.errors import PortError
from modem.at.network_port import sets_speed
from modem.at.responses import NetworkRegistration
from modem.at.session import AtSession
from modem.driver import configuration, sim, startup
from modem.interface import Identity, ModemState, ModemStatus
from modem.timeouts import SerialLine, Timing

# Where Linux shows serial modems: stable names first, then USB ports, then the UARTs of the header.
PORTS = ("serial/by-id/*", "ttyUSB*", "ttyACM*", "ttyAMA0", "ttyS0", "serial0")


class ProbeResult(msgspec.Struct, frozen=True):
    """The status of a modem that the driver would report, and what only a probe asks for."""

    port: str
    status: ModemStatus
    error: str = ""  # why nothing more is known
    baud: int | None = None  # None for a network port whose server sets the speed
    radio_on: bool = True  # +CFUN; the box switches it on when it starts
    offers_direct_reports: bool = False
    store: str = ""  # the storage for received messages, "SM" or "ME"
    clock: float | None = None  # the modem's clock, in seconds since the epoch


def ports(dev: Path = Path("/dev")) -> list[str]:
    """Return the serial ports that may have a modem, by their stable name if they have one."""
    found: list[str] = []
    behind: set[Path] = set()
    for pattern in PORTS:
        for path in sorted(dev.glob(pattern)):
            target = path.resolve()
            if target not in behind:
                behind.add(target)
                found.append(str(path))
    return found


async def examine(line: SerialLine, timing: Timing) -> ProbeResult:
    """Ask a modem about itself, without entering a PIN, deleting messages or changing settings.

    Only echo and error format are set, as any program does first.
    """
    log = structlog.get_logger("doctor")
    session = AtSession(line, timing, on_urc=lambda _: None, on_lost=lambda _: None, log=log)
    try:
        await session.open()
        await startup.wake(session, set_speed=False)
        await startup.set_response_format(session)
        return await _examine(session)
    except (PortError, OSError) as error:
        reason = str(error) or type(error).__name__
        return ProbeResult(line.path, ModemStatus(ModemState.OFFLINE, reason), error=reason)
    finally:
        await session.abort()
        session.end()


async def _examine(session: AtSession) -> ProbeResult:
    radio_on = await startup.functionality(session) == "1"
    pin_state = await sim.settled_state(session)
    registration = await configuration.registration(session)
    operator, technology = responses.operator(
        await session.try_command("AT+COPS?", session.timing.slow_command_seconds) or ()
    )
    offered = responses.indications_offered(await session.try_command("AT+CNMI=?") or ())
    usable = sim.usable(pin_state)
    stores = responses.stores(await session.try_command("AT+CPMS?") or ()) if usable else ()
    store = stores[-1] if stores else None
    identity = await configuration.identity(session)
    state = _state(pin_state, registration, identity, radio_on=radio_on)
    wants_code = state in (ModemState.PIN_REQUIRED, ModemState.PUK_REQUIRED)
    return ProbeResult(
        port=session.line.path,
        status=ModemStatus(
            state,
            identity=identity,
            operator=operator,
            technology=technology,
            signal_dbm=responses.signal_dbm(await session.try_command("AT+CSQ") or ()),
            registration=registration.stat,
            roaming=registration.roaming,
            pin_tries_left=await sim.tries_left(session) if wants_code else None,
            stored=store.used if store else 0,
            storage=store.total if store else 0,
        ),
        baud=session.port.baudrate if sets_speed(session.line.path) else None,
        radio_on=radio_on,
        offers_direct_reports=len(offered) > 3 and 1 in offered[3],
        store=store.name if store else "",
        clock=responses.clock(await session.try_command("AT+CCLK?") or ()),
    )


def _state(
    pin_state: str, registration: NetworkRegistration, identity: Identity | None, *, radio_on: bool
) -> ModemState:
    if not sim.usable(pin_state):
        return sim.modem_state(pin_state)
    if registration.denied:
        return ModemState.DENIED
    if not registration.can_send:
        # A radio that is off is searched for by the box when it starts; no fault of the network.
        return ModemState.SEARCHING if radio_on else ModemState.STARTING
    return ModemState.READY if identity is None or identity.smsc else ModemState.NO_SMSC


def quick() -> Timing:
    """The time-outs of an examination, shorter than those of a running box."""
    return Timing(boot_seconds=8, sim_seconds=8, registration_seconds=20)
