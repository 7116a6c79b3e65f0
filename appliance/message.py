"""The state machine of a message and its parts, as tables. Pure: no clock, no store."""

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


class Part(StrEnum):
    """The state of one part."""

    WAITING = "waiting"
    HANDED = "handed"  # on its way to the modem: the row said so before the first octet went out
    TAKEN = "taken"  # the network has it
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"  # handed over, and nobody knows
    DROPPED = "dropped"  # will not be sent: its message failed or was cancelled


class Step(StrEnum):
    """What can happen to a part."""

    HAND = "hand"
    TAKE = "take"
    BACK = "back"  # the modem or the network would not, for now
    REFUSE = "refuse"  # for good
    LOSE = "lose"  # no answer after the text was handed over
    DELIVER = "deliver"  # a report with TP-Status 00
    UNDELIVER = "undeliver"  # a report that says it failed for good
    EXPIRE = "expire"  # ran out of time
    REPEAT = "repeat"  # sent again although nobody knows (on_uncertain = resend)
    DROP = "drop"
    RESEND = "resend"


class ImpossibleStep(Exception):
    """A step that the table does not have; nothing was changed."""


PART_STEPS: dict[tuple[Part, Step], Part] = {
    (Part.WAITING, Step.HAND): Part.HANDED,
    (Part.WAITING, Step.EXPIRE): Part.FAILED,
    (Part.WAITING, Step.REFUSE): Part.FAILED,  # block list, our own PDU
    (Part.WAITING, Step.DROP): Part.DROPPED,
    # A report for an earlier try of a part that waits to be sent again.
    (Part.WAITING, Step.DELIVER): Part.DELIVERED,
    (Part.HANDED, Step.TAKE): Part.TAKEN,
    (Part.HANDED, Step.BACK): Part.WAITING,
    (Part.HANDED, Step.REFUSE): Part.FAILED,
    (Part.HANDED, Step.LOSE): Part.UNCERTAIN,
    (Part.HANDED, Step.DELIVER): Part.DELIVERED,  # the report of an earlier try
    (Part.TAKEN, Step.DELIVER): Part.DELIVERED,
    (Part.TAKEN, Step.UNDELIVER): Part.FAILED,
    (
        Part.UNCERTAIN,
        Step.TAKE,
    ): Part.TAKEN,  # a report says that the network has it and still tries
    (Part.UNCERTAIN, Step.DELIVER): Part.DELIVERED,
    (Part.UNCERTAIN, Step.UNDELIVER): Part.FAILED,
    (Part.UNCERTAIN, Step.EXPIRE): Part.FAILED,
    (Part.UNCERTAIN, Step.REPEAT): Part.WAITING,
    (Part.FAILED, Step.DELIVER): Part.DELIVERED,  # a later 00 beats an earlier failure of any kind
    (Part.FAILED, Step.RESEND): Part.WAITING,
    (Part.DROPPED, Step.DELIVER): Part.DELIVERED,  # before the resend that failed, it had arrived
    (Part.DROPPED, Step.RESEND): Part.WAITING,
    (Part.TAKEN, Step.RESEND): Part.WAITING,  # resent whole
    (Part.DELIVERED, Step.RESEND): Part.WAITING,
    (Part.UNCERTAIN, Step.RESEND): Part.WAITING,
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


def after(part: Part, step: Step) -> Part:
    """The part's next state. Raises ImpossibleStep."""
    try:
        return PART_STEPS[part, step]
    except KeyError:
        raise ImpossibleStep(f"a {part} part cannot {step}") from None


def possible(part: Part, step: Step) -> bool:
    return (part, step) in PART_STEPS


def status(parts: Iterable[Part]) -> Status:
    """A message's status as its parts make it (a cancelled message has only dropped parts)."""
    states = set(parts)
    if states == {Part.DROPPED}:
        return Status.CANCELLED
    # A dropped part beside others was dropped because one of those had failed.
    if Part.FAILED in states or Part.DROPPED in states:
        return Status.FAILED
    if states == {Part.DELIVERED}:
        return Status.DELIVERED
    if states <= {Part.TAKEN, Part.DELIVERED}:
        return Status.SENT
    return Status.QUEUED


def follow(before: Status, parts: Iterable[Part], *, resent: bool = False) -> Status:
    """What a message that stood at `before` becomes, now that its parts stand so.

    A failed one stays failed until every part is reported delivered, or it is resent: when the one
    part that had failed arrives after all, the others may still be out (failed → sent is no transition).
    """
    then = status(parts)
    if before == Status.FAILED and not resent and then != Status.DELIVERED:
        return before
    return then


def check(before: Status, then: Status) -> None:
    """Raises ImpossibleStep unless the contract has this transition."""
    if (before, then) not in TRANSITIONS:
        raise ImpossibleStep(f"a {before} message cannot become {then}")
