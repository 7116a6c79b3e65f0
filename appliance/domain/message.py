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


class Part(StrEnum):
    """The state of one part."""

    WAITING = "waiting"
    HANDED = "handed"  # being submitted: stored before the first octet goes to the modem
    TAKEN = "taken"  # the network has accepted it
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"  # submitted without an answer: nobody knows whether it left
    DROPPED = "dropped"  # will not be sent: its message failed or was cancelled


class Step(StrEnum):
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


class ImpossibleStep(Exception):
    """A step that the table does not contain; nothing was changed."""


PART_STEPS: dict[tuple[Part, Step], Part] = {
    (Part.WAITING, Step.HAND): Part.HANDED,
    (Part.WAITING, Step.EXPIRE): Part.FAILED,
    (Part.WAITING, Step.REFUSE): Part.FAILED,  # block list, our own PDU
    (Part.WAITING, Step.DROP): Part.DROPPED,
    # A report on an earlier attempt, while the part waits to be sent again.
    (Part.WAITING, Step.DELIVER): Part.DELIVERED,
    (Part.HANDED, Step.TAKE): Part.TAKEN,
    (Part.HANDED, Step.BACK): Part.WAITING,
    (Part.HANDED, Step.REFUSE): Part.FAILED,
    (Part.HANDED, Step.LOSE): Part.UNCERTAIN,
    (Part.HANDED, Step.DELIVER): Part.DELIVERED,  # a report on an earlier attempt
    (Part.TAKEN, Step.DELIVER): Part.DELIVERED,
    (Part.TAKEN, Step.UNDELIVER): Part.FAILED,
    (
        Part.UNCERTAIN,
        Step.TAKE,
    ): Part.TAKEN,  # a report says that the network still tries
    (Part.UNCERTAIN, Step.DELIVER): Part.DELIVERED,
    (Part.UNCERTAIN, Step.UNDELIVER): Part.FAILED,
    (Part.UNCERTAIN, Step.EXPIRE): Part.FAILED,
    (Part.UNCERTAIN, Step.REPEAT): Part.WAITING,
    (Part.FAILED, Step.DELIVER): Part.DELIVERED,  # a later 00 overrides any earlier failure
    (Part.FAILED, Step.RESEND): Part.WAITING,
    (Part.DROPPED, Step.DELIVER): Part.DELIVERED,  # it had arrived before the resend that failed
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
    """Return the part's next state. Raises ImpossibleStep."""
    try:
        return PART_STEPS[part, step]
    except KeyError:
        raise ImpossibleStep(f"a {part} part cannot {step}") from None


def possible(part: Part, step: Step) -> bool:
    return (part, step) in PART_STEPS


def status(parts: Iterable[Part]) -> Status:
    """Return the status that follows from the parts (a cancelled message has only dropped parts)."""
    states = set(parts)
    if states == {Part.DROPPED}:
        return Status.CANCELLED
    # A part is dropped beside others because one of those has failed.
    if Part.FAILED in states or Part.DROPPED in states:
        return Status.FAILED
    if states == {Part.DELIVERED}:
        return Status.DELIVERED
    if states <= {Part.TAKEN, Part.DELIVERED}:
        return Status.SENT
    return Status.QUEUED


def follow(before: Status, parts: Iterable[Part], *, resent: bool = False) -> Status:
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
