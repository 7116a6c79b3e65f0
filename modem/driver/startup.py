"""From an open port to a responding modem, whatever speed, mode or prompt it was left in."""

from __future__ import annotations

import itertools
import time
from functools import partial

from modem.at import responses
from modem.at.client import AtClient
from modem.at.errors import NoResponse
from modem.at.session import AtSession
from modem.at.transport import LEAVE_PROMPT

# Speeds in use: UART modules have a fixed speed or detect it.
SPEEDS = (115200, 9600, 57600, 38400, 19200, 230400, 460800, 921600)
_TRIES_PER_SPEED = 2


async def wake(talk: AtSession, *, agree: bool = True) -> None:
    """Wait until the modem answers AT, at the configured speed or another, and set the speed if requested.

    Raises NoResponse, PortLost.
    """
    timing, port = talk.timing, talk.port
    usual = talk.line.baud or SPEEDS[0]
    speeds = [speed for speed in talk.line.probe_bauds or SPEEDS if speed != usual]
    began = time.monotonic()
    # A third of the time is for the configured speed: noise may confuse auto-bauding.
    others = (speed for speed in itertools.cycle([*speeds, usual]) for _ in range(_TRIES_PER_SPEED))
    attempt = 0
    while (waited := time.monotonic() - began) < timing.boot_seconds:
        speed = usual if waited < timing.boot_seconds / 3 else next(others)
        if await talk.run(
            partial(_answers_at, talk.dialogue, speed, attempt, timing.probe_seconds)
        ):
            port.settled()
            if agree:
                await _agree_on_speed(talk, speed)
            return
        attempt += 1
    await talk.run(partial(port.speed, usual))
    raise NoResponse(f"AT in {timing.boot_seconds:g} s")


def _answers_at(dialogue: AtClient, speed: int, attempt: int, seconds: float) -> bool:
    port = dialogue.port
    if port.baudrate != speed:
        port.speed(speed)
    port.looked_for()
    port.stale = False
    if attempt:
        port.put(LEAVE_PROMPT)  # a previous program may have left it at the prompt
    # Every other time also leave a mode with numeric answers, or none (V0, Q1).
    began = time.monotonic()
    if dialogue.probe("ATQ0V1E0" if attempt % 2 else "AT", seconds):
        return True
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    return False


async def _agree_on_speed(talk: AtSession, speed: int) -> None:
    wanted = talk.line.baud
    if not wanted or speed == wanted:
        return
    talk.log.warning("speed_differs", found=speed, wanted=wanted)
    if await talk.try_ask(f"AT+IPR={wanted}") is None:
        return
    await talk.run(partial(talk.port.speed, wanted))
    if not await talk.run(partial(talk.dialogue.probe, "AT", talk.timing.command_seconds)):
        await talk.run(partial(talk.port.speed, speed))


async def known_state(talk: AtSession) -> None:
    """Set echo off, numeric errors and radio on, whatever the previous program set."""
    await plain_speech(talk)
    if (functioning := await functionality(talk)) != "1":
        talk.log.info("radio_was_off", functionality=functioning)
        await talk.try_ask("AT+CFUN=1", talk.timing.slow_command_seconds)


async def plain_speech(talk: AtSession) -> None:
    """Set echo off, verbose answers and numeric errors."""
    await talk.run(talk.dialogue.resynchronise)
    await talk.run(talk.dialogue.hush)
    talk.port.settled()
    for command in ("ATQ0V1", "AT+CMEE=1", 'AT+CSCS="GSM"'):
        await talk.optional(command)


async def functionality(talk: AtSession) -> str:
    """Return whether the radio is on (27.007 8.2): "1" is full, "0" and "4" are without radio."""
    return responses.fields(responses.value(await talk.optional("AT+CFUN?") or (), "+CFUN") or "1")[
        0
    ]
