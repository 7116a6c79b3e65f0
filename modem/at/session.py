"""The port from asyncio: one owner thread runs all commands in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

import msgspec

from modem.at.client import AtClient
from modem.at.errors import CommandError, Log, NoResponse, PortLost, ResyncFailed
from modem.at.line_parser import Urc
from modem.at.line_quality import LineQuality
from modem.at.modem_library import SerialModem
from modem.at.serial_port import find, is_pattern, matching
from modem.timeouts import SerialLine, Timing

T = TypeVar("T")

_READINGS = 6


class AtSession:
    """The serial line of a modem and its owner thread."""

    def __init__(
        self,
        line: SerialLine,
        timing: Timing,
        *,
        on_urc: Callable[[Urc], None],
        on_lost: Callable[[str], None],
        log: Log,
    ) -> None:
        """`on_urc` and `on_lost` are called in the thread of the running loop."""
        self.line = line
        self.timing = timing
        self.log = log
        self._loop = asyncio.get_running_loop()
        self._on_urc = on_urc
        self._on_lost = on_lost
        self._owner = ThreadPoolExecutor(1, thread_name_prefix=f"modem {line.path}")
        self._client: AtClient | None = None
        self._port_index = 0  # which of the ports that match a pattern
        self.iccid_command = ""  # the variant that this module knows, once found
        self.iccid_refusals = 0  # how often in a row it has refused every variant
        self._unanswered: set[str] = set()  # optional commands that this module leaves unanswered
        self._quality = LineQuality(
            timing.degraded_line_seconds
        )  # survives the port: the wires are the same

    @property
    def client(self) -> AtClient:
        """The AT client of the open port. Raises PortLost without one."""
        if self._client is None or not self._client.port.alive:
            raise PortLost("the port is closed")
        return self._client

    @property
    def port(self) -> SerialModem:
        """The open port. Raises PortLost without one."""
        return self.client.port

    @property
    def degraded(self) -> bool:
        """Whether the line is degraded: it has altered bytes recently."""
        return self._quality.degraded

    @property
    def is_open(self) -> bool:
        return self._client is not None and bool(self._client.port.alive)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the owner thread, after earlier work."""
        return await self.begin(work)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start `work` in the owner thread, and return its future."""
        return self._loop.run_in_executor(self._owner, work)

    async def open(self) -> None:
        """Open the port again. Raises PortLost."""
        await self.close()
        path = find(self.line.path, self._port_index)
        port = SerialModem(
            msgspec.structs.replace(self.line, path=path),
            self.timing,
            on_urc=self._on_loop(self._on_urc),
            on_lost=self._on_loop(self._on_lost),
            log=self.log,
            quality=self._quality,
        )
        try:
            await self.run(port.connect)
        except asyncio.CancelledError:
            self.begin(port.close)  # the owner thread opens it nevertheless
            raise
        self.iccid_command = ""  # it may be another module
        self.iccid_refusals = 0
        self._unanswered.clear()
        self._client = AtClient(port, self.timing, self.log)

    def try_another(self) -> None:
        """Use the next port that matches the pattern: this one does not answer AT."""
        self._port_index += 1

    def ports(self) -> int:
        """Return how many ports match the pattern; 0 for a port with a name."""
        return len(matching(self.line.path)) if is_pattern(self.line.path) else 0

    async def close(self) -> None:
        """Close the port after the current command; an open send is not interrupted."""
        client, self._client = self._client, None
        if client is not None:
            await self.run(client.port.close)

    async def abort(self) -> None:
        """Close the port at once; an open command ends with PortLost."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.port.close)

    def end(self) -> None:
        """End the owner thread, after `close`."""
        self._owner.shutdown(wait=False)

    def _on_loop(self, callback: Callable[[T], None]) -> Callable[[T], None]:
        def schedule(value: T) -> None:
            # The reader thread may outlive the loop by a line.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, value)

        return schedule

    async def command(
        self,
        command: str,
        seconds: float | None = None,
        *,
        prefixes: tuple[str, ...] = (),
        closing: str = "",
        once: bool = False,
    ) -> tuple[str, ...]:
        """Send a command and return its lines. Raises CommandError, NoResponse, PortLost, Restarted."""
        work = partial(
            self.client.command, command, seconds, prefixes=prefixes, closing=closing, once=once
        )
        return await self.run(work)

    async def try_command(
        self, command: str, seconds: float | None = None, *, prefixes: tuple[str, ...] = ()
    ) -> tuple[str, ...] | None:
        """Send a command; return its lines, or None if refused. Raises NoResponse, PortLost, Restarted."""
        try:
            return await self.command(command, seconds, prefixes=prefixes)
        except CommandError as refused:
            self.log.debug("command_refused", reason=str(refused))
            return None

    async def optional(
        self, command: str, seconds: float | None = None, *, prefixes: tuple[str, ...] = ()
    ) -> tuple[str, ...] | None:
        """Send a command that the box can do without; return its lines, or None if refused or not answered.

        A command without an answer is not sent again until the port is reopened: some modules leave unknown commands
        unanswered. Raises OutOfStep if the modem answers nothing at all, PortLost, Restarted.
        """
        if command in self._unanswered:
            return None
        try:
            return await self.try_command(command, seconds, prefixes=prefixes)
        except ResyncFailed:
            raise
        except NoResponse as silent:
            self._unanswered.add(command)
            self.log.warning("optional_command_unanswered", reason=str(silent))
            return None

    async def twice(self, question: Callable[[], Awaitable[str]]) -> str:
        """Return an answer that was received twice in a row, "" without one.

        A digit lost on the line would look like another modem, or another SIM.
        """
        before = None
        for _ in range(_READINGS):
            answer = await question()
            if answer == before:
                return answer
            before = answer
        return ""

    async def slow(self, command: str, *, once: bool = False) -> tuple[str, ...]:
        """Send a command that involves SIM or radio, with its longer time-out."""
        return await self.command(command, self.timing.slow_command_seconds, once=once)

    async def word(self, name: Literal["manufacturer", "model", "revision", "imei", "imsi"]) -> str:
        """Ask an identity question; return "" without an answer."""
        return await self.run(partial(self.port.word, name))
