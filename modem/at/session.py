"""The port from asyncio: one owner thread runs all commands in order."""

from __future__ import annotations

import asyncio
import contextlib
import glob
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

import msgspec

from modem.at.client import AtClient
from modem.at.errors import CommandError, Log, NoResponse, OutOfStep, PortLost
from modem.at.line_parser import Urc
from modem.at.line_quality import LineQuality
from modem.at.transport import SerialModem, find, matching
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
        hear: Callable[[Urc], None],
        lost: Callable[[str], None],
        log: Log,
    ) -> None:
        """`hear` and `lost` are called in the thread of the running loop."""
        self.line = line
        self.timing = timing
        self.log = log
        self._loop = asyncio.get_running_loop()
        self._hear = hear
        self._lost = lost
        self._owner = ThreadPoolExecutor(1, thread_name_prefix=f"modem {line.path}")
        self._dialogue: AtClient | None = None
        self._turn = 0  # which of the ports that match a pattern
        self.iccid_command = ""  # the variant that this module knows, once found
        self.iccid_refusals = 0  # how often in a row it has refused every variant
        self._unanswered: set[str] = set()  # optional commands that this module leaves unanswered
        self._trust = LineQuality(
            timing.distrust_seconds
        )  # survives the port: the wires are the same

    @property
    def dialogue(self) -> AtClient:
        """The AT client of the open port. Raises PortLost without one."""
        if self._dialogue is None or not self._dialogue.port.alive:
            raise PortLost("the port is closed")
        return self._dialogue

    @property
    def port(self) -> SerialModem:
        """The open port. Raises PortLost without one."""
        return self.dialogue.port

    @property
    def careful(self) -> bool:
        """Whether the line is degraded: it has altered bytes recently."""
        return self._trust.lost

    @property
    def is_open(self) -> bool:
        return self._dialogue is not None and bool(self._dialogue.port.alive)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the owner thread, after earlier work."""
        return await self.begin(work)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start `work` in the owner thread, and return its future."""
        return self._loop.run_in_executor(self._owner, work)

    async def open(self) -> None:
        """Open the port again. Raises PortLost."""
        await self.close()
        path = find(self.line.path, self._turn)
        port = SerialModem(
            msgspec.structs.replace(self.line, path=path),
            self.timing,
            hear=self._across(self._hear),
            lost=self._across(self._lost),
            log=self.log,
            trust=self._trust,
        )
        try:
            await self.run(port.connect)
        except asyncio.CancelledError:
            self.begin(port.close)  # the owner thread opens it nevertheless
            raise
        self.iccid_command = ""  # it may be another module
        self.iccid_refusals = 0
        self._unanswered.clear()
        self._dialogue = AtClient(port, self.timing, self.log)

    def try_another(self) -> None:
        """Use the next port that matches the pattern: this one does not answer AT."""
        self._turn += 1

    def ports(self) -> int:
        """Return how many ports match the pattern; 0 for a port with a name."""
        return len(matching(self.line.path)) if glob.has_magic(self.line.path) else 0

    async def close(self) -> None:
        """Close the port after the current command; an open send is not interrupted."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            await self.run(dialogue.port.close)

    async def abort(self) -> None:
        """Close the port at once; an open command ends with PortLost."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            await asyncio.to_thread(dialogue.port.close)

    def end(self) -> None:
        """End the owner thread, after `close`."""
        self._owner.shutdown(wait=False)

    def _across(self, told: Callable[[T], None]) -> Callable[[T], None]:
        def tell(what: T) -> None:
            # The reader thread may outlive the loop by a line.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(told, what)

        return tell

    async def ask(
        self,
        command: str,
        seconds: float | None = None,
        *,
        answers: tuple[str, ...] = (),
        closing: str = "",
        once: bool = False,
    ) -> tuple[str, ...]:
        """Send a command and return its lines. Raises CommandError, NoResponse, PortLost, Restarted."""
        ask = partial(
            self.dialogue.ask, command, seconds, answers=answers, closing=closing, once=once
        )
        return await self.run(ask)

    async def try_ask(
        self, command: str, seconds: float | None = None, *, answers: tuple[str, ...] = ()
    ) -> tuple[str, ...] | None:
        """Send a command; return its lines, or None if refused. Raises NoResponse, PortLost, Restarted."""
        try:
            return await self.ask(command, seconds, answers=answers)
        except CommandError as refused:
            self.log.debug("command_refused", reason=str(refused))
            return None

    async def optional(
        self, command: str, seconds: float | None = None, *, answers: tuple[str, ...] = ()
    ) -> tuple[str, ...] | None:
        """Send a command that the box can do without; return its lines, or None if refused or not answered.

        A command without an answer is not sent again until the port is reopened: some modules leave unknown commands
        unanswered. Raises OutOfStep if the modem answers nothing at all, PortLost, Restarted.
        """
        if command in self._unanswered:
            return None
        try:
            return await self.try_ask(command, seconds, answers=answers)
        except OutOfStep:
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
        return await self.ask(command, self.timing.slow_command_seconds, once=once)

    async def word(self, name: Literal["manufacturer", "model", "revision", "imei", "imsi"]) -> str:
        """Ask an identity question; return "" if the modem does not tell."""
        return await self.run(partial(self.port.word, name))
