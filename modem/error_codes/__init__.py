"""Error codes of modems and networks: the tables behind `modem.error_codes.lookup`.

A row has the standard's wording (modems with AT+CMEE=2 answer with it), the verdict, the kind and a
sentence for the owner.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final, TypeAlias

import msgspec

from modem.interface import FaultKind, Verdict

Row: TypeAlias = tuple[str, Verdict, FaultKind, str]


class Cause(msgspec.Struct, frozen=True):
    """A row by its names."""

    wording: str
    verdict: Verdict
    kind: FaultKind
    english: str
    suspicious: bool = False


def causes(rows: Mapping[int, Row], suspicious: Set[int]) -> Mapping[int, Cause]:
    """Return the rows of a table by their numbers."""
    return {number: Cause(*row, number in suspicious) for number, row in rows.items()}


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
