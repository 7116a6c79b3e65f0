"""TP-Status of delivery reports (23.040 9.2.3.15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from modem.error_codes import Code


class End(msgspec.Struct, frozen=True):
    """What a TP-Status says, and the API's code should it be a failure."""

    english: str
    code: Code = "NETWORK_ERROR"


_BUSY_NETWORK = "The network was overloaded."
_BUSY_PHONE = "The recipient's phone was busy."
_SILENT_PHONE = "The recipient's phone did not answer; it may be off or out of reach."
_REJECTED = "The network rejected the message."
_QUALITY = "The network could not give the service asked for."
_PHONE_ERROR = "The recipient's phone reported an error."


TP_STATUS: Final[Mapping[int, End]] = {
    0x00: End("Delivered to the phone."),
    0x01: End(
        "Passed on to another network or service, which cannot confirm the delivery.",
    ),
    0x02: End(
        "Replaced at the service centre by a later message.",
    ),
    0x20: End(_BUSY_NETWORK),
    0x21: End(_BUSY_PHONE),
    0x22: End(_SILENT_PHONE),
    0x23: End(_REJECTED),
    0x24: End(_QUALITY),
    0x25: End(_PHONE_ERROR),
    0x40: End(
        "The networks could not understand each other.",
    ),
    0x41: End(
        "The destination cannot receive SMS.",
    ),
    0x42: End(
        "The recipient's phone or service refused the message.",
    ),
    0x43: End(
        "This number cannot be reached: it is not in use.",
        "INVALID_NUMBER",
    ),
    0x44: End(_QUALITY),
    0x45: End(
        "There is no connection to the recipient's network.",
    ),
    0x46: End(
        "The message's validity ended before it could be delivered.",
        "SMS_SEND_TIMEOUT",
    ),
    0x47: End("Deleted by the sender."),
    0x48: End(
        "Deleted by the operator of the service centre.",
    ),
    0x49: End(
        "The service centre does not have this message.",
    ),
    0x60: End(_BUSY_NETWORK),
    0x61: End(_BUSY_PHONE),
    0x62: End(_SILENT_PHONE),
    0x63: End(_REJECTED),
    0x64: End(_QUALITY),
    0x65: End(_PHONE_ERROR),
}
