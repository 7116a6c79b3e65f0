"""What a modem is to the rest of the box: frozen values and a protocol, no I/O."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Protocol

import msgspec


class Verdict(StrEnum):
    """The meaning of an answer for the next attempt (see `modem.error_codes.lookup`)."""

    TAKEN = "taken"  # the network has it
    AGAIN = "again"  # temporary: try later. The only verdict that counts as an attempt
    WAIT = "wait"  # the modem cannot send now; the message is fine
    OWNER = (
        "owner"  # the owner must act (PIN, SIM, credit, SMSC): this modem pauses, others continue
    )
    HOUSEKEEP = "housekeep"  # full storage or similar: clean up, then try again
    NEVER = "never"  # this message can never be sent
    UNKNOWN = "unknown"  # submitted without an answer: it may or may not have left


def N_(text: str) -> str:  # noqa: N802 - the name that gettext's tools look for
    """Mark an English text that others translate, who show it to people."""
    return text


class FaultKind(StrEnum):
    """What a failure is about."""

    NETWORK = "network"  # refused, or could not deliver
    CREDIT = "credit"
    BARRED = "barred"  # messages to this number
    NUMBER = "number"  # not in use
    TIMEOUT = "timeout"
    DEVICE = "device"  # the modem or its SIM


class Fault(msgspec.Struct, frozen=True):
    """The cause of a failure."""

    verdict: Verdict
    kind: FaultKind
    source: Literal["CMS", "CME", "TP-ST", "modem"]
    number: int | None  # the modem's code; None without one
    template: str  # English, with `{number}` and `{said}` in place of the number and the modem's own words
    suspicious: bool = False  # for several recipients in a row: no credit, wrong SMSC, SIM barred
    said: str = ""  # by a modem that answers in words of its own

    def __str__(self) -> str:
        return self.template.format(number=self.number, said=self.said)

    @property
    def by_network(self) -> bool:
        """Whether the network refused, rather than the modem: CMS below 256 (27.005 3.2.5)."""
        return self.source == "CMS" and self.number is not None and self.number < 256


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of submitting one part. `reference` is TP-MR (0-255), only if accepted."""

    verdict: Verdict
    reference: int | None = None
    fault: Fault | None = None
    given: bool = (
        True  # the modem had the text, so the network may have it too, whatever the answer
    )


class Tpdu(msgspec.Struct, frozen=True):
    """An SMS-SUBMIT for AT+CMGS: `hex` with the leading SMSC octets, `length` without them."""

    hex: str
    length: int


class ModemState(StrEnum):
    """The state of a modem. Only `READY` sends."""

    OFFLINE = "offline"  # no port, or no answer
    STARTING = "starting"
    REFUSING = "refusing"  # answers, but does not take or keep its settings
    PIN_REQUIRED = "pin_required"
    PUK_REQUIRED = "puk_required"
    SIM_MISSING = "sim_missing"
    SIM_FAILURE = "sim_failure"
    SEARCHING = "searching"  # the SIM is ready, but not registered
    DENIED = "denied"  # the network refuses this SIM
    NO_SMSC = "no_smsc"
    READY = "ready"
    STOPPED = "stopped"


class Limitation(StrEnum):
    """What a modem cannot do for the box, although it answers. The owner sees it on the page."""

    NO_STORAGE = "no_storage"  # no place for received messages, on the SIM or in the modem
    STORAGE_STUCK = "storage_stuck"  # full, and what is stored cannot be read or deleted
    NO_REPORTS = "no_reports"  # delivery reports do not reach the box
    RESTARTING = "restarting"  # it starts again and again


class Identity(msgspec.Struct, frozen=True):
    """The identity of modem and SIM; an empty string if the modem does not tell."""

    imei: str
    manufacturer: str = ""
    model: str = ""
    revision: str = ""
    imsi: str = ""
    iccid: str = ""
    smsc: str = ""
    phone_number: str = ""

    @property
    def sim(self) -> str:
        """The identifier of the SIM: its ICCID, or its IMSI if the modem does not tell."""
        return self.iccid or self.imsi


class ModemStatus(msgspec.Struct, frozen=True):
    """A snapshot of a modem, replaced as a whole with each change."""

    state: ModemState
    detail: str = ""  # one English sentence for the log and the doctor
    identity: Identity | None = None
    operator: str = ""
    technology: str = ""  # "GSM", "LTE", …
    signal_dbm: int | None = None
    registration: int | None = None  # 27.007 7.2 <stat>
    roaming: bool = False
    pin_tries_left: int | None = None
    stored: int = 0  # occupied places of the message storage
    storage: int = 0  # its size
    report_mode: str = ""  # "direct" (+CDS), "stored" (+CDSI), "none"
    warning: str = ""  # "undervoltage" and the like, empty when all is well
    limitations: frozenset[Limitation] = frozenset()
    recoveries: Mapping[str, int] = {}  # how often each recovery step was taken
    last_error: str = ""

    @property
    def storage_full(self) -> bool:
        return bool(self.storage) and self.stored >= self.storage

    def current(self) -> ModemStatus:
        """Return the status without what is known of a network that the modem has lost contact with."""
        if self.state in _IN_CONTACT:
            return self
        return msgspec.structs.replace(
            self, operator="", technology="", signal_dbm=None, registration=None
        )


