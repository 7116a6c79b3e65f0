"""The outside of a box: a simulated modem that outlives it, its control socket and its journal."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from modem.sms import tpdu
from tests.box.launcher import launcher
from tests.box.running import STOP_SECONDS, eventually

ORDER_SECONDS = 60.0
DELIVERED, ENDED = 0x00, (0x01, 0x02)
STILL_TRYING = range(0x20, 0x40)  # 23.040 9.2.3.15: temporary, the SC goes on


def order(control: Path, do: str, **words: object) -> dict[str, Any]:
    """One order to a running simulator; its answer, which must be ok."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(ORDER_SECONDS)
        line.connect(str(control))
        line.sendall(json.dumps({"do": do, **words}).encode() + b"\n")
        with line.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline())
    assert answer["ok"], answer
    return answer


class OutsideModem:
    """`zimbox simulate` in a process of its own: it lives on when the box dies."""

    def __init__(self, folder: Path, *options: str, name: str = "modem") -> None:
        self.port = folder / f"{name}.port"
        self.journal = folder / f"{name}.jsonl"
        self.control = folder / f"{name}.control"
        words = (
            *("simulate", "--link", str(self.port)),
            *("--journal", str(self.journal), "--control", str(self.control), *options),
        )
        with Path(os.devnull).open("wb") as nowhere:
            self._process = launcher().start(words, os.environ, nowhere.fileno(), 2)
        eventually(lambda: self.port.exists() and self.control.exists(), "the simulated modem")

    def order(self, do: str, **words: object) -> dict[str, Any]:
        return order(self.control, do, **words)

    def truth(self) -> Truth:
        return Truth.read(self.journal)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_SECONDS)


class Taken(msgspec.Struct, frozen=True):
    """A part that the network has, with its reports to the box."""

    id: int
    recipient: str
    text: str
    alphabet: str
    reference: int | None  # of the concatenation
    number: int
    total: int
    message_reference: int  # TP-MR
    reports: tuple[int, ...]  # TP-ST of each report that the modem took, in order
    dated: bool  # each of these had a TP-SCTS
    lost: bool  # the network will never report on it

    @property
    def settled(self) -> bool:
        """Nothing more will come."""
        return self.lost or any(status not in STILL_TRYING for status in self.reports)

    @property
    def delivered(self) -> bool:
        return DELIVERED in self.reports

    @property
    def failed(self) -> bool:
        """Reported as failed for good, whatever came later."""
        return any(status >= 0x40 for status in self.reports)


class Truth(msgspec.Struct, frozen=True):
    """A journal, read: what the network really has."""

    parts: tuple[Taken, ...]
    refused: tuple[str, ...]  # texts that the network or the modem refused, once each time

    @classmethod
    def read(cls, journal: Path) -> Truth:
        """Everything written so far; a line that is only half there is left for later."""
        text = journal.read_text("utf-8", "replace") if journal.exists() else ""
        return cls.of(json.loads(line) for line in text.splitlines(True) if line.endswith("\n"))

    @classmethod
    def of(cls, lines: Iterable[dict[str, Any]]) -> Truth:
        submits: dict[int, dict[str, Any]] = {}
        reports: dict[int, list[int]] = defaultdict(list)
        undated: set[int] = set()
        lost: set[int] = set()
        refused: list[str] = []
        for line in lines:
            match line["event"]:
                case "submit":
                    submits[line["id"]] = line
                case "report" if line["taken"] == "dropped":
                    # It came when the modem had not been told yet (+CNMI) to hand reports out.
                    lost.add(line["submit"])
                case "report" if line["taken"] != "not taken":
                    reports[line["submit"]].append(line["status"])
                    report = tpdu.decode(line["tpdu"])
                    if isinstance(report, tpdu.Report) and report.scts is None:
                        undated.add(line["submit"])
                case "report lost":
                    lost.add(line["submit"])
                case "refused":
                    refused.append(line["text"])
        return cls(
            tuple(
                _taken(s, tuple(reports[n]), dated=n not in undated, lost=n in lost)
                for n, s in submits.items()
            ),
            tuple(refused),
        )

    def could_be_anothers(self, part: Taken) -> bool:
        """Whether the box cannot know that a report is about this part: it has no time.

        An earlier part with this reference and number, never reported on, fits it as well.
        """
        return not part.dated and any(
            other.id < part.id
            and other.lost
            and (other.message_reference, other.recipient)
            == (part.message_reference, part.recipient)
            for other in self.parts
        )

    def of_text(self, text: str, recipient: str) -> list[Taken]:
        """The parts that carry this text to this recipient, by number. Each text must be its own.

        Found by what the parts say, not by what the box says of them: those of one concatenation
        belong together (23.040 9.2.3.24.1), and to the text that each of them is a piece of.
        """
        groups: dict[int | None, list[Taken]] = defaultdict(list)
        for part in self.parts:
            if part.recipient == recipient:
                groups[part.reference].append(part)
        single = [part for part in groups.pop(None, []) if part.text == text]
        joined = [
            part
            for parts in groups.values()
            if all(piece.text in text for piece in parts)
            for part in parts
        ]
        return sorted(single + joined, key=lambda part: part.number)


def expected(parts: Sequence[Taken], total: int) -> str:
    """What the box must say of a message of which the network has these of its parts."""
    if len(parts) == total and all(part.delivered for part in parts):
        return "delivered"
    # A part refused for good is not among them. A message that failed once (62) stays failed until
    # all of it has arrived: there is no failed → sent.
    return "failed" if len(parts) < total or any(part.failed for part in parts) else "sent"


def _taken(line: dict[str, Any], reports: tuple[int, ...], *, dated: bool, lost: bool) -> Taken:
    joined = line["concatenation"] or {"reference": None, "number": 1, "total": 1}
    return Taken(
        id=line["id"],
        recipient=line["recipient"],
        text=line["text"],
        alphabet=line["alphabet"],
        reference=joined["reference"],
        number=joined["number"],
        total=joined["total"],
        message_reference=line["reference"],
        reports=reports,
        dated=dated,
        lost=lost or not line["report"],
    )
