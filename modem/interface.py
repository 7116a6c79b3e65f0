"""What a modem is to the rest of the box: frozen values in, frozen values out, no I/O here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Protocol

import msgspec


class Verdict(StrEnum):
    """What an answer of the modem or the network means for the one who sent (see `modem.faults`)."""

    TAKEN = "taken"  # the network has it
    AGAIN = "again"  # a passing fault: try later; the only verdict that counts against the tries
    WAIT = "wait"  # nothing wrong with the message; the modem cannot send just now
    OWNER = "owner"  # someone must act (PIN, SIM, credit, SMSC): this modem pauses, others go on
    HOUSEKEEP = "housekeep"  # full store and the like: tidy up, then try again
    NEVER = "never"  # this message will never go
    UNKNOWN = "unknown"  # handed over, no answer: it may or may not have left


class Fault(msgspec.Struct, frozen=True):
    """The cause of a failure. `code` is the API's (docs/api-contract.md, "Errors while sending")."""

    verdict: Verdict
    code: Literal[
        "NETWORK_ERROR",
        "NO_CREDIT",
        "BLOCKED_NUMBER",
        "INVALID_NUMBER",
        "SMS_SEND_TIMEOUT",
        "DEVICE_ERROR",
    ]
    source: Literal["CMS", "CME", "TP-ST", "modem"]
    number: int | None  # the modem's own code, None where there was none
    english: str
    french: str
    suspicious: bool = False  # in a row over several recipients: no credit, wrong SMSC, SIM barred

    @property
    def by_network(self) -> bool:
        """Whether the network refused, not the modem: CMS below 256 (27.005 3.2.5)."""
        return self.source == "CMS" and self.number is not None and self.number < 256


class Outcome(msgspec.Struct, frozen=True):
    """What became of one part handed to the modem. `reference` is TP-MR (0-255), only when taken."""

    verdict: Verdict
    reference: int | None = None
    fault: Fault | None = None
    given: bool = True  # the modem had the text: whatever it says, the network may have it too


class Tpdu(msgspec.Struct, frozen=True):
    """An SMS-SUBMIT for AT+CMGS: `hex` with the leading SMSC octets, `length` without them."""

    hex: str
    length: int


class State(StrEnum):
    """Where a modem stands. Only `READY` sends."""

    OFFLINE = "offline"  # no port, or nothing answers on it
    STARTING = "starting"
    PIN_REQUIRED = "pin_required"
    PUK_REQUIRED = "puk_required"
    SIM_MISSING = "sim_missing"
    SIM_FAILURE = "sim_failure"
    SEARCHING = "searching"  # SIM fine, not registered yet (or any more)
    DENIED = "denied"  # the network refuses this SIM
    NO_SMSC = "no_smsc"
    READY = "ready"
    STOPPED = "stopped"


class Identity(msgspec.Struct, frozen=True):
    """Who modem and SIM are; an empty string where the modem would not say."""

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
        """What the SIM is told by: its ICCID, or its IMSI where the modem does not give one."""
        return self.iccid or self.imsi


class Status(msgspec.Struct, frozen=True):
    """A snapshot of one modem, replaced as a whole at each change."""

    state: State
    detail: str = ""  # one English sentence for the log and the doctor
    identity: Identity | None = None
    operator: str = ""
    technology: str = ""  # "GSM", "LTE", …
    signal_dbm: int | None = None
    registration: int | None = None  # 27.007 7.2 <stat>
    roaming: bool = False
    pin_tries_left: int | None = None
    stored: int = 0  # occupied places of the message store
    storage: int = 0  # its size
    report_mode: str = ""  # "direct" (+CDS), "stored" (+CDSI), "none"
    warning: str = ""  # "undervoltage" and the like, empty when all is well
    recoveries: Mapping[str, int] = {}  # times each step of the recovery ladder was taken
    last_error: str = ""


class Slot(msgspec.Struct, frozen=True):
    """Where in the modem's stores something lies: `storage` is "SM", "ME" or "SR"."""

    storage: str
    index: int


class Received(msgspec.Struct, frozen=True):
    """A DELIVER or STATUS-REPORT as it came. `slot` is None when it came directly (+CDS, +CMT).

    The receiver decodes `hex` itself (`modem.pdu.decode`), commits, and then calls `Modem.forget`.
    """

    hex: str
    slot: Slot | None
    iccid: str  # the SIM it came through


class Changed(msgspec.Struct, frozen=True):
    """The modem's status is another now."""

    status: Status


class NetworkTime(msgspec.Struct, frozen=True):
    """The network told the time: seconds since the epoch, UTC, at that moment of the clock that never jumps."""

    epoch: float
    heard_at: float = msgspec.field(default_factory=time.monotonic)


Event = Received | Changed | NetworkTime


class PinMemory(Protocol):
    """Remembers, durably, PIN tries that were made and not seen to succeed."""

    def failed(self, iccid: str, pin: str) -> bool: ...
    def trying(self, iccid: str, pin: str) -> None: ...
    def succeeded(self, iccid: str, pin: str) -> None: ...


class Modem(Protocol):
    """One modem with its SIM, on a line that may die and come back at any moment."""

    @property
    def status(self) -> Status: ...

    async def start(self) -> None:
        """Begin to bring the modem up, in the background and for ever. Returns at once."""

    async def stop(self) -> None:
        """Let an open send finish, then close the line."""

    async def send(self, tpdu: Tpdu) -> Outcome:
        """Hand one part over and wait for the network's answer. Never raises.

        WAIT means that not one octet of the text went out. UNKNOWN that it may have.
        """

    async def next_event(self) -> Event:
        """The next thing that came from the modem, in order. Waits."""

    async def forget(self, received: Received) -> None:
        """Delete a stored PDU whose content is committed on our side; only this one, of this SIM."""

    async def enter_pin(self, pin: str) -> str:
        """Try a PIN typed by the owner (from two tries left). Returns "" or why not."""

    async def unlock(self, puk: str, new_pin: str) -> str:
        """Try the owner's PUK, setting a new PIN. Returns "" or why not."""

    async def ussd(self, code: str) -> str:
        """Ask the operator a USSD question (27.007 7.15); its answer as text. Or `UssdError`."""

    async def restart(self) -> None:
        """Reset the modem (AT+CFUN=1,1) and bring it up again, after an open send."""


class UssdError(Exception):
    """The operator did not answer the question, with the reason in words."""
