"""The phones at the other end: they receive, join what belongs together, and may answer."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import msgspec

from modem.simulator.network.journal import Journal
from modem.simulator.network.test_numbers import Numbers
from modem.sms.tpdu import Submit

_MOST_INCOMPLETE = 1000  # messages whose missing part is still waited for, at all phones together


class Reply(msgspec.Struct, frozen=True, tag_field="do", tag="reply", forbid_unknown_fields=True):
    """What a phone answers to each message; "{text}" in it is what it received."""

    text: str
    to: str = "*"  # pattern of the phone's number
    times: int | None = None
    after: float = 0.0


class Handsets:
    """All phones of the world, by number."""

    def __init__(
        self, journal: Journal, numbers: Numbers, answer: Callable[[str, Reply, str], None]
    ) -> None:
        self._journal, self._numbers, self._answer = journal, numbers, answer
        self._open: dict[tuple[str, str, int, int], dict[int, tuple[Submit, int]]] = {}
        self.replies: list[Reply] = []
        self._answered: dict[int, int] = {}

    def receive(self, submit: Submit, part: int, imsi: str) -> None:
        """A part arrives at its phone."""
        joined = submit.concatenation
        if joined is None:
            self._complete([(submit, part)])
            return
        key = (imsi, submit.recipient, joined.reference, joined.total)
        parts = self._open.setdefault(key, {})
        if len(self._open) > _MOST_INCOMPLETE:
            del self._open[next(iter(self._open))]
        if joined.number in parts:
            # A phone shows the same part once only, whichever came first (23.040 9.2.3.24.1).
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
        """Messages of which a part is missing."""
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
        magic = self._numbers.of(number)
        return Reply(magic.replies) if magic and magic.replies else None

    def say_nothing(self) -> None:
        """No phone answers any more."""
        self.replies.clear()
        self._answered.clear()


def whole(text: str) -> str:
    """Text whose surrogate pairs were cut apart by a sender, mended; what is left over is U+FFFD."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
