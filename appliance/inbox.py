"""Reports and received messages: read, committed, and only then deleted from the modem."""

from __future__ import annotations

import asyncio
from datetime import datetime
from sqlite3 import Connection, OperationalError

import structlog

from appliance import ids, joining
from appliance.box import Box
from appliance.devices import Attached
from appliance.matching import Heard
from appliance.store import blocked, inbound, reports
from appliance.store.database import StorageFull
from appliance.store.inbound import Part, Whole
from modem import pdu
from modem.interface import Received

log = structlog.get_logger(__name__)

RECORD_AGAIN_SECONDS = 2.0  # the store takes nothing (disk full): offered again


class Inbox:
    """Puts what a modem received where it belongs."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def receive(self, attached: Attached, received: Received) -> None:
        """Commit what this PDU says, then let the modem forget it. What cannot be read is kept raw.

        Nothing is dropped: what came directly (+CDS) is known nowhere else until it is committed.
        """
        while True:
            try:
                await self._commit(attached, received)
                break
            except (StorageFull, OperationalError):
                log.exception("received_not_recorded", device=attached.number)
                await asyncio.sleep(RECORD_AGAIN_SECONDS)
        if received.slot is not None:
            await attached.modem.forget(received.slot)
        self._box.bells.work()
        self._box.bells.changed()

    async def _commit(self, attached: Attached, received: Received) -> None:
        try:
            decoded = pdu.decode(received.hex)
            if isinstance(decoded, pdu.Report):
                await self._report(attached, received, decoded)
            else:
                await self._message(attached, received, decoded)
        except pdu.PduError as error:
            log.warning("pdu_undecodable", device=attached.number, reason=str(error))
            await self._keep_raw(attached, received, str(error))
        except (StorageFull, OperationalError, asyncio.CancelledError):
            raise
        except Exception as error:
            # Our own fault, with this PDU only: it must not stop those behind it, nor be lost.
            log.exception("received_not_understood", device=attached.number)
            await self._keep_raw(attached, received, repr(error))

    async def _keep_raw(self, attached: Attached, received: Received, reason: str) -> None:
        await self._box.db.write(
            inbound.undecodable, attached.number, received.hex, reason, self._box.clock.now()
        )

    async def _report(self, attached: Attached, received: Received, report: pdu.Report) -> None:
        now = self._box.clock.now()
        heard = Heard(report.reference, report.recipient, _ms(report.submitted_at), now)
        message = await self._box.db.write(
            reports.arrived,
            self._box.ids,
            attached.number,
            received.iccid or attached.iccid,
            heard,
            report.status,
            _ms(report.discharged_at),
            now,
        )
        log.info(
            "report_arrived",
            device=attached.number,
            reference=report.reference,
            tp_status=report.status,
            message=ids.message_id(message) if message else None,
        )

    async def _message(self, attached: Attached, received: Received, deliver: pdu.Deliver) -> None:
        found = await self._box.db.write(self._keep, attached, received, deliver)
        log.info("message_received", device=attached.number, outcome=found)

    def _keep(
        self, db: Connection, attached: Attached, received: Received, deliver: pdu.Deliver
    ) -> str:
        now = self._box.clock.now()
        sim = received.iccid or attached.iccid
        if not inbound.first_time(db, sim, received.hex, now):
            return "duplicate"
        text = deliver.text if deliver.text is not None else deliver.data.hex()
        together = deliver.concatenation
        if together is None or together.total <= 1:
            whole = Whole(deliver.sender, text, _ms(deliver.sent_at))
            return self._whole(db, attached.number, attached.test, whole, now)
        # 8- and 16-bit references are counted apart (23.040 9.2.3.24.8).
        reference = together.reference + (1 << 16 if together.wide else 0)
        part = Part(
            sender=deliver.sender,
            text=text,
            sent_at=_ms(deliver.sent_at),
            hex=received.hex,
            reference=reference,
            total=together.total,
            number=together.number,
        )
        rows = inbound.keep_part(db, attached.number, sim, part, now)
        if rows is None:
            return "part"
        # From the PDUs: a character that the sender cut in two is whole again.
        joined = pdu.join([r["hex"] for r in rows])
        if joined is None:
            joined = joining.join(((r["number"], r["text"]) for r in rows), part.total)
        whole = Whole(part.sender, joined, rows[0]["sent_at"])
        return self._whole(db, attached.number, attached.test, whole, now)

    def _whole(self, db: Connection, device: int, test: bool, whole: Whole, now: int) -> str:
        """A whole text: STOP and START are obeyed, and everything goes to its client's inbox."""
        settings = self._box.config.inbox
        wish = joining.wish(whole.text, settings.stop_words, settings.start_words)
        everyone = int(test)  # the scope of opt-outs: every client of this SIM
        if wish == "stop":
            blocked.add(db, everyone, whole.sender, "STOP", "stop", now, device)
        elif wish == "start":
            db.execute(
                "DELETE FROM blocked WHERE scope = ? AND number = ? AND source = 'stop'",
                (everyone, whole.sender),
            )
        scope = inbound.owner(
            db,
            device,
            test,
            whole.sender,
            round(settings.reply_days * 86_400_000),
            now,
        )
        if scope is None:
            inbound.undecodable(db, device, "", "no client to give it to", now)
            return "unowned"
        inbound.store(db, self._box.ids, device, scope, whole, now)
        return wish or "stored"

    def give_up_waiting(self, db: Connection, before: int) -> int:
        """Texts whose missing part does not come: given to their client, marked incomplete."""
        late = inbound.overdue(db, before)
        for rows in late:
            device = rows[0]["device"]
            test = db.execute("SELECT test FROM device WHERE id = ?", (device,)).fetchone()
            text = joining.join(((r["number"], r["text"]) for r in rows), rows[0]["total"])
            whole = Whole(rows[0]["sender"], text, rows[0]["sent_at"], incomplete=True)
            self._whole(db, device, bool(test and test[0]), whole, self._box.clock.now())
        return len(late)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
