"""The simulated modem with its control requests and their socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from modem.simulator.assembly import SimulatedModem
from modem.simulator.control.execution import execute
from modem.simulator.control.requests import AnyControlRequest
from modem.simulator.control.server import ControlSocket
from modem.simulator.settings import Settings


class Simulator(SimulatedModem):
    """One simulated modem on a pseudo-terminal. Call `start` and `stop` once, `command` at any time."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        journal: Path | None = None,
        link: Path | None = None,
        control: Path | None = None,
        trace: Path | None = None,
    ) -> None:
        super().__init__(settings, journal=journal, link=link, trace=trace)
        self._control = ControlSocket(control, self.command) if control else None

    async def start(self) -> str:
        """Create the port and the control socket. Return the name of the port, or of its link."""
        name = self.open()
        if self._control:
            await self._control.start()
        await _let_timers_run()
        return name

    async def stop(self) -> None:
        """Remove the control socket and the port, and switch off."""
        if self._control:
            await self._control.stop()
        self.close()

    async def command(self, words: dict[str, Any]) -> dict[str, Any]:
        """Execute a control request, {"do": …}. The answer has "ok", and "error" if that is false."""
        try:
            request = msgspec.convert(words, AnyControlRequest)
            answer = {"ok": True, **execute(self, request)}
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            return {"ok": False, "error": str(error)}
        await _let_timers_run()
        return answer


async def _let_timers_run() -> None:
    """Wait until a modem that was just switched on accepts input (with `boot` 0: is ready)."""
    for _ in range(3):
        await asyncio.sleep(0)
