"""The clock set by the mobile network, where nothing better keeps it: deciding here, doing by the steward."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from appliance import steward
from appliance.bells import Bells
from appliance.clock import NETWORK_AGREES_SECONDS, Clock
from appliance.rules import timestamp

log = structlog.get_logger(__name__)

# Two tellings of one clock: each in whole seconds, each with the delay of its line.
ALIKE_SECONDS = 5.0
# A clock that is looked at every hour has not drifted so far; a wrong zone is off by a quarter of an hour or more.
DRIFT_SECONDS = 600.0
# Between two requests, and until a refused one is made again.
REST_SECONDS = 300.0


class Told(msgspec.Struct, frozen=True):
    """The network's time (seconds since the epoch), and when it was heard on the clock that never jumps."""

    epoch: float
    at: float

    def by(self, monotonic: float) -> float:
        return self.epoch + monotonic - self.at


def network_now(before: Told | None, last: Told | None, monotonic: float) -> float | None:
    """The network's time now; None until it was told twice alike: AT has no checksum, and a digit may be spoilt."""
    if before is None or last is None or abs(before.by(last.at) - last.epoch) > ALIKE_SECONDS:
        return None
    return last.by(monotonic)


def to_be_set(network: float, wall: float, *, kept: bool, trusted: bool, seen: float) -> bool:
    """Whether our clock is to follow: nobody better keeps it, it is off, and the box has not seen a later time.

    One that the network has set before may drift; by more than that it is the network that errs.
    """
    off = abs(network - wall)
    if kept or network < seen or off <= NETWORK_AGREES_SECONDS:
        return False
    return not trusted or off < DRIFT_SECONDS


class Timekeeper:
    """Hears what the modems were told; asks the steward to set the clock, and the trust in it follows."""

    def __init__(
        self, clock: Clock, bells: Bells, seen: Callable[[], float], socket: Path | None = None
    ) -> None:
        """`seen` is the latest moment (seconds since the epoch) that the box has on its disk."""
        self._clock = clock
        self._bells = bells
        self._seen = seen
        self._socket = socket or steward.SOCKET
        self._heard = asyncio.Event()
        self._before: Told | None = None
        self._last: Told | None = None
        self._refusal = ""

    def hear(self, epoch: float) -> None:
        """A modem was told the time."""
        self._clock.hear_network(epoch)
        self._before, self._last = self._last, Told(epoch, self._clock.monotonic())
        self._heard.set()

    async def run(self) -> None:
        """For ever: look after each telling, and rest after each request."""
        while True:
            await self._clock.wait(self._heard, REST_SECONDS)
            if await self.look():
                await self._clock.wait(asyncio.Event(), REST_SECONDS)

    async def look(self) -> bool:
        """Ask for the clock to be set if it is to be; True if it was asked for."""
        clock = self._clock
        at, wall = clock.monotonic(), clock.now() / 1000
        network = network_now(self._before, self._last, at)
        if network is None or not to_be_set(
            network, wall, kept=clock.kept, trusted=clock.trusted, seen=self._seen()
        ):
            return False
        if refusal := await self._ask(network, at):
            # Once: a box without a steward would say the same for ever.
            if refusal != self._refusal:
                log.warning("clock_not_set", network=timestamp(round(network * 1000)), why=refusal)
            self._refusal = refusal
            return True
        self._refusal = ""
        log.warning(
            "clock_set_by_network", was=timestamp(round(wall * 1000)), by=round(network - wall)
        )
        if self._last is not None:
            clock.hear_network(self._last.by(clock.monotonic()))
        self._bells.work()
        self._bells.housekeeping.set()
        self._bells.changed()
        return True

    async def _ask(self, network: float, at: float) -> str:
        """ "" if it is done, else why not. The steward may be at work: it is told when this was the time."""
        try:
            async for line in steward.ask("set-time", socket=self._socket, epoch=network, at=at):
                if line.get("done"):
                    return "" if line.get("ok") else f"{line.get('code')}: {line.get('words')}"
        except (steward.NoSteward, TimeoutError, OSError) as error:
            return str(error) or type(error).__name__
        return "the steward hung up"
