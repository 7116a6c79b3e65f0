"""The network and its service centre: accept parts, report on them, deliver messages to the modem."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Protocol

import msgspec

from modem.interface import Tpdu
from modem.simulator.commands.errors import AtError, cms
from modem.simulator.faults import Faults, ReportFault
from modem.simulator.network.handset import Handsets, whole
from modem.simulator.network.journal import Journal
from modem.simulator.network.test_numbers import NumberOutcomes
from modem.simulator.network.ussd import UssdCentre
from modem.simulator.settings import Settings
from modem.simulator.timers import Timers
from modem.sms.tpdu import Deliver, Report, Submit, encode_deliver, encode_report

HOME, ROAMING = 1, 5
CAN_SEND = (HOME, ROAMING, 6, 7)  # 27.007 7.2: 6 and 7 are registered for SMS only


class Taken(StrEnum):
    """What the modem did with a TPDU from the network."""

    DIRECT = "direct"  # sent to the client at once (+CDS, +CMT)
    STORED = "stored"
    BUFFERED = "buffered"  # buffered until +CNMI allows it (+CNMI=0)
    DROPPED = "dropped"  # dropped as configured (<ds>=0)
    NOT = "not taken"  # unreachable, full or waiting for +CNMA: the network keeps it


class Arriving(msgspec.Struct, frozen=True, kw_only=True):
    """A TPDU on its way to one SIM."""

    imsi: str
    tpdu: Tpdu
    report: Report | None = None  # None: a message
    submit: int = 0  # journal id of the reported part
    sender: str = ""
    text: str = ""
    flash: bool = False


class Subscriber(Protocol):
    """The network's view of the modem."""

    def own_number(self, dialled: str) -> str: ...
    def arrive(self, arriving: Arriving) -> Taken: ...
    def registration_changed(self) -> None: ...
    def network_time_sent(self) -> None: ...


class _Due(msgspec.Struct, frozen=True):
    arriving: Arriving
    copies: int


