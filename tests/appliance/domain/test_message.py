"""The state machine, as tables."""

from __future__ import annotations

import itertools

import pytest

from appliance.domain import message
from appliance.domain.message import ImpossibleStep, PartEvent, PartState, Status


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ("waiting", Status.QUEUED),
        ("submitted", Status.QUEUED),  # a message being handed over is still queued
        ("uncertain", Status.QUEUED),
        ("taken", Status.SENT),
        ("delivered", Status.DELIVERED),
        ("failed", Status.FAILED),
        ("dropped", Status.CANCELLED),
        ("taken taken", Status.SENT),
        ("taken waiting", Status.QUEUED),  # sent only when the network has taken every part
        ("taken delivered", Status.SENT),  # delivered only when every part is
        ("delivered delivered", Status.DELIVERED),
        ("delivered failed", Status.FAILED),
        ("failed dropped", Status.FAILED),
        (
            "delivered dropped",
            Status.FAILED,
        ),  # the failed one was delivered late, the dropped never went
        ("uncertain taken", Status.QUEUED),
        ("uncertain failed", Status.FAILED),
    ],
)
def test_the_status_of_a_message_follows_from_its_parts(parts: str, status: Status) -> None:
    assert message.status(PartState(p) for p in parts.split()) == status


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ("delivered taken", Status.FAILED),  # the failed part arrived after all, the other is out
        ("delivered uncertain", Status.FAILED),
        ("delivered delivered", Status.DELIVERED),
    ],
)
def test_a_failed_message_stays_failed_until_all_of_it_arrived(parts: str, status: Status) -> None:
    assert message.follow(Status.FAILED, [PartState(p) for p in parts.split()]) == status


def test_a_resent_message_is_queued_again() -> None:
    assert message.follow(Status.FAILED, [PartState.WAITING], resent=True) == Status.QUEUED


def test_an_impossible_transition_raises() -> None:
    for part, step in itertools.product(PartState, PartEvent):
        if (part, step) not in message.PART_STEPS:
            with pytest.raises(ImpossibleStep):
                message.after(part, step)


def test_delivered_and_cancelled_are_final() -> None:
    for final in (Status.DELIVERED, Status.CANCELLED):
        for then in Status:
            with pytest.raises(ImpossibleStep):
                message.check(final, then)


def test_the_contract_has_eight_transitions_and_no_other() -> None:
    allowed = {
        (a.value, b.value)
        for a, b in itertools.product(Status, Status)
        if (a, b) in message.TRANSITIONS
    }
    assert allowed == {
        ("queued", "sent"),
        ("queued", "cancelled"),
        ("queued", "failed"),
        ("queued", "delivered"),
        ("sent", "delivered"),
        ("sent", "failed"),
        ("failed", "delivered"),
        ("failed", "queued"),
    }
