"""Set the clock from the mobile network where nothing better keeps it, through the steward."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from appliance.core.clock import NETWORK_AGREES_SECONDS, Clock
from appliance.core.wakeup import WakeupEvents
from appliance.domain.validation import timestamp
from appliance.maintenance import steward_client

log = structlog.get_logger(__name__)

# Two reports of one clock agree within this: each in whole seconds, with the delay of the serial line.
ALIKE_SECONDS = 5.0
# A clock that is checked hourly drifts less than this; a wrong time zone differs by a quarter of an hour or more.
DRIFT_SECONDS = 600.0
# Between two requests, also after a refused one.
REST_SECONDS = 300.0


class ReportedTime(msgspec.Struct, frozen=True):
    """The network's time (seconds since the epoch), and the monotonic time at which it arrived."""

    epoch: float
    at: float

    def by(self, monotonic: float) -> float:
        return self.epoch + monotonic - self.at


def network_now(
    before: ReportedTime | None, last: ReportedTime | None, monotonic: float
) -> float | None:
    """Return the network's time now; None until two reports agree, because AT has no checksum."""
    if before is None or last is None or abs(before.by(last.at) - last.epoch) > ALIKE_SECONDS:
        return None
    return last.by(monotonic)


def to_be_set(network: float, wall: float, *, kept: bool, trusted: bool, seen: float) -> bool:
    """Return whether to set our clock: it differs, nothing better keeps it, and the box has seen no later time.

    A clock that the network has set before may drift; if it differs by more, the network is wrong.
    """
    off = abs(network - wall)
    if kept or network < seen or off <= NETWORK_AGREES_SECONDS:
        return False
    return not trusted or off < DRIFT_SECONDS


class ClockSync:
    """Collects the times that the modems report, and asks the steward to set the clock."""

    def __init__(
        self,
        clock: Clock,
        wakeups: WakeupEvents,
        seen: Callable[[], float],
        socket: Path | None = None,
    ) -> None:
        """`seen` returns the latest time (seconds since the epoch) that the box has stored."""
        self._clock = clock
        self._wakeups = wakeups
        self._seen = seen
        self._socket = socket or steward_client.SOCKET
        self._heard = asyncio.Event()
        self._before: ReportedTime | None = None
        self._last: ReportedTime | None = None
        self._refusal = ""

    def network_time(self, epoch: float) -> None:
        """Note the time that a modem reported."""
        self._clock.compare_network_time(epoch)
        self._before, self._last = self._last, ReportedTime(epoch, self._clock.monotonic())
        self._heard.set()

    async def run(self) -> None:
        """Check after each report, and pause after each request. Never returns."""
        while True:
            await self._clock.wait(self._heard, REST_SECONDS)
            if await self.check():
                await self._clock.wait(asyncio.Event(), REST_SECONDS)

    async def check(self) -> bool:
        """Ask the steward to set the clock if necessary. Return whether it was asked."""
        clock = self._clock
        at, wall = clock.monotonic(), clock.now() / 1000
        network = network_now(self._before, self._last, at)
        if network is None or not to_be_set(
            network, wall, kept=clock.kept, trusted=clock.trusted, seen=self._seen()
        ):
            return False
        if refusal := await self._ask(network, at):
            # Log once: a box without a steward would repeat it for ever.
            if refusal != self._refusal:
                log.warning("clock_not_set", network=timestamp(round(network * 1000)), why=refusal)
            self._refusal = refusal
            return True
        self._refusal = ""
        log.warning(
            "clock_set_by_network", was=timestamp(round(wall * 1000)), by=round(network - wall)
        )
        if self._last is not None:
            clock.compare_network_time(self._last.by(clock.monotonic()))
        self._wakeups.work()
        self._wakeups.housekeeping.set()
        self._wakeups.changed()
        return True

    async def _ask(self, network: float, at: float) -> str:
        """Ask the steward; return "" or the reason. `at` lets a busy steward correct for its delay."""
        try:
            async for line in steward_client.ask(
                "set-time", socket=self._socket, epoch=network, at=at
            ):
                if line.get("done"):
                    return "" if line.get("ok") else f"{line.get('code')}: {line.get('words')}"
        except (steward_client.NoSteward, TimeoutError, OSError) as error:
            return str(error) or type(error).__name__
        return "the steward hung up"
