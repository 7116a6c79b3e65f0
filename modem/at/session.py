"""The port from asyncio: everything is asked by one owner thread, in the order of the asking."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

import msgspec

from modem.at.client import Dialogue
from modem.at.errors import Log, PortLost, Refused
from modem.at.line_parser import Heard
from modem.at.line_quality import Trust
from modem.at.transport import Modem, find
from modem.timeouts import Line, Timing

T = TypeVar("T")

_READINGS = 6


class Talk:
    """One modem's line."""

    def __init__(
        self,
        line: Line,
        timing: Timing,
        *,
        hear: Callable[[Heard], None],
        lost: Callable[[str], None],
        log: Log,
    ) -> None:
        """`hear` and `lost` are called in the running loop's thread."""
        self.line = line
        self.timing = timing
        self.log = log
        self._loop = asyncio.get_running_loop()
        self._hear = hear
        self._lost = lost
        self._owner = ThreadPoolExecutor(1, thread_name_prefix=f"modem {line.path}")
        self._dialogue: Dialogue | None = None
        self._turn = 0  # which of the ports that fit a pattern
        self.iccid_command = ""  # the one of many that this module knows, once it is found
        self._trust = Trust(timing.distrust_seconds)  # outlives the port: the wires stay

    @property
    def dialogue(self) -> Dialogue:
        """What is asked on the open port. PortLost where there is none."""
        if self._dialogue is None or not self._dialogue.port.alive:
            raise PortLost("the port is closed")
        return self._dialogue

    @property
    def port(self) -> Modem:
        """The open port. PortLost where there is none."""
        return self.dialogue.port

    @property
    def careful(self) -> bool:
        """Whether this line has spoilt bytes not long ago."""
        return self._trust.lost

    @property
    def is_open(self) -> bool:
        return self._dialogue is not None and bool(self._dialogue.port.alive)

    async def run(self, work: Callable[[], T]) -> T:
        """Does `work` in the owner thread, after what it was given before."""
        return await self.begin(work)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The same, for whoever goes on meanwhile."""
        return self._loop.run_in_executor(self._owner, work)

    async def open(self) -> None:
        """Opens the port anew. PortLost."""
        await self.close()
        path = find(self.line.path, self._turn)
        port = Modem(
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
            self.begin(port.close)  # the owner thread opens it all the same
            raise
        self.iccid_command = ""  # it may be another module
        self._dialogue = Dialogue(port, self.timing, self.log)

    def try_another(self) -> None:
        """This port does not answer AT: next time the next one that fits the pattern."""
        self._turn += 1

    async def close(self) -> None:
        """Closes the port, after what is being asked; an open send is not cut off."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            await self.run(dialogue.port.close)

    async def abort(self) -> None:
        """Closes the port at once; a command that is open ends with PortLost."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            await asyncio.to_thread(dialogue.port.close)

    def end(self) -> None:
        """After `close`: the owner thread goes home."""
        self._owner.shutdown(wait=False)

    def _across(self, told: Callable[[T], None]) -> Callable[[T], None]:
        def tell(what: T) -> None:
            # The reader may outlive the loop by a line.
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
        """The answer's lines (see `Dialogue.ask`). Refused, NoAnswer, PortLost, Restarted."""
        ask = partial(
            self.dialogue.ask, command, seconds, answers=answers, closing=closing, once=once
        )
        return await self.run(ask)

    async def try_ask(
        self, command: str, seconds: float | None = None, *, answers: tuple[str, ...] = ()
    ) -> tuple[str, ...] | None:
        """The same, and None where the modem refuses. NoAnswer, PortLost, Restarted."""
        try:
            return await self.ask(command, seconds, answers=answers)
        except Refused as refused:
            self.log.debug("refused", reason=str(refused))
            return None

    async def twice(self, question: Callable[[], Awaitable[str]]) -> str:
        """The answer that came twice running: a digit lost on the line would be another modem,
        or another SIM. "" where there is none."""
        before = None
        for _ in range(_READINGS):
            answer = await question()
            if answer == before:
                return answer
            before = answer
        return ""

    async def slow(self, command: str, *, once: bool = False) -> tuple[str, ...]:
        """A command in which SIM or radio take part."""
        return await self.ask(command, self.timing.slow_command_seconds, once=once)

    async def word(self, name: Literal["manufacturer", "model", "revision", "imei", "imsi"]) -> str:
        """One question about identity; "" where the modem would not say."""
        return await self.run(partial(self.port.word, name))
