"""A probe of a modem that changes nothing: its identity and state."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from modem.at import responses
from modem.at.errors import PortError
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
    baud: int | None = None
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
    indications: tuple[int, ...] = ()  # +CNMI as it stands; the box sets its own when it starts
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


async def look(line: SerialLine, timing: Timing) -> Findings:
    """Ask a modem about itself, without entering a PIN, deleting messages or changing settings.

    Only echo and error format are set, as any program does first.
    """
    log = structlog.get_logger("doctor")
    talk = AtSession(line, timing, hear=lambda _: None, lost=lambda _: None, log=log)
    try:
        await talk.open()
        await startup.wake(talk, agree=False)
        await startup.plain_speech(talk)
        return await _ask(talk)
    except (PortError, OSError) as error:
        return Findings(port=line.path, error=str(error) or type(error).__name__)
    finally:
        await talk.abort()
        talk.end()


async def _ask(talk: AtSession) -> Findings:
    radio_on = await startup.functionality(talk) == "1"
    state = await sim.settled_state(talk)
    wants_code = state in ("SIM PIN", "SIM PUK")
    ready = sim.usable(state)
    standing = await configuration.standing(talk)
    name, technology = responses.operator(
        await talk.try_ask("AT+COPS?", talk.timing.slow_command_seconds) or ()
    )
    mode = responses.value(await talk.try_ask("AT+CMGF?") or (), "+CMGF")
    offered = responses.indications_offered(await talk.try_ask("AT+CNMI=?") or ())
    stores = responses.stores(await talk.try_ask("AT+CPMS?") or ()) if ready else ()
    return Findings(
        port=talk.line.path,
        baud=talk.port.baudrate,
        identity=await configuration.identity(talk),
        radio_on=radio_on,
        pin_state=state,
        pin_tries_left=await sim.tries_left(talk) if wants_code else None,
        can_send=standing.can_send,
        denied=standing.denied,
        operator=name,
        technology=technology,
        signal_dbm=responses.signal_dbm(await talk.try_ask("AT+CSQ") or ()),
        pdu_mode=None if mode is None else mode == "0",
        indications=responses.indications(await talk.try_ask("AT+CNMI?") or ()),
        offers_direct_reports=len(offered) > 3 and 1 in offered[3],
        stores=tuple((s.name, s.used, s.total) for s in stores),
        clock=responses.clock(await talk.try_ask("AT+CCLK?") or ()),
    )


def quick() -> Timing:
    """The time-outs of an examination, shorter than those of a running box."""
    return Timing(boot_seconds=8, sim_seconds=8, registration_seconds=20)
