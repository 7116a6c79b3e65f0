"""TP-Status of delivery reports (23.040 9.2.3.15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from modem.interface import FaultKind

NETWORK = FaultKind.NETWORK


class End(msgspec.Struct, frozen=True):
    """What a TP-Status says, and its kind should it be a failure."""

    english: str
    kind: FaultKind = NETWORK


_BUSY_NETWORK: Final = "The network was overloaded."
_BUSY_PHONE: Final = "The recipient's phone was busy."
_SILENT_PHONE: Final = "The recipient's phone did not answer; it may be off or out of reach."
_REJECTED: Final = "The network rejected the message."
_QUALITY: Final = "The network could not give the service asked for."
_PHONE_ERROR: Final = "The recipient's phone reported an error."

# TP-Status: text, kind of a failure
# fmt: off
_ROWS: Final[Mapping[int, tuple[str, FaultKind]]] = {
    0x00: ("Delivered to the phone.", NETWORK),
    0x01: ("Passed on to another network or service, which cannot confirm the delivery.", NETWORK),
    0x02: ("Replaced at the service centre by a later message.", NETWORK),
    0x20: (_BUSY_NETWORK, NETWORK),
    0x21: (_BUSY_PHONE, NETWORK),
    0x22: (_SILENT_PHONE, NETWORK),
    0x23: (_REJECTED, NETWORK),
    0x24: (_QUALITY, NETWORK),
    0x25: (_PHONE_ERROR, NETWORK),
    0x40: ("The networks could not understand each other.", NETWORK),
    0x41: ("The destination cannot receive SMS.", NETWORK),
    0x42: ("The recipient's phone or service refused the message.", NETWORK),
    0x43: ("This number cannot be reached: it is not in use.", FaultKind.NUMBER),
    0x44: (_QUALITY, NETWORK),
    0x45: ("There is no connection to the recipient's network.", NETWORK),
    0x46: ("The message's validity ended before it could be delivered.", FaultKind.TIMEOUT),
    0x47: ("Deleted by the sender.", NETWORK),
    0x48: ("Deleted by the operator of the service centre.", NETWORK),
    0x49: ("The service centre does not have this message.", NETWORK),
    0x60: (_BUSY_NETWORK, NETWORK),
    0x61: (_BUSY_PHONE, NETWORK),
    0x62: (_SILENT_PHONE, NETWORK),
    0x63: (_REJECTED, NETWORK),
    0x64: (_QUALITY, NETWORK),
    0x65: (_PHONE_ERROR, NETWORK),
}
# fmt: on

TP_STATUS: Final[Mapping[int, End]] = {status: End(*row) for status, row in _ROWS.items()}
