"""The wall clock, the monotonic clock, and whether the wall clock can be trusted."""

from __future__ import annotations

import asyncio
import ctypes
import struct
import time
from pathlib import Path
from typing import Protocol

# systemd-timesyncd creates it once a time server has set the clock (systemd-time-wait-sync).
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")


RTC = Path("/sys/class/rtc/rtc0")
# Only boards have one. /proc/device-tree would do, but the unit's ProcSubset=pid hides it.
BOARD = Path("/sys/firmware/devicetree/base/model")
STA_UNSYNC = 0x40  # timex.h: the clock is not synchronised
STATUS_OFFSET, TIMEX_BYTES = (
    40,
    256,
)  # of `status` in struct timex on 64-bit Linux, and room for all


def synchronised() -> bool:
    """Return whether a time server has set the clock, according to systemd-timesyncd or the kernel."""
    return SYNCHRONISED.exists() or _kernel_synchronised()


def _kernel_synchronised() -> bool:
    timex = ctypes.create_string_buffer(TIMEX_BYTES)
    try:
        if ctypes.CDLL(None).adjtimex(timex) < 0:  # modes 0: read only
            return False
    except (OSError, AttributeError):  # the C library lacks the call
        return False
    (status,) = struct.unpack_from("i", timex, STATUS_OFFSET)
    return not status & STA_UNSYNC


def keeps_time() -> bool:
    """Return whether the clock runs while the machine is off: it has a clock chip, or is not a board."""
    return RTC.exists() or not BOARD.exists()


# Network time has whole seconds and arrives late over the serial line; a wrong time zone differs
# by at least a quarter of an hour.
NETWORK_AGREES_SECONDS = 120.0


class Clock(Protocol):
    """The clock that every loop uses; tests inject their own."""

    def now(self) -> int:
        """Return the wall time in milliseconds since the epoch (UTC)."""

    def monotonic(self) -> float:
        """Return monotonic time in seconds."""

    @property
    def trusted(self) -> bool:
        """Whether the wall time is trusted. Scheduled sends, expiry and retention depend on it."""

    @property
    def kept(self) -> bool:
        """Whether a source better than the mobile network keeps the clock, so that the network must not set it."""

    def compare_network_time(self, epoch: float) -> None:
        """Compare the clock with the time that the mobile network reported (seconds since the epoch)."""

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for the event for `seconds` at most, and clear it. Return whether it was set."""


class SystemClock:
    """The machine's clock. Trust `always` holds from the start; `auto` needs a reason.

    Reasons: a time server has set the clock, the mobile network's time agrees, or the machine keeps time
    while it is off. A board without a clock chip starts in the past, so it needs one of the others.
    """

    def __init__(self, trust: str = "always", not_before: int = 0) -> None:
        """`not_before` (ms): the latest time that the box has seen; an earlier clock is wrong."""
        self._always = trust == "always"
        self._network_agrees = False
        self._keeps_time = keeps_time()
        self._not_before = not_before

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    @property
    def trusted(self) -> bool:
        return self._network_agrees or self.kept

    @property
    def kept(self) -> bool:
        if self._always or synchronised():
            return True
        return self._keeps_time and self.now() >= self._not_before

    def compare_network_time(self, epoch: float) -> None:
        """Trust the clock if the network's time agrees with it."""
        if abs(epoch - time.time()) <= NETWORK_AGREES_SECONDS:
            self._network_agrees = True

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await event.wait()
        except TimeoutError:
            return False
        event.clear()
        return True
