"""Sending: claim the next part, submit it to the modem, record the outcome. One loop per modem."""

from __future__ import annotations

import asyncio
from sqlite3 import Connection

import structlog

from appliance.context import Context
from appliance.core.encryption import LostKey
from appliance.core.wakeup import SAFETY_POLL_SECONDS
from appliance.devices.attached import Attached
from appliance.domain import ids
from appliance.store import attempts, queue
from appliance.store.queue import Job, NothingReady, Sender
from modem.interface import N_, Fault, FaultKind, ModemState, Outcome, Tpdu, Verdict
from modem.sms import gsm7
from modem.sms import tpdu as tpdu_codec

log = structlog.get_logger(__name__)

# If the store accepts nothing (disk full), the outcome is kept in memory and stored again after this.
RECORD_AGAIN_SECONDS = 2.0
# How long the status of a sent message may wait for a commit to share, while the next one is on the line.
SHARE_COMMIT_SECONDS = 0.1
# Logging and wake-up events are delayed until the next part is on the line.
TELL_AFTER_SECONDS = 0.005


def encode(job: Job, text: str) -> Tpdu:
    """Encode a part as TPDU. Raises pdu.PduError."""
    plan = gsm7.plan(text, shifts=(job.shift,) if job.shift else ())
    concatenation = None
    if job.parts > 1 and job.concatenation is not None:
        concatenation = tpdu_codec.Concatenation(job.concatenation, job.parts, job.number)
    return tpdu_codec.encode_submit(
        tpdu_codec.Submit(
            recipient=job.recipient,
            text=plan.parts[job.number - 1],
            alphabet=plan.alphabet,
            shift=plan.shift,
            concatenation=concatenation,
            validity_minutes=job.validity_minutes,
            flash=job.flash,
        )
    )


OUR_OWN_FAULT = Fault(
    Verdict.NEVER,
    FaultKind.DEVICE,
    "modem",
    None,
    N_("The box could not put this text into an SMS."),
)
SYSTEM_SHORT = Fault(
    Verdict.WAIT,
    FaultKind.DEVICE,
    "modem",
    None,
    N_("The system of the box is short of memory or open files; nothing went out."),
)
KEY_LOST = Fault(
    Verdict.NEVER,
    FaultKind.DEVICE,
    "modem",
    None,
    N_("The key that protected this text while it waited is gone."),
)


