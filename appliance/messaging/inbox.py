"""Reports and received messages: decoded, committed, and only then deleted from the modem."""

from __future__ import annotations

from datetime import datetime
from sqlite3 import Connection

import msgspec
import structlog

from appliance.context import Context
from appliance.core.stop_words import opt_keyword
from appliance.devices.attached import Attached
from appliance.domain import ids, reassembly
from appliance.domain.report_matching import ReportFields
from appliance.store import blocklist, reports
from appliance.store import received as received_store
from appliance.store.received import ReceivedPart, Whole
from appliance.store.rows import InboundPartRow
from modem.interface import ReceivedPdu
from modem.sms import mms, tpdu
from modem.sms.mms import MmsNotification

log = structlog.get_logger(__name__)

# How long a report waits for a commit to share. On a busy line the result of a send is committed within it; the
# modem keeps or repeats a report until then, or it would be lost by a power cut in this time (+CDS). Reports of a
# modem are stored one after another: this is 50 a second at least, more than any line sends. A backlog would give
# them a late time of arrival, by which they match later parts with the same reference.
SHARE_COMMIT_SECONDS = 0.02


class Inbox:
    """Stores what a modem received: reports and messages."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self._since = box.clock.now()

    async def receive(self, attached: Attached, received: ReceivedPdu) -> None:
        """Commit a received PDU, then delete it from the modem. A PDU that cannot be decoded is kept raw.

        Nothing is dropped: a direct PDU (+CDS) is known nowhere else until it is committed.
        """
        await self._commit(attached, received)
        await attached.modem.forget(received)
        self._box.wakeups.work()
        self._box.wakeups.changed()

    async def _commit(self, attached: Attached, received: ReceivedPdu) -> None:
        try:
            decoded = tpdu.decode(received.hex)
            if isinstance(decoded, tpdu.Report):
                await self._report(attached, received, decoded)
            else:
                await self._message(attached, received, decoded)
        except tpdu.PduError as error:
            log.warning("pdu_undecodable", device=attached.number, reason=str(error))
            await self._keep_raw(attached, received, str(error))
        except Exception as error:
            # An error of ours with this PDU: it must not stop later ones, nor be lost.
            log.exception("received_not_processed", device=attached.number)
            await self._keep_raw(attached, received, repr(error))

    async def _keep_raw(self, attached: Attached, received: ReceivedPdu, reason: str) -> None:
        await self._box.db.write_until_stored(
            received_store.undecodable, attached.number, received.hex, reason, self._box.clock.now()
        )

    async def _report(self, attached: Attached, received: ReceivedPdu, report: tpdu.Report) -> None:
        now = self._box.clock.now()
        fields = ReportFields(
            report.reference,
            report.recipient,
            _ms(report.scts),
            now,
            believed=self._box.clock.trusted,
        )
        found = await self._box.db.write_lazily(
            SHARE_COMMIT_SECONDS,
            reports.arrived,
            self._box.ids,
            attached.number,
            received.iccid or attached.iccid,
            fields,
            report.status,
            _ms(report.discharged_at),
            now,
        )
        log.info(
            "report_arrived",
            device=attached.number,
            reference=report.reference,
            tp_status=report.status,
            message=ids.message_id(found.key[0]) if found else None,
        )
        if found is not None and found.kind == "air":
            attached.modem.reported()
        elif found is not None and fields.scts and found.submitted_at >= self._since:
            # TP-SCTS of a part submitted since the start shows the current time. (Submissions from before may be
            # as old as a clock that stood still with the box.)
            epoch = now + fields.scts - found.submitted_at
            self._box.clock.compare_network_time(epoch / 1000)

    async def _message(
        self, attached: Attached, received: ReceivedPdu, deliver: tpdu.Deliver
    ) -> None:
        found = await self._box.db.write_until_stored(self._keep, attached, received, deliver)
        log.info("message_received", device=attached.number, outcome=found)

    def _keep(
        self, db: Connection, attached: Attached, received: ReceivedPdu, deliver: tpdu.Deliver
    ) -> str:
        now = self._box.clock.now()
        sim = received.iccid or attached.iccid
        if not received_store.first_time(db, sim, received.hex, now):
            return "duplicate"
        text = deliver.text
        if text is None or deliver.purpose is not tpdu.Purpose.TEXT:
            # No message for a client. Kept raw, so that what a picture message said is not lost.
            received_store.undecodable(db, attached.number, received.hex, deliver.purpose, now)
            if deliver.purpose is tpdu.Purpose.MMS_NOTIFICATION:
                # Its first part has the sender; the address of a long one may be in the second.
                self._picture(db, attached, mms.notification(deliver.data), deliver.sender, now)
            return deliver.purpose
        together = deliver.concatenation
        if together is None or together.total <= 1:
            whole = Whole(deliver.sender, text, _ms(deliver.sent_at), received.hex)
            return self._whole(db, attached.number, attached.test, whole, now)
        # 8- and 16-bit references are separate (23.040 9.2.3.24.8).
        reference = together.reference + (1 << 16 if together.wide else 0)
        part = ReceivedPart(
            sender=deliver.sender,
            text=text,
            sent_at=_ms(deliver.sent_at),
            hex=received.hex,
            reference=reference,
            total=together.total,
            number=together.number,
        )
        if earlier := received_store.overtaken(db, sim, part):
            self._incomplete(db, attached.number, attached.test, earlier, now)
        rows = received_store.keep_part(db, attached.number, sim, part, now)
        if rows is None:
            return "part"
        # Join the PDUs, which repairs characters that the sender split.
        digits = [r.hex for r in rows]
        joined = tpdu.join(digits)
        if joined is None:
            joined = reassembly.join(((r.number, r.text) for r in rows), part.total)
        whole = Whole(part.sender, joined, rows[0].sent_at, " ".join(digits))
        return self._whole(db, attached.number, attached.test, whole, now)

    def _picture(
        self, db: Connection, attached: Attached, found: MmsNotification, sms_sender: str, now: int
    ) -> None:
        """Tell the client of a sender that a picture message waits at the operator."""
        sender = self._sender(db, attached.test, found.sender or sms_sender)
        reply_ms = round(self._box.config.inbox.reply_days * 86_400_000)
        tenant = received_store.tenant_for(
            db, attached.number, attached.test, sender, reply_ms, now
        )
        if tenant is not None:
            received_store.store_picture(
                db, self._box.ids, attached.number, tenant, sender, found, now
            )

    def _whole(self, db: Connection, device: int, test: bool, whole: Whole, now: int) -> str:
        """Store a complete text in its client's inbox, and act on STOP and START."""
        settings = self._box.config.inbox
        keyword = opt_keyword(whole.text, settings.stop_words, settings.start_words)
        whole = msgspec.structs.replace(whole, sender=self._sender(db, test, whole.sender))
        if keyword == "stop":
            blocklist.opt_out(db, device, test, whole.sender, now)
        elif keyword == "start":
            blocklist.opt_in(db, device, test, whole.sender, now)
        tenant = received_store.tenant_for(
            db,
            device,
            test,
            whole.sender,
            round(settings.reply_days * 86_400_000),
            now,
        )
        if tenant is None:
            received_store.undecodable(db, device, whole.hex, received_store.UNOWNED, now)
            return "unowned"
        received_store.store(db, self._box.ids, device, tenant, whole, now)
        return keyword or "stored"

    def _sender(self, db: Connection, test: bool, sender: str) -> str:
        """The sender in the spelling that sending, block list and history use."""
        known = received_store.known_as(db, test, sender)
        return self._box.numbers.with_national().read_or_keep(known)

    def hand_out_unowned(self, db: Connection) -> int:
        """Give texts that came before any client to the client there is now; return how many.

        STOP and START in them took effect when they came.
        """
        given = 0
        for number, device, test, digits, at in received_store.unowned(db):
            parts = digits.split()
            first = tpdu.decode(parts[0])
            assert isinstance(first, tpdu.Deliver), "only texts are kept for this reason"
            sender = self._sender(db, test, first.sender)
            reply_ms = round(self._box.config.inbox.reply_days * 86_400_000)
            tenant = received_store.tenant_for(db, device, test, sender, reply_ms, at)
            if tenant is None:
                continue
            text, complete = _text_of(parts, first)
            whole = Whole(sender, text, _ms(first.sent_at), digits, incomplete=not complete)
            received_store.store(db, self._box.ids, device, tenant, whole, at)
            received_store.remove_raw(db, number)
            given += 1
        return given

    def give_up_waiting(self, db: Connection, before: int) -> int:
        """Deliver texts whose missing parts are overdue, marked incomplete; return how many."""
        late = received_store.overdue(db, before)
        for rows in late:
            device = rows[0].device
            test = db.execute("SELECT test FROM device WHERE id = ?", (device,)).fetchone()
            self._incomplete(db, device, bool(test and test[0]), rows, self._box.clock.now())
        return len(late)

    def _incomplete(
        self, db: Connection, device: int, test: bool, rows: list[InboundPartRow], now: int
    ) -> None:
        text = reassembly.join(((r.number, r.text) for r in rows), rows[0].total)
        digits = " ".join(r.hex for r in rows)
        whole = Whole(rows[0].sender, text, rows[0].sent_at, digits, incomplete=True)
        self._whole(db, device, test, whole, now)


def _text_of(pdus: list[str], first: tpdu.Deliver) -> tuple[str, bool]:
    """Return the text of the PDUs of a message in the order of its parts, and whether they are all there."""
    if first.concatenation is None:
        return first.text or "", True
    total = first.concatenation.total
    joined = tpdu.join(pdus) if len(pdus) == total else None
    if joined is not None:
        return joined, True
    parts = [tpdu.decode(each) for each in pdus]
    numbered = (
        (part.concatenation.number, part.text or "")
        for part in parts
        if isinstance(part, tpdu.Deliver) and part.concatenation is not None
    )
    return reassembly.join(numbered, total), len(pdus) == total


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
