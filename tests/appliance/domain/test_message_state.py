"""The state of a message for an engine is never better than what is known."""

from __future__ import annotations

import pytest

from appliance.domain.errors import FailureCode
from appliance.domain.message import Status
from appliance.domain.message_state import MessageState, state_of


@pytest.mark.parametrize(
    ("status", "uncertain", "error", "state"),
    [
        (Status.QUEUED, False, None, MessageState.ENROUTE),
        (Status.QUEUED, True, None, MessageState.UNKNOWN),
        (Status.SENT, False, None, MessageState.ENROUTE),
        (Status.DELIVERED, False, None, MessageState.DELIVERED),
        (Status.FAILED, True, "SMS_SEND_TIMEOUT", MessageState.UNKNOWN),
        (Status.FAILED, False, "SMS_SEND_TIMEOUT", MessageState.EXPIRED),
        (Status.FAILED, False, "BLOCKED_NUMBER", MessageState.REJECTED),
        (Status.FAILED, False, "NETWORK_ERROR", MessageState.UNDELIVERABLE),
        (Status.FAILED, False, None, MessageState.UNDELIVERABLE),
        (Status.CANCELLED, False, None, MessageState.DELETED),
    ],
)
def test_states(
    status: Status, uncertain: bool, error: FailureCode | None, state: MessageState
) -> None:
    assert state_of(status, uncertain=uncertain, error=error) is state
