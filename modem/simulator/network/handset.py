"""The recipients' phones: they receive, reassemble and may reply."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import msgspec

from modem.simulator.network.journal import Journal
from modem.simulator.network.test_numbers import NumberOutcomes
from modem.sms.tpdu import Submit

_MOST_INCOMPLETE = 1000  # messages with missing parts, at all phones together


class Reply(msgspec.Struct, frozen=True, tag_field="do", tag="reply", forbid_unknown_fields=True):
    """A phone's reply to each message; "{text}" stands for the received text."""

    text: str
    to: str = "*"  # pattern of the phone's number
    times: int | None = None
    after: float = 0.0


class Handsets:
    """All phones, by number."""

    def __init__(
        self, journal: Journal, numbers: NumberOutcomes, answer: Callable[[str, Reply, str], None]
    ) -> None:
        self._journal, self._numbers, self._answer = journal, numbers, answer
        self._open: dict[tuple[str, str, int, int], dict[int, tuple[Submit, int]]] = {}
        self.replies: list[Reply] = []
        self._answered: dict[int, int] = {}

    def receive(self, submit: Submit, part: int, imsi: str) -> None:
        """Take a part that arrives at its phone."""
        joined = submit.concatenation
        if joined is None:
            self._complete([(submit, part)])
            return
        key = (imsi, submit.recipient, joined.reference, joined.total)
        parts = self._open.setdefault(key, {})
        if len(self._open) > _MOST_INCOMPLETE:
            del self._open[next(iter(self._open))]
        if joined.number in parts:
            # A phone shows a repeated part once (23.040 9.2.3.24.1).
            self._journal.write(
                "duplicate part",
                submit=part,
                first=parts[joined.number][1],
                recipient=submit.recipient,
            )
            return
        parts[joined.number] = (submit, part)
        if len(parts) == joined.total:
            del self._open[key]
            self._complete([parts[number] for number in sorted(parts)])

    @property
    def incomplete(self) -> int:
        """The number of messages with a part missing."""
        return len(self._open)

    def _complete(self, parts: list[tuple[Submit, int]]) -> None:
        first = parts[0][0]
        text = whole("".join(submit.text for submit, _ in parts))
        self._journal.write(
            "message",
            recipient=first.recipient,
            text=text,
            submits=[part for _, part in parts],
            flash=first.flash,
        )
        reply = self._reply(first.recipient)
        if reply is not None:
            self._answer(first.recipient, reply, text)

    def _reply(self, number: str) -> Reply | None:
        for place, reply in enumerate(self.replies):
            if not fnmatchcase(number, reply.to):
                continue
            answered = self._answered.get(place, 0)
            if reply.times is not None and answered >= reply.times:
                continue
            self._answered[place] = answered + 1
            return reply
        outcome = self._numbers.of(number)
        return Reply(outcome.replies) if outcome and outcome.replies else None

    def say_nothing(self) -> None:
        """Stop all replies."""
        self.replies.clear()
        self._answered.clear()


def whole(text: str) -> str:
    """Return a text with split surrogate pairs joined; a single half becomes U+FFFD."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
