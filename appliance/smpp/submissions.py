"""Messages from engines: accepted by the intake of the HTTP API, segments joined first."""

from __future__ import annotations

import hashlib
from functools import partial
from sqlite3 import Connection

import msgspec
import structlog

from appliance.context import Context
from appliance.domain import ids, validation
from appliance.domain.errors import ApiError
from appliance.domain.message import Status
from appliance.domain.message_state import MessageState, state_of
from appliance.domain.schemas import SendBody
from appliance.domain.views import Caller
from appliance.messaging.admission import Route
from appliance.messaging.intake import Intake
from appliance.messaging.tracking import Tracking, own_message
from appliance.smpp.answers import Answer, AnswerLedger, AnswerLink
from appliance.store import smpp

log = structlog.get_logger(__name__)

# Segments of a client that may wait; more are refused like a full queue.
MOST_SEGMENTS = 1000
# The clock was set back if a segment seems to come from later than this.
AHEAD_MS = 60_000


class Segment(msgspec.Struct, frozen=True):
    """Which segment of a long text it is; segments of one text have the same `long_message`."""

    long_message: bytes
    number: int
    total: int


class EngineSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """A submission, read and valid but for what the text of a segment is a part of."""

    order: SendBody
    segment: Segment | None
    receipts: int  # smpp.ON_DELIVERY | ON_FAILURE | ON_THE_WAY
    addresses: str  # as the engine wrote them, returned in its receipts
    fingerprint: bytes


class Tracked(msgspec.Struct, frozen=True):
    """The state of a submission for its engine."""

    state: MessageState
    final_at: int | None
    error: int


def fingerprint(tenant: int, *fields: object) -> bytes:
    """Return what makes two submissions of a client equal."""
    return hashlib.sha256(msgspec.json.encode([tenant, *fields])).digest()


