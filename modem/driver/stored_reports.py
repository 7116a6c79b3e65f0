"""Whether a modem keeps delivery reports until they are read. Found out with the first own message.

A direct report (+CDS) is sent once and lost if the box is down, or restarts, at that moment. A stored
one (+CDSI) waits in the modem. But some modules announce reports that cannot be read (SIM7600), and others
do not store any, so a modem has to prove it: the first report that is read from its storage is the proof.
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
# SIM7600: +CDSI names places that +CMGR and +CMGL do not show.
_UNREADABLE_MODELS = ("SIM7600",)


class StoredReports:
    """Decides how a modem hands over its reports, and watches whether that works."""

    def __init__(
        self, setting: ReportSetting, memory: ReportMemory | None, test_seconds: float, log: Log
    ) -> None:
        self._setting = setting
        self._memory = memory
        self._test_seconds = test_seconds
        self._log = log
        self._imei = ""
        self._works: bool | None = None  # the result of the last test of this modem
        self._asked = False
        self._insisted = False
        self._mode = ""
        self._tests_since = 0.0  # when the first part of a test was accepted (monotonic)
        self._given_up: set[str] = (
            set()
        )  # modems that stored no report in time, until the box restarts

    @property
    def undecided(self) -> bool:
        """Whether the model of the modem decides."""
        return self._setting == "auto" and self._works is None

    def meet(self, imei: str) -> None:
        """Note which modem is on the line now."""
        if imei != self._imei:
            self._works = self._memory.stored_reports(imei) if self._memory else None
        self._imei = imei
        self._mode = ""
        self._tests_since = 0.0

    def wanted(self, model: str) -> bool:
        """Return whether to ask the modem for stored reports."""
        self._asked = self._wanted(model)
        return self._asked

    def _wanted(self, model: str) -> bool:
        if self._insisted:
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
        return self._setting == "stored" or self._insisted

    def insist(self, model: str) -> bool:
        """Ask for stored reports from now on, since direct ones do not arrive on this port.

        Return False for a model that cannot show them.
        """
        self._insisted = not any(name in model.upper() for name in _UNREADABLE_MODELS)
        return self._insisted

    def relent(self) -> bool:
        """Note that unsolicited lines arrive after all; return whether to start again without `insist`."""
        insisted, self._insisted = self._insisted, False
        return insisted and self._works is not True

    def made(self, mode: str) -> None:
        """Note how the modem hands over its reports now: "direct", "stored" or "none"."""
        self._mode = mode

    @property
    def _testing(self) -> bool:
        return self.undecided and self._asked and self._mode == "stored"

    def accepted(self) -> None:
        """Note that the network has accepted a part: its report is awaited."""
        if self._testing and not self._tests_since:
            self._tests_since = time.monotonic()

    def read(self, received: ReceivedPdu) -> None:
        """Note a PDU that was read from the modem's storage."""
        if self._testing and received.slot is not None and received.slot.storage == REPORTS:
            self._log.info("stored_reports_work")
            self._remember(works=True)

    def direct(self) -> None:
        """Note a direct report. From a modem that stored none in time it decides."""
        if self.undecided and self._imei in self._given_up:
            self._remember(works=False)

    def unreadable(self) -> bool:
        """Return whether to do without stored reports, after an announced one that cannot be read."""
        if not self._testing:
            return False
        self._log.warning("stored_reports_unreadable")
        self._remember(works=False)
        return True

    def overdue(self) -> bool:
        """Return whether to do without stored reports for now, because none has come in time."""
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


_TURN = threading.Lock()  # every modem writes the one file


class FileReportMemory:
    """Remembers in a JSON file, by IMEI, whether modems keep reports. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stored_reports(self, imei: str) -> bool | None:
        with _TURN:
            return self._read().get(imei)

    def remember_stored_reports(self, imei: str, *, works: bool) -> None:
        """Note the result of a test. Raises OSError if it cannot be written."""
        with _TURN:
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
