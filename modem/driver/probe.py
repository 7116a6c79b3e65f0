"""A probe of a modem that changes nothing: its identity and state."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from modem.at import responses
from modem.at.errors import PortError
from modem.at.network_port import sets_speed
from modem.at.session import AtSession
from modem.driver import configuration, sim, startup
from modem.interface import Identity
from modem.timeouts import SerialLine, Timing

# Where Linux shows serial modems: stable names first, then USB ports, then the UARTs of the header.
PORTS = ("serial/by-id/*", "ttyUSB*", "ttyACM*", "ttyAMA0", "ttyS0", "serial0")


class Findings(msgspec.Struct, frozen=True):
    """The result of a probe; None for what the modem did not answer."""

    port: str
    error: str = ""  # why nothing more is known
    baud: int | None = None  # None for a network port whose server sets the speed
    identity: Identity | None = None
    radio_on: bool = True  # +CFUN; the box switches it on when it starts
    pin_state: str = ""  # 27.007 8.3
    pin_tries_left: int | None = None
    can_send: bool = False
    denied: bool = False
    operator: str = ""
    technology: str = ""
    signal_dbm: int | None = None
    pdu_mode: bool | None = None
    indications: tuple[int, ...] = ()  # +CNMI as found; the box sets its own when it starts
    offers_direct_reports: bool = False
    stores: tuple[tuple[str, int, int], ...] = ()  # name, used, total
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


async def examine(line: SerialLine, timing: Timing) -> Findings:
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
        return Findings(port=line.path, error=str(error) or type(error).__name__)
    finally:
        await session.abort()
        session.end()


async def _examine(session: AtSession) -> Findings:
    radio_on = await startup.functionality(session) == "1"
    state = await sim.settled_state(session)
    wants_code = state in ("SIM PIN", "SIM PUK")
    ready = sim.usable(state)
    registration = await configuration.registration(session)
    name, technology = responses.operator(
        await session.try_command("AT+COPS?", session.timing.slow_command_seconds) or ()
    )
    mode = responses.value(await session.try_command("AT+CMGF?") or (), "+CMGF")
    offered = responses.indications_offered(await session.try_command("AT+CNMI=?") or ())
    stores = responses.stores(await session.try_command("AT+CPMS?") or ()) if ready else ()
    return Findings(
        port=session.line.path,
        baud=session.port.baudrate if sets_speed(session.line.path) else None,
        identity=await configuration.identity(session),
        radio_on=radio_on,
        pin_state=state,
        pin_tries_left=await sim.tries_left(session) if wants_code else None,
        can_send=registration.can_send,
        denied=registration.denied,
        operator=name,
        technology=technology,
        signal_dbm=responses.signal_dbm(await session.try_command("AT+CSQ") or ()),
        pdu_mode=None if mode is None else mode == "0",
        indications=responses.indications(await session.try_command("AT+CNMI?") or ()),
        offers_direct_reports=len(offered) > 3 and 1 in offered[3],
        stores=tuple((s.name, s.used, s.total) for s in stores),
        clock=responses.clock(await session.try_command("AT+CCLK?") or ()),
    )


def quick() -> Timing:
    """The time-outs of an examination, shorter than those of a running box."""
    return Timing(boot_seconds=8, sim_seconds=8, registration_seconds=20)
