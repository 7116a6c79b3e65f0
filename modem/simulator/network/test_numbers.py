"""Recipients that produce a failure, by their last seven digits 555 01 nn (see docs/simulator.md)."""

from __future__ import annotations

import re

import msgspec

from modem.simulator.faults import ReportFault, SendFault
from modem.simulator.settings import Settings


class Magic(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a part for such a number."""

    meaning: str
    send: SendFault | None = None
    once: bool = False  # `send` strikes each second part for the same number only
    report: ReportFault | None = None
    no_credit: bool = False
    late: bool = False  # the report comes Settings.late_report seconds late
    replies: str | None = None  # the handset answers; "{text}" is what it received


_NUMBER = re.compile(r"55501(\d\d)$")

TABLE = {
    "00": Magic(meaning="delivered"),
    "01": Magic(
        meaning="report: permanent failure, incompatible destination",
        report=ReportFault(status=(0x41,)),
    ),
    "02": Magic(
        meaning="report: permanent failure, validity period expired",
        report=ReportFault(status=(0x46,)),
    ),
    "03": Magic(meaning="accepted, but no report ever comes", report=ReportFault(lost=True)),
    "04": Magic(
        meaning="report: still trying (30), then delivered",
        report=ReportFault(status=(0x30, 0x00), apart=0.2),
    ),
    "05": Magic(
        meaning="CMS 38 (network out of order) at the first attempt, accepted at the second",
        send=SendFault(cms=38),
        once=True,
    ),
    "06": Magic(meaning="CMS 1: no such number", send=SendFault(cms=1)),
    "07": Magic(
        meaning="no credit: the operator's code for it (setting credit_cms)", no_credit=True
    ),
    "08": Magic(meaning="CMS 196: the recipient is barred", send=SendFault(cms=196)),
    "09": Magic(
        meaning="accepted, but the modem never answers; the report comes",
        send=SendFault(at="taken", silent=True),
    ),
    "10": Magic(meaning="not accepted, and the modem never answers", send=SendFault(silent=True)),
    "11": Magic(meaning="report late (setting late_report)", late=True),
    "12": Magic(meaning="report twice", report=ReportFault(copies=2)),
    "13": Magic(
        meaning="report: failed (62), then delivered after all",
        report=ReportFault(status=(0x62, 0x00), apart=0.2),
    ),
    "14": Magic(
        meaning="report: the service centre gave up (62)",
        report=ReportFault(status=(0x62,)),
    ),
    "15": Magic(meaning="CMS 42 (congestion) at every attempt", send=SendFault(cms=42)),
    "16": Magic(
        meaning="report with the number in national form and without times",
        report=ReportFault(recipient="national", zero_times=True),
    ),
    "17": Magic(meaning="report before the answer to AT+CMGS", report=ReportFault(early=True)),
    "18": Magic(meaning="delivered; the phone answers STOP", replies="STOP"),
    "19": Magic(meaning="delivered; the phone answers with the same text", replies="{text}"),
    "20": Magic(meaning="CMS 500 (unknown error) at every attempt", send=SendFault(cms=500)),
    "21": Magic(
        meaning="no credit, reported in words by the modem",
        send=SendFault(final="+CMS ERROR: no credit"),
    ),
    "22": Magic(meaning="CMS 304: the modem rejects the PDU", send=SendFault(cms=304)),
}


class Numbers:
    """The magic of one simulator; remembers who was refused once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refused: set[str] = set()

    def of(self, recipient: str) -> Magic | None:
        """What is special about a number."""
        if not self._settings.magic:
            return None
        found = _NUMBER.search(recipient)
        return TABLE.get(found[1]) if found else None

    def send(self, stage: str, recipient: str) -> SendFault | None:
        """What a number does to a send at this stage."""
        magic = self.of(recipient)
        if magic is None:
            return None
        fault = magic.send
        if magic.no_credit:
            fault = SendFault(cms=self._settings.credit_cms)
        if fault is None or fault.at != stage:
            return None
        if magic.once:
            if recipient in self._refused:
                self._refused.discard(recipient)
                return None
            self._refused.add(recipient)
        return fault

    def report(self, recipient: str) -> ReportFault | None:
        """What a number does to the reports on a part."""
        magic = self.of(recipient)
        if magic is None:
            return None
        return ReportFault(delay=self._settings.late_report) if magic.late else magic.report
