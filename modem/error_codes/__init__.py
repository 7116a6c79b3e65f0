"""Error codes of modems and networks: the tables behind `modem.error_codes.lookup`.

Each row: the standard's wording (modems with AT+CMEE=2 answer with it), the verdict, the API's
code, and a sentence for the owner.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from modem.interface import Verdict

Code = Literal[
    "NETWORK_ERROR",
    "NO_CREDIT",
    "BLOCKED_NUMBER",
    "INVALID_NUMBER",
    "SMS_SEND_TIMEOUT",
    "DEVICE_ERROR",
]


class Cause(msgspec.Struct, frozen=True):
    wording: str
    verdict: Verdict
    code: Code
    english: str
    suspicious: bool = False


def again(code: Code, wording: str, english: str) -> Cause:
    return Cause(wording, Verdict.AGAIN, code, english)


def suspicious(code: Code, wording: str, english: str) -> Cause:
    """May pass, but several recipients in a row mean: no credit, a wrong SMSC, a barred SIM."""
    return Cause(wording, Verdict.AGAIN, code, english, suspicious=True)


def never(code: Code, wording: str, english: str) -> Cause:
    return Cause(wording, Verdict.NEVER, code, english)


def owner(code: Code, wording: str, english: str) -> Cause:
    return Cause(wording, Verdict.OWNER, code, english)


def housekeep(wording: str, english: str) -> Cause:
    return Cause(wording, Verdict.HOUSEKEEP, "DEVICE_ERROR", english)


def unknown(wording: str, english: str) -> Cause:
    return Cause(wording, Verdict.UNKNOWN, "SMS_SEND_TIMEOUT", english)


SIM_MISSING: Final = "No SIM is inserted."
SIM_PIN: Final = "The SIM asks for its PIN."
SIM_PUK: Final = "The SIM is locked and asks for its PUK."
SIM_PIN2: Final = "The SIM asks for its PIN2."
SIM_PUK2: Final = "The SIM asks for its PUK2."
SIM_FAILURE: Final = "The SIM does not work; take it out, clean it and put it back, or replace it."
SIM_BUSY: Final = "The SIM is busy for the moment."
SIM_WRONG: Final = "The modem does not accept this SIM; it may be locked to another operator."
MODEM_LOCKED: Final = "The modem is locked to another SIM or operator and asks for its unlock code."
MEMORY: Final = "The modem could not use its message store."
MEMORY_FULL: Final = "The modem's message store is full."
NO_SERVICE: Final = "The modem has no network service."
NOT_ALLOWED: Final = "The modem does not allow this in the state it is in."
NOT_SUPPORTED: Final = "The modem cannot do this."
REFUSED_SIM: Final = "The network does not know this SIM; ask the operator whether it is active."
SMS_BARRED: Final = "The operator has barred this SIM from sending SMS; ask the operator."
NO_SMS_SERVICE: Final = "SMS is not part of this SIM's contract; ask the operator."
OUR_PDU: Final = "The modem says that the message is not well-formed."
