"""Detection of restarts from the lines of a modem. Pure: the time is passed in."""

from __future__ import annotations

from enum import Enum, auto

from modem.at.line_parser import BOOT_LINES, RESET_LINES


class Meaning(Enum):
    NOTHING = auto()
    TAIL = auto()  # the end of a start that we expect
    SUSPECT = auto()  # perhaps a restart: check whether the settings are still there
    RESTART = auto()  # all our settings are lost


_REPEATED_LINES = 2  # start-up lines that occur again: one may be repeated, two are another start


class RestartDetector:
    """Tracks the start-up lines of a modem since its last known start (each occurs once per start).

    RDY occurs only with a fixed speed; an auto-bauding SIM800 sends nothing before "Call Ready". A line of the
    end of a start ("PB DONE") may be very late, and proves no restart by itself.
    """

    def __init__(self, now: float, tail_seconds: float) -> None:
        self._began = now
        self._tail_seconds = tail_seconds
        self._seen: set[str] = set()
        self._again: set[str] = set()

    def began(self, now: float) -> None:
        """Expect a start: the port was opened, or we have reset the modem."""
        self._began = now
        self._seen = set()
        self._again = set()

    @property
    def seen_any(self) -> bool:
        """Return whether any start-up line was received since then."""
        return bool(self._seen)

    def line(self, line: str, now: float) -> Meaning:
        """Return what a line received at `now` (monotonic seconds) means for the detection of restarts."""
        if not (BOOT_LINES.match(line) or RESET_LINES.match(line)):
            return Meaning.NOTHING
        word = line.upper()
        if RESET_LINES.match(line):
            self.began(now)
            self._seen = {word}
            return Meaning.RESTART
        repeated = word in self._seen
        starting = now - self._began < self._tail_seconds
        expected = self.seen_any and not repeated and starting
        self._seen.add(word)
        if repeated:
            self._again.add(word)
        if len(self._again) >= _REPEATED_LINES and not starting:
            again = self._again
            self.began(now)
            self._seen = again
            return Meaning.RESTART
        return Meaning.TAIL if expected else Meaning.SUSPECT
