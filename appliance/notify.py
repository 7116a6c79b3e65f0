"""What the box tells systemd about itself (sd_notify(3)); silent where nobody listens."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import structlog

log = structlog.get_logger(__name__)


def notify(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send e.g. "READY=1". False where no NOTIFY_SOCKET is set. Raises OSError if it is not there."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # Linux's abstract sockets
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(text.encode())
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd waits for a sign of life; None where it does not."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if microseconds.isdigit() and for_us else None


async def keep_alive(
    alive: Callable[[], Awaitable[bool]], environment: Mapping[str, str] = os.environ
) -> None:
    """A sign of life three times per period, as long as `alive` says so; returns if none is wanted.

    A look that is not done in time, or breaks, is none: whoever goes on so is restarted by systemd.
    """
    period = watchdog_seconds(environment)
    if period is None:
        return
    while True:
        try:
            async with asyncio.timeout(period / 3):
                well = await alive()
        except TimeoutError:
            well = False
        except Exception:  # a locked database, say: it may pass before the period is over
            log.exception("look_at_the_box_broke")
            well = False
        if well:
            notify("WATCHDOG=1", environment)
        else:
            log.error("box_not_alive", restart_within_seconds=period)
        await asyncio.sleep(period / 3)