class Outbox:
    """The sending loop of one modem."""

    def __init__(self, box: Context, attached: Attached) -> None:
        self._box = box
        self._attached = attached
        self._wakeup = box.wakeups.add_outbox()
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._encoded: tuple[Job, Tpdu | Outcome] | None = None
        self.waits = False  # for work
        self._claimed: asyncio.Future[Job | NothingReady] | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._recorded_at = 0.0  # when the last outcome was (monotonic)

    def stop(self) -> None:
        """Finish and record the open send; claim nothing more."""
        self._stopping = True
        self._wakeup.set()

    async def run(self) -> None:
        """Send until `stop`. Between two parts there is exactly one commit."""
        self._box.wakeups.claims.add(self._claim_soon)
        try:
            await self._send_all()
        finally:
            self._box.wakeups.claims.discard(self._claim_soon)
            self._box.wakeups.remove_outbox(self._wakeup)

    async def _send_all(self) -> None:
        while not self._stopping or self._claimed is not None:
            wait = SAFETY_POLL_SECONDS
            claimed, self._claimed = self._claimed, None
            if claimed is None and self._can_send():
                await self._box.clock_jumps.adjust()
                claimed = self._box.db.start_write(self._claim)
            if claimed is not None:
                found: Job | NothingReady | None = await claimed
                while isinstance(found, Job):
                    found = await self._send(found)
                wait = self._wait_seconds(found)
            if not self._stopping:
                self.waits = True
                try:
                    await self._box.clock.wait(self._wakeup, wait)
                finally:
                    self.waits = False

    def _claim_soon(self) -> None:
        """Claim in the next commit, if this loop waits for work."""
        free = self.waits and self._claimed is None and not self._stopping
        if free and self._can_send() and not self._box.clock_jumps.pending:
            self._claimed = self._box.db.start_write(self._claim)
            self._wakeup.set()

    def _can_send(self) -> bool:
        a = self._attached
        return (
            bool(a.number)
            and a.modem.status.state == ModemState.READY
            and not a.resting(self._box.clock)
        )

    def _wait_seconds(self, found: NothingReady | None) -> float:
        rest = self._attached.rest_seconds(self._box.clock)
        if rest:
            return min(rest, SAFETY_POLL_SECONDS)
        if found is None or found.ready_at is None:
            return SAFETY_POLL_SECONDS
        return min(max(found.ready_at - self._box.clock.now(), 1) / 1000, SAFETY_POLL_SECONDS)

    def _sender(self) -> Sender:
        a = self._attached
        return Sender(
            a.number,
            a.test,
            a.iccid,
            a.limits,
            only_urgent=a.bulk_held(self._box.clock),
            probe=a.may_probe(self._box.clock),
            clients=a.clients,
        )

    def _claim(self, db: Connection) -> Job | NothingReady:
        box = self._box
        found = queue.claim(
            db, box.ids, box.rules, self._sender(), box.clock.now(), box.clock.trusted
        )
        self._attached.held_by = found.held if isinstance(found, NothingReady) else ""
        if isinstance(found, Job):
            # Encode in the loop's thread, while this thread commits the claim.
            self._loop.call_soon_threadsafe(self._prepare, found)
        return found

    async def _send(self, job: Job) -> Job | NothingReady | None:
        """Send one part; then commit its result together with the next claim."""
        outcome = await self._submit(job)
        outcome = self._attached.learn(outcome, job.recipient, self._box.clock)
        found, settled = await self._record(job, outcome)
        self._loop.call_later(TELL_AFTER_SECONDS, self._tell, job, outcome)
        if not settled:
            task = asyncio.create_task(self._settle_later(job, self._box.clock.now()))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        return found

    async def _settle_later(self, job: Job, now: int) -> None:
        """Bring a message in line with its part, in a commit with others. A crash before is made good at the start."""
        try:
            await self._box.db.write_lazily(
                SHARE_COMMIT_SECONDS, attempts.settle_sent, self._box.ids, job.message, now
            )
        except Exception:  # an error of ours: its report, or the next start, settles it
            log.exception("sent_message_not_settled", message=ids.message_id(job.message))
        self._box.wakeups.changed()

    def _tell(self, job: Job, outcome: Outcome) -> None:
        log.info(
            "part_sent" if outcome.verdict == Verdict.TAKEN else "part_not_sent",
            message=ids.message_id(job.message),
            part=job.number,
            parts=job.parts,
            device=self._attached.number,
            verdict=outcome.verdict,
            reference=outcome.reference,
            fault=str(outcome.fault) if outcome.fault else None,
        )
        self._box.wakeups.changed()

    def _prepare(self, job: Job) -> None:
        self._encoded = (job, self._encode(job))

    def _encode(self, job: Job) -> Tpdu | Outcome:
        """Return the encoded part, or the outcome of a part that cannot be encoded."""
        try:
            text = self._box.encryption.decrypt(job.secret) if job.secret else job.body
            return encode(job, text)
        except LostKey:
            return Outcome(Verdict.NEVER, fault=KEY_LOST, given=False)
        except (OSError, ImportError, MemoryError):  # of the moment, not of the text
            log.exception("part_not_encoded", message=ids.message_id(job.message))
            return Outcome(Verdict.WAIT, fault=SYSTEM_SHORT, given=False)
        except Exception:
            log.exception("part_not_encoded", message=ids.message_id(job.message))
            return Outcome(Verdict.NEVER, fault=OUR_OWN_FAULT, given=False)

    async def _submit(self, job: Job) -> Outcome:
        ready, self._encoded = self._encoded, None  # not kept: it may be a code
        tpdu = ready[1] if ready and ready[0] is job else self._encode(job)
        if isinstance(tpdu, Outcome):
            return tpdu
        started = self._box.clock.monotonic()
        try:
            outcome = await self._attached.modem.send(tpdu)
        except Exception:
            # An error of ours, perhaps after the text was written. The part is stored as submitted and must be
            # settled, or its message would stay queued for ever.
            log.exception("submission_failed", message=ids.message_id(job.message))
            return Outcome(Verdict.UNKNOWN)
        if outcome.verdict == Verdict.TAKEN:
            self._attached.paced(self._box.clock.monotonic() - started)
        return outcome

    async def _record(self, job: Job, outcome: Outcome) -> tuple[Job | NothingReady | None, bool]:
        """Store the outcome, repeating until it succeeds: it is known nowhere else. Return whether it is settled.

        After a failure it is stored alone, so that a failing claim cannot prevent it.
        """
        alone = self._box.clock_jumps.pending
        if alone:
            self._wakeup.set()  # the next claim comes after that
        now = self._box.clock.monotonic()
        # A line this quick soon has a commit to share; on a slower one the status would cost a commit of its own.
        quick = now - self._recorded_at < SHARE_COMMIT_SECONDS / 2
        self._recorded_at = now
        while True:
            go_on = not alone and not self._stopping and self._can_send()
            try:
                return await self._box.db.write(self._record_and_claim, job, outcome, go_on, quick)
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("outcome_not_recorded", message=ids.message_id(job.message))
                alone = True
                self._wakeup.set()  # and then to the next
                await asyncio.sleep(RECORD_AGAIN_SECONDS)

    def _record_and_claim(
        self, db: Connection, job: Job, outcome: Outcome, go_on: bool, quick: bool
    ) -> tuple[Job | NothingReady | None, bool]:
        box, now = self._box, self._box.clock.now()
        settled = attempts.record(
            db, box.ids, box.rules, self._sender(), job, outcome, now, later=go_on and quick
        )
        found = self._claim(db) if go_on else None
        if not settled and not isinstance(found, Job):
            attempts.settle_sent(db, box.ids, job.message, now)
            settled = True
        return found, settled
