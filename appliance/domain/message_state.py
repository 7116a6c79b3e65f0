"""The state of a message as SMPP names it (5.2.28), honestly derived from what the box knows. Pure."""

from __future__ import annotations

from enum import IntEnum

from appliance.domain.errors import FailureCode
from appliance.domain.message import Status


class MessageState(IntEnum):
    """message_state of SMPP 3.4."""

    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8


_FAILED: dict[FailureCode, MessageState] = {
    "SMS_SEND_TIMEOUT": MessageState.EXPIRED,
    "BLOCKED_NUMBER": MessageState.REJECTED,
}


def state_of(status: Status, *, uncertain: bool, error: FailureCode | None) -> MessageState:
    """Return the state of a message. One that nobody can know is UNKNOWN, whatever its status."""
    if uncertain:
        return MessageState.UNKNOWN
    if status is Status.FAILED:
        return _FAILED.get(error or "DEVICE_ERROR", MessageState.UNDELIVERABLE)
    if status is Status.DELIVERED:
        return MessageState.DELIVERED
    return MessageState.DELETED if status is Status.CANCELLED else MessageState.ENROUTE
