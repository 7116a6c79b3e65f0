"""When each poll of a modem in service is due."""

from __future__ import annotations

import math
import time
from typing import Literal, get_args

Poll = Literal[
    "registration", "stores", "other_stores", "status", "clock", "sim", "settings", "probe"
]
_URGENT: tuple[Poll, ...] = ("registration", "stores")  # also while sends are open


class PollSchedule:
    """The due times of all polls, on the monotonic clock. A poll without one is due at once."""

    def __init__(self, repeat_seconds: float) -> None:
        self._repeat_seconds = repeat_seconds
        self._due: dict[Poll, float] = dict.fromkeys(get_args(Poll), 0.0)
        self._done: dict[Poll, float] = {}

    def is_due(self, poll: Poll) -> bool:
        return self._due[poll] <= time.monotonic()

    def at_once(self, poll: Poll) -> None:
        """Make a poll due, even if it has just been done."""
        self._due[poll] = 0.0

    def soon(self, poll: Poll) -> None:
        """Make a poll due now, or a moment after the last time: an answer may contain what asks for it."""
        done = self._done.get(poll)
        self._due[poll] = 0.0 if done is None else done + self._repeat_seconds

    def after(self, poll: Poll, seconds: float) -> None:
        """Make a poll due in this time."""
        self._due[poll] = time.monotonic() + seconds

    def at(self, poll: Poll, moment: float) -> None:
        """Make a poll due at this moment of the monotonic clock."""
        self._due[poll] = moment

    def never(self, poll: Poll) -> None:
        self._due[poll] = math.inf

    def done(self, poll: Poll, seconds: float) -> None:
        """Note that a poll is done now, and is due again in this time."""
        now = time.monotonic()
        self._done[poll] = now
        self._due[poll] = now + seconds

    def next_urgent(self) -> float:
        """Return when the next poll is due that does not wait for open sends."""
        return min(self._due[poll] for poll in _URGENT)

    def next_of_all(self) -> float:
        """Return when the next poll is due on an idle line."""
        return min(self._due.values())
