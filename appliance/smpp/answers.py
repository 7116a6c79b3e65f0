"""Which answers have reached their engine. An engine submits again what it had no answer to.

The proof is the engine's own: it has answered a PDU that the box sent after that answer. PDUs are read in order, so
the answer was read before. Nothing less proves it: TCP also acknowledges what nobody reads, and a proxy between the
two acknowledges what it then throws away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from appliance.context import Context
from appliance.store import smpp

log = structlog.get_logger(__name__)

# An equal submission on another connection waits so long for the proof that the first one was answered.
PROOF_SECONDS = 5.0
# A proof is stored with the next commit, or after this time.
STORED_WITHIN_SECONDS = 5.0


class Answer:
    """The answer to a submission, from before its commit until its fate is stored."""

    def __init__(self, link: AnswerLink, fingerprint: bytes) -> None:
        self.link = link
        self.fingerprint = fingerprint
        self.number: int | None = None  # what it names; None before the commit, and after a refusal
        self.committed = asyncio.Event()
        self.settled = asyncio.Event()  # received, lost and stored as such, or refused
        self.lost = False


class AnswerLink:
    """The answers on one connection, in the order in which they were written."""

    def __init__(self, ledger: AnswerLedger, prove: Callable[[], None]) -> None:
        self._ledger = ledger
        self.prove = prove  # asks the engine for a proof
        self._unproven: deque[Answer] = deque()
        self._before = 0  # how many have left `_unproven`
        self.closed = False

    @property
    def unproven(self) -> int:
        """The number of answers written without a proof."""
        return len(self._unproven)

    def written(self, answer: Answer) -> None:
        """Note that an answer was written to the connection."""
        if self.closed:
            self._ledger.lose(answer)
        else:
            self._unproven.append(answer)

    def mark(self) -> int:
        """Return the place of a PDU sent now among the answers, for `received`."""
        return self._before + len(self._unproven)

    def received(self, mark: int) -> None:
        """Note that the engine has read everything up to a place."""
        received = []
        while self._unproven and self._before < mark:
            received.append(self._unproven.popleft())
            self._before += 1
        self._ledger.receive(received)

    def close(self, *, orderly: bool) -> None:
        """End the connection: in order everything was read, otherwise what is not proven is lost."""
        if orderly:
            self.received(self.mark())
        self.closed = True
        for answer in self._unproven:
            self._ledger.lose(answer)
        self._unproven.clear()


class AnswerLedger:
    """The answers whose fate is not stored yet, by what they answer."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self._open: dict[bytes, list[Answer]] = {}
        self._received: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, link: AnswerLink, fingerprint: bytes) -> Answer:
        """Return the answer to a submission that is about to be stored."""
        answer = Answer(link, fingerprint)
        self._open.setdefault(fingerprint, []).append(answer)
        return answer

    def commit(self, answer: Answer, number: int) -> None:
        """Note what an answer names; it is on the disk."""
        answer.number = number
        answer.committed.set()

    def refuse(self, answer: Answer) -> None:
        """Note that a submission was refused: there is nothing to repeat."""
        answer.committed.set()
        self._settle(answer)

    async def settled(self, fingerprint: bytes, link: AnswerLink) -> None:
        """Wait until equal submissions on other connections are received or lost, and stored as such.

        A connection that proves nothing for `PROOF_SECONDS` is as good as lost: its engine has come back by another.
        """
        for answer in list(self._open.get(fingerprint, ())):
            if answer.link is link and not answer.lost:
                continue
            if not answer.lost:
                answer.link.prove()
                try:
                    async with asyncio.timeout(PROOF_SECONDS):
                        await answer.settled.wait()
                except TimeoutError:
                    self.lose(answer)
            await answer.settled.wait()

    def receive(self, answers: Sequence[Answer]) -> None:
        """Note that answers have reached their engine. Stored with the next commit."""
        idle = not self._received
        for answer in answers:
            if not answer.lost and answer.number is not None:
                self._received.append(answer.number)
                self._settle(answer)
        if idle and self._received:
            self._start(self._store_received())

    def lose(self, answer: Answer) -> None:
        """Note that an answer did not reach its engine. Stored at once."""
        if not answer.lost and not answer.settled.is_set():
            answer.lost = True
            self._start(self._store_lost(answer))

    async def close(self) -> None:
        """Store everything that is known."""
        await self._box.db.write(lambda db: smpp.mark(db, self._take(), smpp.RECEIVED))
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store_received(self) -> None:
        await self._box.db.write_lazily(
            STORED_WITHIN_SECONDS, lambda db: smpp.mark(db, self._take(), smpp.RECEIVED)
        )

    def _take(self) -> list[int]:
        taken, self._received = self._received, []
        return taken

    async def _store_lost(self, answer: Answer) -> None:
        await answer.committed.wait()
        if answer.number is not None:
            await self._box.db.write_until_stored(smpp.mark, [answer.number], smpp.LOST)
            log.info("smpp_answer_lost", submission=answer.number)
        self._settle(answer)

    def _settle(self, answer: Answer) -> None:
        answer.settled.set()
        same = self._open.get(answer.fingerprint, [])
        if answer in same:
            same.remove(answer)
        if not same:
            self._open.pop(answer.fingerprint, None)