_IN_CONTACT = {ModemState.READY, ModemState.SEARCHING, ModemState.DENIED, ModemState.NO_SMSC}


class Slot(msgspec.Struct, frozen=True):
    """A place in the message storage: `storage` is "SM", "ME" or "SR"."""

    storage: str
    index: int


class ReceivedPdu(msgspec.Struct, frozen=True):
    """A DELIVER or STATUS-REPORT as received. `slot` is None if it arrived directly (+CDS, +CMT).

    The receiver decodes `hex` itself (`modem.sms.tpdu.decode`), commits, and then calls `Modem.forget`.
    """

    hex: str
    slot: Slot | None
    iccid: str  # the SIM that received it


class Changed(msgspec.Struct, frozen=True):
    """The modem's status has changed."""

    status: ModemStatus


class NetworkTime(msgspec.Struct, frozen=True):
    """The network reported the time: seconds since the epoch (UTC), at a monotonic time."""

    epoch: float
    heard_at: float = msgspec.field(default_factory=time.monotonic)


Event = ReceivedPdu | Changed | NetworkTime


class PinMemory(Protocol):
    """Remembers, durably, PIN attempts that were not seen to succeed."""

    def failed(self, iccid: str, pin: str) -> bool: ...
    def trying(self, iccid: str, pin: str) -> None: ...
    def succeeded(self, iccid: str, pin: str) -> None: ...


class ReportMemory(Protocol):
    """Remembers, by IMEI, whether a modem keeps delivery reports until they are read."""

    def stored_reports(self, imei: str) -> bool | None:
        """Return the result of the last test, None without one."""

    def remember_stored_reports(self, imei: str, *, works: bool) -> None: ...


class Modem(Protocol):
    """A modem with its SIM, on a line that may fail and return at any time."""

    @property
    def status(self) -> ModemStatus: ...

    async def start(self) -> None:
        """Start the modem in the background, and keep it running. Return at once."""

    async def stop(self) -> None:
        """Let an open send finish, then close the line."""

    async def send(self, tpdu: Tpdu) -> Outcome:
        """Submit one part and wait for the network's answer. Never raises.

        WAIT means that no octet of the text was written; UNKNOWN means that it may have been sent.
        """

    def reported(self) -> None:
        """Stop waiting soon for the answer to the open send: a delivery report on it has arrived.

        A lost answer would block the line for more than two minutes, although the network has the part.
        """

    async def next_event(self) -> Event:
        """Wait for the next event from the modem, and return it. Events are in order."""

    async def forget(self, received: ReceivedPdu) -> None:
        """Delete a stored PDU whose content is committed; only this one, of this SIM."""

    async def enter_pin(self, pin: str) -> CodeRefused | None:
        """Try a PIN typed by the owner (from two tries left). Returns None or why not."""

    async def unlock(self, puk: str, new_pin: str) -> CodeRefused | None:
        """Try the owner's PUK, setting a new PIN. Returns None or why not."""

    async def ussd(self, code: str) -> str:
        """Send a USSD request (27.007 7.15) and return the answer as text. Raises UssdError."""

    async def restart(self) -> None:
        """Reset the modem (AT+CFUN=1,1) and start it again, after an open send."""


class CodeProblem(StrEnum):
    """Why a PIN or PUK was not accepted, or not even tried."""

    MALFORMED = "malformed"
    NOT_ASKED = "not_asked"  # the SIM wants no such code now
    WRONG = "wrong"
    REPEATED = "repeated"  # the same that was refused a moment ago; not tried again
    LAST_TRY = "last_try"  # left to the owner's phone
    NOT_RECORDED = "not_recorded"  # the try could not be stored on disk first, so it was not made
    NO_SIM = "no_sim"  # or one that does not work
    NO_ANSWER = "no_answer"  # of the modem


class CodeRefused(msgspec.Struct, frozen=True):
    """A PIN or PUK that was not accepted; `detail` is for the log."""

    problem: CodeProblem
    detail: str = ""


class UssdProblem(StrEnum):
    """Why a USSD request has no answer."""

    MALFORMED = "malformed"
    BUSY = "busy"  # with another request
    SILENT = "silent"  # the operator did not answer in time
    ENDED = "ended"  # the operator ended the dialogue, without a text
    UNKNOWN_CODE = "unknown_code"
    NO_NETWORK = "no_network"
    EMPTY = "empty"  # the operator answered without a text
    FAILED = "failed"  # the modem refused or did not answer


class UssdError(Exception):
    """The operator did not answer; `detail` is for the log."""

    def __init__(self, problem: UssdProblem, detail: str = "") -> None:
        super().__init__(f"{problem}: {detail}" if detail else str(problem))
        self.problem = problem
