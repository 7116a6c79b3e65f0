"""Test numbers: recipients with the last seven digits 555 01 nn produce failures (docs/simulator.md)."""

from __future__ import annotations

import re

import msgspec

from modem.simulator.faults import ReportFault, SendFault
from modem.simulator.settings import Settings


class NumberOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a part for one test number."""

    meaning: str
    send: SendFault | None = None
    once: bool = False  # `send` affects only every second part for the same number
    report: ReportFault | None = None
    no_credit: bool = False
    late: bool = False  # the report is Settings.late_report seconds late
    replies: str | None = None  # the handset's reply; "{text}" stands for the received text


_NUMBER = re.compile(r"55501(\d\d)$")

OUTCOMES = {
    "00": NumberOutcome(meaning="delivered"),
    "01": NumberOutcome(
        meaning="report: permanent failure, incompatible destination",
        report=ReportFault(status=(0x41,)),
    ),
    "02": NumberOutcome(
        meaning="report: permanent failure, validity period expired",
        report=ReportFault(status=(0x46,)),
    ),
    "03": NumberOutcome(
        meaning="accepted, but no report ever comes", report=ReportFault(lost=True)
    ),
    "04": NumberOutcome(
        meaning="report: still trying (30), then delivered",
        report=ReportFault(status=(0x30, 0x00), apart=0.2),
    ),
    "05": NumberOutcome(
        meaning="CMS 38 (network out of order) at the first attempt, accepted at the second",
        send=SendFault(cms=38),
        once=True,
    ),
    "06": NumberOutcome(meaning="CMS 1: no such number", send=SendFault(cms=1)),
    "07": NumberOutcome(
        meaning="no credit: the operator's code for it (setting credit_cms)", no_credit=True
    ),
    "08": NumberOutcome(meaning="CMS 196: the recipient is barred", send=SendFault(cms=196)),
    "09": NumberOutcome(
        meaning="accepted, but the modem never answers; the report comes",
        send=SendFault(at="taken", silent=True),
    ),
    "10": NumberOutcome(
        meaning="not accepted, and the modem never answers", send=SendFault(silent=True)
    ),
    "11": NumberOutcome(meaning="report late (setting late_report)", late=True),
    "12": NumberOutcome(meaning="report twice", report=ReportFault(copies=2)),
    "13": NumberOutcome(
        meaning="report: failed (62), then delivered after all",
        report=ReportFault(status=(0x62, 0x00), apart=0.2),
    ),
    "14": NumberOutcome(
        meaning="report: the service centre gave up (62)",
        report=ReportFault(status=(0x62,)),
    ),
    "15": NumberOutcome(meaning="CMS 42 (congestion) at every attempt", send=SendFault(cms=42)),
    "16": NumberOutcome(
        meaning="report with the number in national form and without times",
        report=ReportFault(recipient="national", zero_times=True),
    ),
    "17": NumberOutcome(
        meaning="report before the answer to AT+CMGS", report=ReportFault(early=True)
    ),
    "18": NumberOutcome(meaning="delivered; the phone answers STOP", replies="STOP"),
    "19": NumberOutcome(
        meaning="delivered; the phone answers with the same text", replies="{text}"
    ),
    "20": NumberOutcome(
        meaning="CMS 500 (unknown error) at every attempt", send=SendFault(cms=500)
    ),
    "21": NumberOutcome(
        meaning="no credit, reported in words by the modem",
        send=SendFault(final="+CMS ERROR: no credit"),
    ),
    "22": NumberOutcome(meaning="CMS 304: the modem rejects the PDU", send=SendFault(cms=304)),
}


class NumberOutcomes:
    """The test numbers of one simulator, with a memory of the first refusals."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refused: set[str] = set()

    def of(self, recipient: str) -> NumberOutcome | None:
        """Return the outcome for a number, or None for an ordinary one."""
        if not self._settings.magic:
            return None
        found = _NUMBER.search(recipient)
        return OUTCOMES.get(found[1]) if found else None

    def send(self, stage: str, recipient: str) -> SendFault | None:
        """Return the fault of a number for a send at this stage, if any."""
        outcome = self.of(recipient)
        if outcome is None:
            return None
        fault = outcome.send
        if outcome.no_credit:
            fault = SendFault(cms=self._settings.credit_cms)
        if fault is None or fault.at != stage:
            return None
        if outcome.once:
            if recipient in self._refused:
                self._refused.discard(recipient)
                return None
            self._refused.add(recipient)
        return fault

    def report(self, recipient: str) -> ReportFault | None:
        """Return the fault of a number for the reports of a part, if any."""
        outcome = self.of(recipient)
        if outcome is None:
            return None
        return ReportFault(delay=self._settings.late_report) if outcome.late else outcome.report
