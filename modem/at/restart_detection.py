"""Whether a line means that the modem has restarted behind our back. Pure: time is passed in."""

from __future__ import annotations

from enum import Enum, auto

from modem.at.line_parser import BOOT_LINES, RESET_LINES


class Meaning(Enum):
    NOTHING = auto()
    TAIL = auto()  # the end of a start that we know of
    SUSPECT = auto()  # perhaps a restart: look whether the settings are still there
    RESTART = auto()  # everything we set is gone


class Boot:
    """The start-up lines of one modem since its last known start (each comes once per start).

    RDY comes with a fixed speed only; an auto-bauding SIM800 says nothing before "Call Ready".
    """

    def __init__(self, now: float, tail_seconds: float) -> None:
        self._began = now
        self._tail_seconds = tail_seconds
        self._seen: set[str] = set()

    def began(self, now: float) -> None:
        """The port was opened or the modem reset by us: what comes now is its start."""
        self._began = now
        self._seen = set()

    @property
    def chattered(self) -> bool:
        """Whether anything of a start was heard since it began."""
        return bool(self._seen)

    def line(self, line: str, now: float) -> Meaning:
        """What `line` says about the modem's start, heard at `now` (monotonic seconds)."""
        if not (BOOT_LINES.match(line) or RESET_LINES.match(line)):
            return Meaning.NOTHING
        word = line.upper()
        if RESET_LINES.match(line) or now - self._began >= self._tail_seconds:
            self._began = now
            self._seen = {word}
            return Meaning.RESTART
        expected = self.chattered and word not in self._seen
        self._seen.add(word)
        return Meaning.TAIL if expected else Meaning.SUSPECT
