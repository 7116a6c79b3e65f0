"""Why a part failed, as stored: JSON with the API's code and a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from appliance.core.i18n import Text, _
from appliance.domain.errors import FailureCode
from modem.interface import Fault, FaultKind

# The kinds of a modem's failures as the API names them (docs/api-contract.md, "Errors while sending").
FAILURE_CODES: Mapping[FaultKind, FailureCode] = {
    FaultKind.NETWORK: "NETWORK_ERROR",
    FaultKind.CREDIT: "NO_CREDIT",
    FaultKind.BARRED: "BLOCKED_NUMBER",
    FaultKind.NUMBER: "INVALID_NUMBER",
    FaultKind.TIMEOUT: "SMS_SEND_TIMEOUT",
    FaultKind.DEVICE: "DEVICE_ERROR",
}


def cause(code: FailureCode, text: Text) -> str:
    """Return a cause of the box itself."""
    return msgspec.json.encode({"code": code, "text": text}).decode()


def fault_text(fault: Fault) -> Text:
    """Return the text of a fault, for translation."""
    values: dict[str, str | int] = {}
    if "{number}" in fault.template and fault.number is not None:
        values["number"] = fault.number
    if "{said}" in fault.template:
        values["said"] = fault.said
    return Text(fault.template, tuple(values.items()))


# An uncertain part whose window has ended.
NO_ANSWER = cause(
    "SMS_SEND_TIMEOUT",
    _("The message was handed over and no answer came; it may or may not have arrived."),
)

HELD_TOO_LONG = cause(
    "SMS_SEND_TIMEOUT",
    _(
        "The box was restored from a backup and nobody decided in time whether to send this "
        "message again; it may have left before the restore."
    ),
)
DROPPED_BY_OWNER = cause(
    "SMS_SEND_TIMEOUT",
    _(
        "The box was restored from a backup and its owner decided not to send this message "
        "again; it may have left before the restore."
    ),
)

# The failures of which nobody knows whether they are one.
UNKNOWN_OUTCOMES = (NO_ANSWER, HELD_TOO_LONG, DROPPED_BY_OWNER)


def fault_cause(fault: Fault | None) -> str | None:
    """Return a fault as stored with a part."""
    if fault is None:
        return None
    return msgspec.json.encode(
        {
            "code": FAILURE_CODES[fault.kind],
            "text": fault_text(fault),
            "source": fault.source,
            "number": fault.number,
        }
    ).decode()


class StoredCause(msgspec.Struct, frozen=True):
    """A cause as it is read back."""

    text: Text | None = None
    source: Literal["CMS", "CME", "TP-ST", "modem"] | None = None
    number: int | None = None


def stored_cause(detail: str | None) -> StoredCause:
    """Return a stored cause; an empty one where none is stored."""
    return msgspec.json.decode(detail or "{}", type=StoredCause)
