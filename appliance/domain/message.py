"""The state machines of messages and parts, as tables. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Status(StrEnum):
    """A message's public status (seed/tracking.md)."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PartState(StrEnum):
    """The state of one part."""

    WAITING = "waiting"
    SUBMITTED = "submitted"  # being submitted: stored before the first octet goes to the modem
    TAKEN = "taken"  # the network has accepted it
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"  # submitted without an answer: nobody knows whether it left
    DROPPED = "dropped"  # will not be sent: its message failed or was cancelled
    HELD = "held"  # came with a restored backup: the owner decides whether it is sent


class PartEvent(StrEnum):
    """An event in the life of a part."""

    HAND = "hand"
    TAKE = "take"
    BACK = "back"  # the modem or the network refused for now
    REFUSE = "refuse"  # for good
    LOSE = "lose"  # no answer after the text was submitted
    DELIVER = "deliver"  # a report with TP-Status 00
    UNDELIVER = "undeliver"  # a report of a permanent failure
    EXPIRE = "expire"  # ran out of time
    REPEAT = "repeat"  # send an uncertain part again (on_uncertain = resend)
    DROP = "drop"
    RESEND = "resend"
    HOLD = "hold"  # the backup that it is in was restored
    RELEASE = "release"  # the owner wants it sent


class ImpossibleStep(Exception):
    """A step that the table does not contain; nothing was changed."""


PART_STEPS: dict[tuple[PartState, PartEvent], PartState] = {
    (PartState.WAITING, PartEvent.HAND): PartState.SUBMITTED,
    (PartState.WAITING, PartEvent.EXPIRE): PartState.FAILED,
    (PartState.WAITING, PartEvent.REFUSE): PartState.FAILED,  # block list, our own PDU
    (PartState.WAITING, PartEvent.DROP): PartState.DROPPED,
    # A report on an earlier attempt, while the part waits to be sent again.
    (PartState.WAITING, PartEvent.DELIVER): PartState.DELIVERED,
    (PartState.SUBMITTED, PartEvent.TAKE): PartState.TAKEN,
    (PartState.SUBMITTED, PartEvent.BACK): PartState.WAITING,
    (PartState.SUBMITTED, PartEvent.REFUSE): PartState.FAILED,
    (PartState.SUBMITTED, PartEvent.LOSE): PartState.UNCERTAIN,
    (PartState.SUBMITTED, PartEvent.DELIVER): PartState.DELIVERED,  # a report on an earlier attempt
    (PartState.TAKEN, PartEvent.DELIVER): PartState.DELIVERED,
    (PartState.TAKEN, PartEvent.UNDELIVER): PartState.FAILED,
    (
        PartState.UNCERTAIN,
        PartEvent.TAKE,
    ): PartState.TAKEN,  # a report says that the network still tries
    (PartState.UNCERTAIN, PartEvent.DELIVER): PartState.DELIVERED,
    (PartState.UNCERTAIN, PartEvent.UNDELIVER): PartState.FAILED,
    (PartState.UNCERTAIN, PartEvent.EXPIRE): PartState.FAILED,
    (PartState.UNCERTAIN, PartEvent.REPEAT): PartState.WAITING,
    (
        PartState.FAILED,
        PartEvent.DELIVER,
    ): PartState.DELIVERED,  # a later 00 overrides any earlier failure
    (PartState.FAILED, PartEvent.RESEND): PartState.WAITING,
    (
        PartState.DROPPED,
        PartEvent.DELIVER,
    ): PartState.DELIVERED,  # it had arrived before the resend that failed
    (PartState.DROPPED, PartEvent.RESEND): PartState.WAITING,
    (PartState.TAKEN, PartEvent.RESEND): PartState.WAITING,  # resent whole
    (PartState.DELIVERED, PartEvent.RESEND): PartState.WAITING,
    (PartState.UNCERTAIN, PartEvent.RESEND): PartState.WAITING,
    (PartState.WAITING, PartEvent.HOLD): PartState.HELD,
    (PartState.SUBMITTED, PartEvent.HOLD): PartState.HELD,
    (PartState.UNCERTAIN, PartEvent.HOLD): PartState.HELD,
    (PartState.HELD, PartEvent.RELEASE): PartState.WAITING,
    (PartState.HELD, PartEvent.REFUSE): PartState.FAILED,  # the owner does not want it sent
    (PartState.HELD, PartEvent.EXPIRE): PartState.FAILED,
    (PartState.HELD, PartEvent.DROP): PartState.DROPPED,
    (
        PartState.HELD,
        PartEvent.DELIVER,
    ): PartState.DELIVERED,  # a report on its attempt before the backup
}

# docs/api-contract.md, "Tracking". There are no others.
TRANSITIONS: frozenset[tuple[Status, Status]] = frozenset(
    {
        (Status.QUEUED, Status.SENT),
        (Status.QUEUED, Status.CANCELLED),
        (Status.QUEUED, Status.FAILED),
        (Status.QUEUED, Status.DELIVERED),
        (Status.SENT, Status.DELIVERED),
        (Status.SENT, Status.FAILED),
        (Status.FAILED, Status.DELIVERED),
        (Status.FAILED, Status.QUEUED),
    }
)


def after(part: PartState, step: PartEvent) -> PartState:
    """Return the part's next state. Raises ImpossibleStep."""
    try:
        return PART_STEPS[part, step]
    except KeyError:
        raise ImpossibleStep(f"a {part} part cannot {step}") from None


def possible(part: PartState, step: PartEvent) -> bool:
    return (part, step) in PART_STEPS


def status(parts: Iterable[PartState]) -> Status:
    """Return the status that follows from the parts (a cancelled message has only dropped parts)."""
    states = set(parts)
    if states == {PartState.DROPPED}:
        return Status.CANCELLED
    # A part is dropped beside others because one of those has failed.
    if PartState.FAILED in states or PartState.DROPPED in states:
        return Status.FAILED
    if states == {PartState.DELIVERED}:
        return Status.DELIVERED
    if states <= {PartState.TAKEN, PartState.DELIVERED}:
        return Status.SENT
    return Status.QUEUED


def follow(before: Status, parts: Iterable[PartState], *, resent: bool = False) -> Status:
    """Return the status of a message that was `before`, from its parts.

    A failed message stays failed until every part is reported delivered, or it is resent: when the failed
    part arrives after all, the others may still be out, and failed → sent is no transition
    (docs/api-contract.md, "Tracking").
    """
    then = status(parts)
    if before == Status.FAILED and not resent and then != Status.DELIVERED:
        return before
    return then


def check(before: Status, then: Status) -> None:
    """Raise ImpossibleStep unless the contract has this transition."""
    if (before, then) not in TRANSITIONS:
        raise ImpossibleStep(f"a {before} message cannot become {then}")