class EngineSubmissions:
    """Accepts, queries and cancels what engines submit."""

    def __init__(self, box: Context, intake: Intake, tracking: Tracking) -> None:
        self._box = box
        self._intake = intake
        self._tracking = tracking
        self.ledger = AnswerLedger(box)
        self.accepted = self.adopted = 0  # since the start, for /metrics

    async def start(self) -> None:
        """Take answers that nobody has confirmed before the last end for lost."""
        lost = await self._box.db.write(smpp.lose_open)
        if lost:
            log.info("smpp_answers_lost_by_restart", submissions=lost)

    async def submit(self, caller: Caller, wanted: EngineSubmission, link: AnswerLink) -> Answer:
        """Store a submission; it is on the disk when this returns its answer. Raises ApiError.

        An equal one whose answer was lost is answered again, and nothing is stored.
        """
        self._intake.check_storage()
        self._intake.check_permission(caller, wanted.order.to)
        scheduled = wanted.order.scheduled_at is not None
        route = await self._intake.route(caller, scheduled)
        await self.ledger.settled(wanted.fingerprint, link)
        answer = self.ledger.begin(link, wanted.fingerprint)
        try:
            await self._box.clock_jumps.adjust()
            number, adopted = await self._box.db.write(partial(self._store, caller, wanted, route))
        except BaseException:
            self.ledger.refuse(answer)
            raise
        self.ledger.commit(answer, number)
        if adopted:
            self.adopted += 1
            log.info("smpp_submission_repeated", submission=number)
            return answer
        self.accepted += 1
        self._intake.ring(scheduled=scheduled)
        if wanted.segment is not None:  # it may have ended what another text had begun
            self._box.wakeups.changed()
        return answer

    def _store(
        self, caller: Caller, wanted: EngineSubmission, route: Route, db: Connection
    ) -> tuple[int, bool]:
        """Return what the answer names, and whether an earlier one had named it."""
        now = self._box.clock.now()
        since = now - round(self._box.config.smpp.repeat_minutes * 60_000)
        known = smpp.adopt(db, wanted.fingerprint, since)
        if known is not None:
            return known, True
        if wanted.segment is not None:
            return self._store_segment(db, caller, wanted, wanted.segment, route, now), False
        return self._take(db, caller, wanted, wanted.order, route, now), False

    def _take(
        self,
        db: Connection,
        caller: Caller,
        wanted: EngineSubmission,
        order: SendBody,
        route: Route,
        now: int,
    ) -> int:
        order = msgspec.structs.replace(order, message=validation.message(order.message))
        accepted = self._intake.take(db, caller, order, route, now)
        number = ids.parse("msg", accepted.message_id)
        assert number is not None
        self._add(db, caller, wanted, number, number, now)
        return number

    def _add(
        self,
        db: Connection,
        caller: Caller,
        wanted: EngineSubmission,
        number: int,
        message: int | None,
        now: int,
    ) -> None:
        new = smpp.NewSubmission(
            id=number,
            tenant=caller.tenant,
            message=message,
            addresses=wanted.addresses,
            receipts=wanted.receipts,
            fingerprint=wanted.fingerprint,
            at=now,
        )
        smpp.add(db, new)

    # --- segments ------------------------------------------------------------------------------------

    def _store_segment(
        self,
        db: Connection,
        caller: Caller,
        wanted: EngineSubmission,
        segment: Segment,
        route: Route,
        now: int,
    ) -> int:
        """Store a segment, or with the last one the message. Return what its answer names."""
        text = wanted.order.message.encode("utf-16-be", "surrogatepass")
        same = smpp.segment(db, segment.long_message, segment.number)
        if same is not None:
            if same.text == text:
                return same.submission  # submitted twice
            # The engine uses the reference for another text: the first one never becomes complete.
            smpp.give_up(db, self._box.ids, segment.long_message, now)
        self._intake.check_recipient(db, caller, wanted.order.to)
        before = smpp.segments(db, segment.long_message)
        if len(before) + 1 == segment.total:
            texts = sorted([(row.number, row.text) for row in before] + [(segment.number, text)])
            whole = b"".join(octets for _, octets in texts).decode("utf-16-be", "replace")
            order = msgspec.structs.replace(wanted.order, message=whole)
            number = self._take(db, caller, wanted, order, route, now)
            smpp.joined(db, segment.long_message, number)
            return number
        if smpp.waiting_segments(db, caller.tenant) >= MOST_SEGMENTS:
            raise ApiError("QUEUE_FULL")
        number = self._box.ids.message(now)
        self._add(db, caller, wanted, number, None, now)
        row = smpp.SegmentRow(
            submission=number,
            tenant=caller.tenant,
            long_message=segment.long_message,
            number=segment.number,
            recipient=wanted.order.to,
            text=text,
            at=now,
        )
        smpp.add_segment(db, row)
        return number

    async def tidy(self) -> None:
        """Give up segments that wait too long, and deliveries that no engine took."""
        await self._box.clock_jumps.adjust()
        settings = self._box.config.smpp
        now = self._box.clock.now()
        before = now - round(settings.segment_seconds * 1000)
        overdue = await self._box.db.read(smpp.overdue, before, now + AHEAD_MS)
        for long_message in overdue:
            count = await self._box.db.write(smpp.give_up, self._box.ids, long_message, now)
            log.warning("smpp_segments_incomplete", segments=count)
        if overdue:
            self._box.wakeups.changed()
        if self._box.clock.trusted:
            before = now - round(settings.deliver_hours * 3_600_000)
            expired = await self._box.db.read(smpp.expired, before)
            if expired:
                await self._box.db.write(smpp.expire_deliveries, before)
                log.warning("smpp_deliveries_given_up", deliveries=expired)

    # --- afterwards ----------------------------------------------------------------------------------

    def _message(self, caller: Caller, message_id: str) -> str | None:
        """Return the message of a submission; None for a segment that waits. Raises MESSAGE_NOT_FOUND.

        Engines write an id in capitals, and some drop leading zeros.
        """
        digits = message_id.lower().removeprefix("msg_")
        number = ids.parse("msg", f"msg_{digits.rjust(16, '0')}")
        if number is None:
            raise ApiError("MESSAGE_NOT_FOUND")
        message, known = self._box.db.read_now(smpp.message_of, caller.tenant, number)
        if known and message is None:
            return None
        return ids.message_id(number if message is None else message)

    def query(self, caller: Caller, message_id: str) -> Tracked:
        """Return the state of a submission, or of any message of the client. Raises MESSAGE_NOT_FOUND."""
        if not caller.permissions.read:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "read"})
        found = self._message(caller, message_id)
        if found is None:
            return Tracked(MessageState.ENROUTE, None, 0)
        row = own_message(self._box, caller, found)
        state = state_of(Status(row.status), uncertain=bool(row.uncertain), error=row.error_code)
        final_at = row.delivered_at or row.failed_at or row.cancelled_at
        view = self._tracking.status(caller, found)
        return Tracked(state, final_at, (view.error.number if view.error else 0) or 0)

    async def cancel(self, caller: Caller, message_id: str) -> None:
        """Cancel a message. Raises MESSAGE_NOT_FOUND, CANNOT_CANCEL_MESSAGE (also for a segment that waits)."""
        found = self._message(caller, message_id)
        if found is None:
            raise ApiError("CANNOT_CANCEL_MESSAGE")
        await self._tracking.cancel(caller, found)
