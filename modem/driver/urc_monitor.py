"""Detect a port on which no unsolicited lines arrive. Pure: the time is passed in.

A USB modem has several ports and sends its unsolicited lines (27.007: URC) on one of them. On the others commands
work and messages are sent, but no report arrives (the first port of a Huawei stick, an EC25 set to another port).
"""

from __future__ import annotations

# A single report may be late by hours, as that of a phone that is off.
_PARTS = 3
_MANY_SILENCES = 12


class Hearing:
    """Compares the unsolicited lines of the open port with those that are due."""

    def __init__(self, silence_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._heard = False
        self._reported = False
        self._awaited_since: float | None = None
        self._awaited = 0
        self._unannounced_since: float | None = None
        self.given_up = False  # no way has helped, and no report has come since

    def begin(self) -> None:
        """Begin on another port, or after another setting."""
        self._heard = False
        self._reported = False
        self._awaited_since = None
        self._awaited = 0
        self._unannounced_since = None

    def line(self) -> None:
        """Note an unsolicited line."""
        self._heard = True

    def report(self) -> None:
        """Note a delivery report, however it has arrived."""
        self._reported = True
        self.given_up = False

    def accepted(self, now: float) -> None:
        """Note that the network has accepted a part that asks for a report."""
        self._awaited += 1
        if self._awaited_since is None:
            self._awaited_since = now

    def found_unannounced(self, now: float) -> None:
        """Note that a new message was found in the storage without an announcement (+CMTI)."""
        if self._unannounced_since is None:
            self._unannounced_since = now

    def deaf(self, now: float, moment: float) -> bool:
        """Return whether the lines go to another port. An announcement may be `moment` seconds late."""
        if self._heard or self._reported:
            return False
        silences = 1 if self._awaited >= _PARTS else _MANY_SILENCES
        awaited, unannounced = self._awaited_since, self._unannounced_since
        return (awaited is not None and now - awaited >= silences * self._silence_seconds) or (
            unannounced is not None and now - unannounced >= moment
        )
