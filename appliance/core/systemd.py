"""Notifications to systemd (sd_notify(3)): readiness and watchdog."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import structlog

log = structlog.get_logger(__name__)


def notify(text: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a notification such as "READY=1". Return False without NOTIFY_SOCKET. Raises OSError."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(address)
        sender.sendall(text.encode())
    return True


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the watchdog period in seconds, or None without a watchdog."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if microseconds.isdigit() and for_us else None


async def keep_alive(
    alive: Callable[[], Awaitable[bool]], environment: Mapping[str, str] = os.environ
) -> None:
    """Notify the watchdog three times per period while `alive` returns True; return without a watchdog.

    A check that is late or raises does not notify: if that continues, systemd restarts the box.
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
        except Exception:  # such as a locked database: it may pass within the period
            log.exception("liveness_check_failed")
            well = False
        if well:
            notify("WATCHDOG=1", environment)
        else:
            log.error("liveness_check_negative", restart_within_seconds=period)
        await asyncio.sleep(period / 3)
