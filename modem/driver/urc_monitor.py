"""Detect a port that receives no unsolicited result codes (URCs). Pure: the time is passed in.

A USB modem has several ports and sends its URCs on one of them. On the others commands work and messages are sent,
but no report arrives (the first port of a Huawei stick, an EC25 configured for another port).
"""

from __future__ import annotations

# A single report may be hours late, for example for a phone that is off: fewer parts wait longer.
_PARTS = 3
_LONG_WAIT = 12  # times the wait after `_PARTS` parts


class UrcMonitor:
    """Compares the URCs that the open port received with those that are due."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._urc_seen = False
        self._report_seen = False
        self._awaited_since: float | None = None
        self._awaited = 0
        self._unannounced_since: float | None = None
        self.given_up = False  # every route was tried, and no report has come since

    def begin(self) -> None:
        """Start again: on another port, or with another setting."""
        self._urc_seen = False
        self._report_seen = False
        self._awaited_since = None
        self._awaited = 0
        self._unannounced_since = None

    def urc_received(self) -> None:
        """Note a URC."""
        self._urc_seen = True

    def report_received(self) -> None:
        """Note a delivery report, however it has arrived."""
        self._report_seen = True
        self.given_up = False

    def part_accepted(self, now: float) -> None:
        """Note that the network has accepted a part that asks for a report."""
        self._awaited += 1
        if self._awaited_since is None:
            self._awaited_since = now

    def message_unannounced(self, now: float) -> None:
        """Note that a new message was found in the storage without an announcement (+CMTI)."""
        if self._unannounced_since is None:
            self._unannounced_since = now

    def urcs_missing(self, now: float, grace_seconds: float) -> bool:
        """Return whether URCs go to another port. An announcement (+CMTI) may be `grace_seconds` late."""
        if self._urc_seen or self._report_seen:
            return False
        wait = self._wait_seconds * (1 if self._awaited >= _PARTS else _LONG_WAIT)
        awaited, unannounced = self._awaited_since, self._unannounced_since
        return (awaited is not None and now - awaited >= wait) or (
            unannounced is not None and now - unannounced >= grace_seconds
        )
