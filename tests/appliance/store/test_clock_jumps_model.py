"""Random sequences of clock jumps, starts and new rows, compared with a model.

The model: a time belongs to the start in which it was written. It moves with each jump of that start, and no longer
once the box has started again.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from sqlite3 import Connection

from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.domain.message import PartEvent
from appliance.domain.message_state import MessageState
from appliance.domain.requests import Idempotency
from appliance.domain.validation import utc
from appliance.domain.views import AcceptedAnswer
from appliance.store import (
    admin,
    archive,
    attempts,
    clients,
    idempotency,
    messages,
    otp,
    received,
    smpp,
    starts,
)
from appliance.store.clock_jumps import STEP_MS, ClockJumps
from appliance.store.database import Database
from appliance.store.failure_causes import HELD_TOO_LONG
from appliance.store.smpp import NewSubmission, SegmentRow
from tests.appliance.conftest import NUMBER, SIM, START, Stage
from tests.manual_clock import ManualClock

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
TO_1970, TO_2040 = "1970", "2040"
MOMENTS = {TO_1970: 1_000, TO_2040: 2_208_988_800_000}
STEPS = (-20 * HOUR_MS, -2 * HOUR_MS, -STEP_MS, 2 * HOUR_MS, 20 * HOUR_MS, 3 * DAY_MS)
# int: set the clock by so many ms; 1970, 2040: set it to that year; write: rows of each kind; rewrite: use the oldest
# session and resend the oldest message; start: the box starts again.
Action = int | str
ACTIONS = st.sampled_from([*STEPS, TO_1970, TO_2040, "write", "write", "rewrite", "start"])
LOOKS = {
    "message": "SELECT expires_at FROM message WHERE id = ?",
    "otp": "SELECT expires_at FROM otp WHERE id = ?",
    "otp sent": "SELECT created_at FROM otp WHERE id = ?",
    "idempotency": "SELECT created_at FROM idempotency WHERE key = ?",
    "session": "SELECT seen_at FROM admin_session WHERE hash = ?",
    "uncertain": "SELECT ready_at FROM part WHERE message = ?",
    "submission": "SELECT at FROM smpp_submission WHERE id = ?",
    "segment": "SELECT at FROM smpp_segment WHERE submission = ?",
    "receipt": "SELECT at FROM smpp_delivery WHERE submission = ?",
    "received": "SELECT arrived_at FROM inbound_part WHERE reference = ?",
}


class Model:
    """A store, and the time that each of its rows must have."""

    def __init__(self, db: Database, stage: Stage, clock: ManualClock) -> None:
        self.db, self.stage, self.clock = db, stage, clock
        self.jumps = ClockJumps(clock, db)
        self.start = 0
        self.small = 0  # the sum of jumps that were too small to count
        self.expected: dict[tuple[str, int | str | bytes], tuple[int, int]] = {}  # start, time
        self.failed: list[int] = []
        self.tokens: list[str] = []
        self.written = 0

    async def do(self, action: Action) -> None:
        if action == "start":
            await self.db.write(starts.begin)
            self.start, self.small = self.start + 1, 0
            self.jumps = ClockJumps(self.clock, self.db)
        elif action == "write":
            await self._write()
        elif action == "rewrite":
            await self._rewrite()
        else:
            await self._jump(
                action if isinstance(action, int) else MOMENTS[action] - self.clock.now()
            )
        self.clock.advance(1)

    async def _jump(self, step: int) -> None:
        self.clock.step(step)
        await self.jumps.adjust()
        self.small += step
        if abs(self.small) >= STEP_MS:
            step, self.small = self.small, 0
            for key, (start, time) in self.expected.items():
                if start == self.start:
                    self.expected[key] = (start, time + step)

    def _expect(self, kind: str, key: int | str | bytes, time: int) -> None:
        self.expected[kind, key] = (self.start, time)

    async def _write(self) -> None:
        now = self.stage.now = self.clock.now()
        self.written += 1
        number = await self.stage.take()
        self._expect("message", number, now + DAY_MS)
        await self.db.write(self._lose, await self.stage.take(), now)
        await self.db.write(self._fail, await self.stage.take(), now)
        code = self.stage.ids.other(now)
        await self.db.write(otp.add, code, 2, 1, NUMBER, b"hash", 3, now + 300_000, None, now)
        self._expect("otp", code, now + 300_000)
        self._expect("otp sent", code, now)
        key = Idempotency(f"order-{self.written}", b"same")
        await self.db.write(idempotency.once, 2, key, now, lambda _: answer(now))
        self._expect("idempotency", key.key, now)
        token = f"token-{self.written}"
        await self.db.write(admin.open_session, token, "browser", now, 1000)
        self.tokens.append(token)
        self._expect("session", admin.hash_of(token), now)
        part = received.ReceivedPart(NUMBER, "Bonjour", None, "00", self.written, total=2, number=1)
        await self.db.write(received.keep_part, 1, SIM, part, now)
        self._expect("received", self.written, now)
        await self.db.write(self._submit_by_smpp, code, number, now)

    def _submit_by_smpp(self, db: Connection, number: int, message: int, now: int) -> None:
        smpp.add(db, NewSubmission(number, 2, message, "[]", smpp.ON_DELIVERY, b"same", now))
        self._expect("submission", number, now)
        group = str(number).encode()
        smpp.add_segment(db, SegmentRow(number, 2, group, 1, NUMBER, b"", now))
        self._expect("segment", number, now)
        smpp.note_state(db, self.stage.ids, message, MessageState.DELIVERED, None, now)
        self._expect("receipt", number, now)

    def _submit(self, db: Connection, number: int, now: int) -> None:
        db.execute(
            "UPDATE part SET state = 'submitted', device = 1, sim = ?, submitted_at = ? WHERE message = ?",
            (SIM, now, number),
        )

    def _lose(self, db: Connection, number: int, now: int) -> None:
        self._submit(db, number, now)
        attempts.mark_uncertain_after_start(db, self.stage.ids, now)
        self._expect("uncertain", number, now)

    def _fail(self, db: Connection, number: int, now: int) -> None:
        self._submit(db, number, now)
        (part,) = messages.parts_of(db, number)
        messages.step_part(db, part, PartEvent.REFUSE, answered_at=now, error=HELD_TOO_LONG)
        messages.settle(db, self.stage.ids, number, now)
        self.failed.append(number)

    async def _rewrite(self) -> None:
        now = self.clock.now()
        if self.tokens:
            token = self.tokens.pop(0)
            await self.db.write(admin.see_session, token, now)
            self._expect("session", admin.hash_of(token), now)
        if self.failed:
            number = self.failed.pop(0)
            ends = now + DAY_MS
            await self.db.write(
                lambda db: messages.resend(db, self.stage.ids, number, now, ends, 0, "GSM-7", 0, 1)
            )
            self._expect("message", number, ends)

    async def check(self) -> None:
        def times(db: Connection) -> dict[tuple[str, int | str | bytes], int]:
            return {
                (kind, key): db.execute(LOOKS[kind], (key,)).fetchone()[0]
                for kind, key in self.expected
            }

        found = await self.db.read(times)
        assert found == {key: time for key, (_, time) in self.expected.items()}


def answer(now: int) -> AcceptedAnswer:
    return AcceptedAnswer(
        message_id="msg_0000000000000001",
        to=NUMBER,
        queued_at=utc(now),
        estimated_delivery=utc(now),
        scheduled_at=None,
        priority="normal",
        device_id=None,
        parts=1,
        encoding="GSM-7",
    )


async def follow(actions: list[Action]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = await Database.open(Path(folder) / "zimbox.db")
        try:
            await db.write(clients.add_client, "one", START)
            model = Model(db, Stage(db, await db.read(archive.marks)), ManualClock(START))
            for action in ["start", *actions]:
                await model.do(action)
                await model.check()
        finally:
            await db.close()


BACK_AND_FORWARD: list[Action] = ["write", "start", -20 * HOUR_MS, 20 * HOUR_MS]


@settings(max_examples=12)
@given(st.lists(ACTIONS, max_size=8))
@example(BACK_AND_FORWARD)
@example([*BACK_AND_FORWARD, -2 * HOUR_MS])
@example(["write", -20 * HOUR_MS, 20 * HOUR_MS, "write", -2 * HOUR_MS])
@example(["write", TO_1970, "start", "write", "rewrite", TO_2040, "write", TO_1970, TO_2040])
@example(["write", TO_2040, "start", TO_1970, "write", "start", "rewrite", TO_2040])
def test_the_times_written_since_the_start_move_with_the_clock_and_no_others(
    actions: list[Action],
) -> None:
    asyncio.run(follow(actions))