class Network:
    """One operator with one subscriber. It keeps running while the modem is off."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        faults: Faults,
        numbers: NumberOutcomes,
        handsets: Handsets,
        chance: random.Random,
    ) -> None:
        self.settings, self.journal, self.faults = settings, journal, faults
        self.numbers, self.handsets, self.chance = numbers, handsets, chance
        self.timers = Timers()
        self.subscriber: Subscriber | None = None
        self.registration = settings.registration
        self.signal = settings.signal
        self.operator, self.plmn = settings.operator, settings.plmn
        self.credit = settings.credit
        self.clock_offset = 0.0  # seconds between the network's clock and this machine's
        self.zone_quarters = settings.zone_quarters
        self.ussd = UssdCentre()
        self.parts = 0  # accepted so far
        self.waiting: list[Arriving] = []  # until the subscriber is reachable
        self.held: list[_Due] = []
        self._swapped: list[_Due] = []
        self._retry: asyncio.TimerHandle | None = None

    def now(self) -> datetime:
        """Return the network's time, in its zone."""
        zone = timezone(timedelta(minutes=15 * self.zone_quarters))
        return datetime.now(UTC).astimezone(zone) + timedelta(seconds=self.clock_offset)

    def latency(self) -> float:
        """Return the seconds until the next part is accepted."""
        return self._around(self.settings.latency, self.settings.latency_jitter)

    def _around(self, middle: float, jitter: float) -> float:
        return max(0.0, middle + self.chance.uniform(-jitter, jitter)) if jitter else middle

    # -- from the modem

    def refusal(self) -> AtError | None:
        """Return the network's error for a part now, or None."""
        if self.registration not in CAN_SEND:
            return cms(331)
        if self.credit is not None and self.credit <= 0:
            return cms(self.settings.credit_cms)
        return None

    def accept(self, submit: Submit, tpdu: str, reference: int, imsi: str) -> int:
        """Accept a part: write it to the journal, then plan its report. Return its journal id."""
        self.parts += 1
        part = self.parts
        if self.credit is not None:
            self.credit -= 1
        joined = submit.concatenation
        self.journal.write(
            "submit",
            id=part,
            imsi=imsi,
            recipient=submit.recipient,
            reference=reference,
            tpdu=tpdu,
            text=whole(submit.text),
            alphabet=submit.alphabet,
            shift=submit.shift,
            concatenation=joined,
            validity_minutes=submit.validity_minutes,
            flash=submit.flash,
            report=submit.report,
        )
        if own := self.subscriber.own_number(submit.recipient) if self.subscriber else "":
            self._loop_back(submit, own, imsi)
        if submit.report:
            self._plan_reports(submit, reference, part, imsi)
        self.handsets.receive(submit, part, imsi)
        return part

    def _loop_back(self, submit: Submit, own: str, imsi: str) -> None:
        """Deliver a part for the sender's own number as any other message."""
        deliver = Deliver(
            sender=own,
            text=submit.text,
            data=submit.data,
            sent_at=self.now(),
            concatenation=submit.concatenation,
            alphabet=submit.alphabet,
            flash=submit.flash,
            shift=submit.shift,
            lock=submit.lock,
        )
        arriving = Arriving(
            imsi=imsi,
            tpdu=encode_deliver(deliver, self.settings.smsc),
            sender=own,
            text=whole(submit.text),
            flash=submit.flash,
        )

        def come_back() -> None:
            self.bring(arriving)

        seconds = self._around(self.settings.report_delay, self.settings.report_jitter)
        self.timers.later(seconds, come_back)

    # -- reports

    def _plan_reports(self, submit: Submit, reference: int, part: int, imsi: str) -> None:
        fault = self.faults.report(submit.recipient) or self.numbers.report(submit.recipient)
        fault = fault or ReportFault()
        if fault.lost:
            self.journal.write("report lost", submit=part, recipient=submit.recipient)
            return
        delay = fault.delay
        if delay is None:
            delay = self._around(self.settings.report_delay, self.settings.report_jitter)
        sent_at = self.now()
        for place, status in enumerate((0x00,) if fault.status is None else fault.status):
            due = delay + place * fault.apart
            done_at = sent_at + timedelta(seconds=due)
            report = Report(
                reference=reference,
                recipient=_reported_as(submit.recipient, fault.recipient),
                scts=None if fault.zero_times else sent_at,
                discharged_at=None if fault.zero_times else done_at,
                status=status,
            )
            arriving = Arriving(
                imsi=imsi,
                tpdu=encode_report(report, self.settings.smsc),
                report=report,
                submit=part,
            )
            self._schedule(_Due(arriving, fault.copies), fault, due)

    def _schedule(self, due: _Due, fault: ReportFault, seconds: float) -> None:
        if fault.hold:
            self.held.append(due)
        elif fault.early:
            self._send_report(due)
        elif fault.swap:
            self.timers.later(seconds, lambda: self._swapped.append(due))
        else:
            self.timers.later(seconds, lambda: self._send_report(due))

    def _send_report(self, due: _Due) -> None:
        for _ in range(due.copies):
            self.bring(due.arriving)
        swapped, self._swapped = self._swapped, []
        for each in swapped:
            self._send_report(each)

    def release(self) -> int:
        """Send the reports that a fault holds back. Return how many."""
        held, self.held = self.held + self._swapped, []
        self._swapped = []
        for due in held:
            self._send_report(due)
        return len(held)

    # -- to the modem

    def bring(self, arriving: Arriving) -> Taken:
        """Deliver a report or message to the modem, or keep it until that is possible."""
        taken = Taken.NOT
        if self.subscriber is not None and self.registration in CAN_SEND:
            taken = self.subscriber.arrive(arriving)
        if arriving.report is not None:
            self.journal.write(
                "report",
                submit=arriving.submit,
                reference=arriving.report.reference,
                status=arriving.report.status,
                recipient=arriving.report.recipient,
                tpdu=arriving.tpdu.hex,
                taken=taken,
            )
        else:
            self.journal.write(
                "incoming",
                sender=arriving.sender,
                text=arriving.text,
                tpdu=arriving.tpdu.hex,
                taken=taken,
            )
        if taken is Taken.NOT:
            self.keep(arriving)
        return taken

    def keep(self, arriving: Arriving) -> None:
        """Keep a TPDU that the modem did not take; retry later, or when the modem is reachable."""
        self.waiting.append(arriving)
        if self._retry is None:
            self._retry = self.timers.later(self.settings.retry_delay, self.flush)

    def flush(self) -> None:
        """Deliver everything that waits, in order; keep what is refused again."""
        self.timers.drop(self._retry)
        self._retry = None
        waiting, self.waiting = self.waiting, []
        for arriving in waiting:
            self.bring(arriving)

    # -- changes by command

    def register(self, stat: int) -> None:
        """Set <stat> of 27.007 7.2, and deliver what waited if the registration allows it."""
        self.registration = stat
        if self.subscriber is not None:
            self.subscriber.registration_changed()
        if stat in CAN_SEND:
            self.flush()


def _reported_as(recipient: str, form: str | None) -> str:
    """Return TP-RA as the network writes it, often in another form than dialled (23.040 9.2.3.14)."""
    if form is None:
        return recipient
    if form != "national":
        return form
    return "0" + recipient[3:] if recipient.startswith("+") else recipient
