"""The first steps on an open port: find the speed, leave any mode or prompt, set a known state."""

from __future__ import annotations

import itertools
import time
from functools import partial

from modem.at import responses
from modem.at.client import AtClient
from modem.at.errors import NoResponse
from modem.at.network_port import sets_speed
from modem.at.session import AtSession
from modem.at.transport import LEAVE_PROMPT

# Speeds in use: UART modules have a fixed speed or detect it.
SPEEDS = (115200, 9600, 57600, 38400, 19200, 230400, 460800, 921600)
_ATTEMPTS_PER_SPEED = 2


async def wake(session: AtSession, *, set_speed: bool = True) -> None:
    """Wait until the modem answers AT, at the configured speed or another, and set the speed if requested.

    Raises NoResponse, PortLost.
    """
    timing, port = session.timing, session.port
    usual = session.line.baud or SPEEDS[0]
    adjustable = sets_speed(session.line.path)
    speeds = [
        speed for speed in session.line.probe_bauds or SPEEDS if adjustable and speed != usual
    ]
    began = time.monotonic()
    # A third of the time is for the configured speed: noise may confuse auto-bauding.
    others = (
        speed for speed in itertools.cycle([*speeds, usual]) for _ in range(_ATTEMPTS_PER_SPEED)
    )
    attempt = 0
    while (waited := time.monotonic() - began) < timing.boot_seconds:
        speed = usual if waited < timing.boot_seconds / 3 else next(others)
        if await session.run(
            partial(_answers_at, session.client, speed, attempt, timing.probe_seconds)
        ):
            port.mark_configured()
            if set_speed and adjustable:
                await _set_speed(session, speed)
            return
        attempt += 1
    await session.run(partial(port.speed, usual))
    raise NoResponse(f"AT in {timing.boot_seconds:g} s")


def _answers_at(client: AtClient, speed: int, attempt: int, seconds: float) -> bool:
    port = client.port
    if port.baudrate != speed:
        port.speed(speed)
    port.clear_restart()
    port.stale = False
    if attempt:
        port.put(LEAVE_PROMPT)  # a previous program may have left it at the prompt
    # Every other time also leave a mode with numeric answers, or none (V0, Q1).
    began = time.monotonic()
    if client.probe("ATQ0V1E0" if attempt % 2 else "AT", seconds):
        return True
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    return False


async def _set_speed(session: AtSession, speed: int) -> None:
    wanted = session.line.baud
    if not wanted or speed == wanted:
        return
    session.log.warning("speed_differs", found=speed, wanted=wanted)
    if await session.try_command(f"AT+IPR={wanted}") is None:
        return
    await session.run(partial(session.port.speed, wanted))
    if not await session.run(partial(session.client.probe, "AT", session.timing.command_seconds)):
        await session.run(partial(session.port.speed, speed))


async def set_known_state(session: AtSession) -> None:
    """Set echo off, numeric errors and radio on, whatever the previous program set."""
    await set_response_format(session)
    if (functioning := await functionality(session)) != "1":
        session.log.info("radio_was_off", functionality=functioning)
        await session.try_command("AT+CFUN=1", session.timing.slow_command_seconds)


async def set_response_format(session: AtSession) -> None:
    """Set echo off, verbose answers and numeric errors."""
    await session.run(session.client.resynchronise)
    await session.run(session.client.disable_echo)
    session.port.mark_configured()
    for command in ("ATQ0V1", "AT+CMEE=1", 'AT+CSCS="GSM"'):
        await session.optional(command)


async def functionality(session: AtSession) -> str:
    """Return whether the radio is on (27.007 8.2): "1" is full, "0" and "4" are without radio."""
    return responses.fields(
        responses.value(await session.optional("AT+CFUN?") or (), "+CFUN") or "1"
    )[0]
