"""Whether a modem stores delivery reports until they are read, as the first message sent shows.

A direct report (+CDS) is sent once and lost if the box is down, or restarts, at that moment. A stored
one (+CDSI) waits in the modem. But some modules announce reports that cannot be read (SIM7600), and others
do not store any. The first report that is read from the storage of a modem proves that it works.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec

from modem.at.errors import Log
from modem.interface import ReceivedPdu, ReportMemory

ReportSetting = Literal["auto", "direct", "stored"]

REPORTS = "SR"
# SIM7600: +CDSI announces slots that +CMGR and +CMGL return empty.
_UNREADABLE_MODELS = ("SIM7600",)


class StoredReports:
    """Decides whether a modem stores its reports or sends them directly, and checks that they arrive."""

    def __init__(
        self, setting: ReportSetting, memory: ReportMemory | None, test_seconds: float, log: Log
    ) -> None:
        self._setting = setting
        self._memory = memory
        self._test_seconds = test_seconds
        self._log = log
        self._imei = ""
        self._works: bool | None = None  # the result of the last test of this modem
        self._requested = False
        self._forced = False
        self._mode = ""
        self._tests_since = 0.0  # when the first part of a test was accepted (monotonic)
        self._given_up: set[str] = (
            set()
        )  # modems that stored no report in time, until the box restarts

    @property
    def undecided(self) -> bool:
        """Whether no test of this modem has succeeded or failed yet."""
        return self._setting == "auto" and self._works is None

    def modem_identified(self, imei: str) -> None:
        """Note the modem on the line, with the result of its last test."""
        if imei != self._imei:
            self._works = self._memory.stored_reports(imei) if self._memory else None
        self._imei = imei
        self._mode = ""
        self._tests_since = 0.0

    def wanted(self, model: str) -> bool:
        """Return whether to configure stored reports."""
        self._requested = self._wanted(model)
        return self._requested

    def _wanted(self, model: str) -> bool:
        if self._forced:
            return True
        if self._setting != "auto":
            return self._setting == "stored"
        if self._works is not None:
            return self._works
        if any(name in model.upper() for name in _UNREADABLE_MODELS):
            return False
        return bool(self._imei) and self._imei not in self._given_up

    @property
    def required(self) -> bool:
        """Whether stored reports are the only way, whatever storages the modem offers."""
        return self._setting == "stored" or self._forced

    def force(self, model: str) -> bool:
        """Require stored reports from now on, since direct ones do not arrive on this port.

        Return False for a model whose stored reports cannot be read.
        """
        self._forced = not any(name in model.upper() for name in _UNREADABLE_MODELS)
        return self._forced

    def stop_forcing(self) -> bool:
        """Undo `force`, since URCs arrive after all. Return whether the modem needs another start-up."""
        forced, self._forced = self._forced, False
        return forced and self._works is not True

    def mode_set(self, mode: str) -> None:
        """Note the report mode as configured: "direct", "stored" or "none"."""
        self._mode = mode

    @property
    def _testing(self) -> bool:
        return self.undecided and self._requested and self._mode == "stored"

    def part_accepted(self) -> None:
        """Note that the network has accepted a part: its report is awaited."""
        if self._testing and not self._tests_since:
            self._tests_since = time.monotonic()

    def stored_pdu_read(self, received: ReceivedPdu) -> None:
        """Note a PDU that was read from the modem's storage."""
        if self._testing and received.slot is not None and received.slot.storage == REPORTS:
            self._log.info("stored_reports_work")
            self._remember(works=True)

    def direct_report_received(self) -> None:
        """Note a direct report (+CDS). It decides the test of a modem that stored none in time."""
        if self.undecided and self._imei in self._given_up:
            self._remember(works=False)

    def unreadable(self) -> bool:
        """Return whether to switch to direct reports, after an announced one that cannot be read."""
        if not self._testing:
            return False
        self._log.warning("stored_reports_unreadable")
        self._remember(works=False)
        return True

    def overdue(self) -> bool:
        """Return whether to switch to direct reports for now, because no stored one came in time."""
        if not (self._testing and self._tests_since):
            return False
        if time.monotonic() - self._tests_since < self._test_seconds:
            return False
        self._log.info("no_stored_report_came", after_seconds=self._test_seconds)
        self._given_up.add(self._imei)
        return True

    def _remember(self, *, works: bool) -> None:
        self._works = works
        if self._memory is None:
            return
        try:
            self._memory.remember_stored_reports(self._imei, works=works)
        except OSError as error:  # a full card: the next start tests again
            self._log.warning("report_test_not_remembered", reason=str(error))


_FILE_LOCK = threading.Lock()  # all modems share one file


class FileReportMemory:
    """Remembers in a JSON file, by IMEI, whether modems keep reports. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stored_reports(self, imei: str) -> bool | None:
        with _FILE_LOCK:
            return self._read().get(imei)

    def remember_stored_reports(self, imei: str, *, works: bool) -> None:
        """Note the result of a test. Raises OSError if it cannot be written."""
        with _FILE_LOCK:
            known = self._read() | {imei: works}
            new = self._path.with_name(self._path.name + ".new")
            with new.open("wb") as file:
                file.write(msgspec.json.encode(known))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)

    def _read(self) -> dict[str, bool]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, bool])
        except (FileNotFoundError, msgspec.MsgspecError):
            return {}
