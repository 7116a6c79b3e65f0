"""A modem that answers from a script, on a pseudo-terminal of its own.

A script is a list of commands, each with the answer it gets. The same command may stand there
several times: its answers come in that order, and the last one for ever after. In an answer
`<prompt>` asks for a text (then looked up as the command `<text>`), `<silence>` says nothing at
all and `<wait 0.2>` waits; `<ask>` waits for a text without a prompt of its own and `<hex 0d0a>`
says these bytes as they stand. Commands that are not in the script get the answer to `*`, or ERROR.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import time
import tty
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from tests.waiting import HANG_SECONDS

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
CTRL_Z, ESCAPE = 0x1A, 0x1B

Script = Iterable[tuple[str, str]]
# What the modem repeats: nothing; everything whatever it is told; commands or texts only, whatever it is told;
# or everything until ATE0.
Echo = Literal["", "always", "commands", "texts", "until ATE0"]

# A modem with which nothing is wrong.
HEALTHY: tuple[tuple[str, str], ...] = (
    ("AT", "OK"),
    ("ATE0", "OK"),
    ("ATQ0V1", "OK"),
    ("ATQ0V1E0", "OK"),
    ("AT+CMEE=1", "OK"),
    ("AT+CMEE?", "+CMEE: 1\n\nOK"),
    ("AT+CSQ", "+CSQ: 20,0\n\nOK"),
    ("AT+CFUN?", "+CFUN: 1\n\nOK"),
    ("AT+CREG?", "+CREG: 1,1\n\nOK"),
    ("AT+CGSN", "867322030000017\n\nOK"),
    ("AT+CGMI", "SIMCOM_Ltd\n\nOK"),
    ("AT+CGMM", "SIMCOM_SIM800L\n\nOK"),
    ("AT+CGMR", "Revision:1418B05SIM800L24\n\nOK"),
    ("AT+CIMI", "262019876543210\n\nOK"),
    ("AT+CCID", "89490200001234567890\n\nOK"),
    ("AT+CNUM", '+CNUM: "","+4915112345678",145\n\nOK'),
    ("AT+CPIN?", "+CPIN: READY\n\nOK"),
    ("AT+CMGF=0", "OK"),
    ("AT+CMGF?", "+CMGF: 0\n\nOK"),
    ("AT+CSMS=0", "+CSMS: 1,1,1\n\nOK"),
    ("AT+CSMS?", "+CSMS: 0,1,1,1\n\nOK"),
    ("AT+CPMS=?", '+CPMS: ("SM","SR"),("SM"),("SM")\n\nOK'),
    ('AT+CPMS="SM","SM","SM"', "+CPMS: 0,30,0,30,0,30\n\nOK"),
    ('AT+CPMS="SM"', "+CPMS: 0,30,0,30,0,30\n\nOK"),
    ('AT+CPMS="SR"', "+CPMS: 0,30,0,30,0,30\n\nOK"),
    ("AT+CPMS?", '+CPMS: "SM",0,30,"SM",0,30,"SM",0,30\n\nOK'),
    ("AT+CNMI=?", "+CNMI: (0-3),(0-3),(0,2),(0,1),(0,1)\n\nOK"),
    ("AT+CNMI=2,1,0,1,0", "OK"),
    ("AT+CNMI?", "+CNMI: 2,1,0,1,0\n\nOK"),
    ("AT+CSCA?", '+CSCA: "+491710760000",145\n\nOK'),
    ("AT+CMGL=4", "OK"),
    ("AT+COPS?", '+COPS: 0,0,"Telekom",0\n\nOK'),
    ("AT+CCLK?", '+CCLK: "04/01/01,00:00:00+00"\n\nOK'),
    ("AT+COPS=3,0", "OK"),
    ("AT+CREG=1", "OK"),
    ("AT+CMMS=2", "OK"),
)


SENDING = (("AT+CMGS=*", "<prompt>"), ("<text>", "+CMGS: 12\n\nOK"), ("AT+CMGD=*", "OK"))


class Scripted:
    """Open it with `with`; give its `path` to whoever wants a modem."""

    def __init__(self, script: Script, *, boot: str = "", echo: Echo = "") -> None:
        self._answers: dict[str, list[str]] = {}
        for command, answer in script:
            self._answers.setdefault(command, []).append(answer)
        self._boot = boot
        self.echo: Echo = echo
        self.heard: list[str] = []  # every command and text, in order
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._serve_until_unplugged, daemon=True)
        self._text = False
        self._unplugged = False
        self._news = threading.Condition()

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def unplug(self) -> None:
        """The port is gone, as when a USB modem is pulled."""
        self._unplugged = True
        with contextlib.suppress(OSError):
            os.write(self._stop_write, b"x")
        if self._thread.is_alive():
            self._thread.join(HANG_SECONDS)
        for descriptor in (self._master, self._slave, self._stop_read, self._stop_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._master = self._slave = self._stop_read = self._stop_write = -1

    def stop_reading(self) -> None:
        """Deaf and without buffer space, as a line whose flow control says stop."""
        os.write(self._stop_write, b"x")
        self._thread.join(HANG_SECONDS)

    def say(self, raw: str | bytes) -> None:
        """Writes as it stands, e.g. something unasked."""
        os.write(self._master, raw.encode("latin-1") if isinstance(raw, str) else raw)

    def answer(self, command: str, *answers: str) -> None:
        """From now on `command` is answered so."""
        self._answers[command] = list(answers)

    def wait_for(self, command: str, count: int = 1, seconds: float = HANG_SECONDS) -> None:
        """Until `command` was heard so often."""
        with self._news:
            enough = self._news.wait_for(lambda: self.heard.count(command) >= count, seconds)
        assert enough, f"{command} not heard {count} times but: {self.heard}"

    def _serve_until_unplugged(self) -> None:
        try:
            self._serve()
        except OSError:
            if self._master >= 0 and not self._unplugged:
                raise

    def _serve(self) -> None:
        if self._boot:
            self._tell(self._boot)
        buffer = bytearray()
        while True:
            ready, _, _ = select.select([self._master, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            data = os.read(self._master, 4096)
            if self._repeats():
                self.say(data)
            buffer += data
            for command in self._commands(buffer):
                with self._news:
                    self.heard.append(command)
                    self._news.notify_all()
                if command in ("ATE0", "ATQ0V1E0") and self.echo == "until ATE0":
                    self.echo = ""
                self._tell(self._next_answer(command))

    def _repeats(self) -> bool:
        return self.echo in ("always", "until ATE0", "texts" if self._text else "commands")

    def _commands(self, buffer: bytearray) -> Iterator[str]:
        while True:
            if self._text:
                end = next((i for i, b in enumerate(buffer) if b in (CTRL_Z, ESCAPE)), -1)
                if end < 0:
                    return
                self._text = False
                text, last = bytes(buffer[:end]), buffer[end]
                del buffer[: end + 1]
                if last == ESCAPE:
                    self.say("\r\nOK\r\n")
                else:
                    self.heard.append(text.decode("latin-1"))
                    yield "<text>"
                continue
            end = buffer.find(b"\r")
            if end < 0:
                return
            line = bytes(buffer[:end]).decode("latin-1").strip("\x1b\x1a\n ")
            del buffer[: end + 1]
            if line:
                yield line

    def _next_answer(self, command: str) -> str:
        answers = self._answers.get(command)
        if answers is None and "=" in command:
            answers = self._answers.get(command.partition("=")[0] + "=*")
        if answers is None:
            answers = self._answers.get("*", ["ERROR"])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _tell(self, answer: str) -> None:
        for piece in re.split(r"(<[a-z]+(?: [0-9a-f.]+)?>)", answer):
            if piece == "<silence>":
                return
            if piece == "<prompt>":
                self._text = True
                self.say("\r\n> ")
            elif piece == "<ask>":
                self._text = True
            elif piece.startswith("<hex "):
                self.say(bytes.fromhex(piece[5:-1]))
            elif piece.startswith("<wait "):
                time.sleep(float(piece[6:-1]))  # a pause that the script demands
            elif piece:
                text = piece.strip("\n").replace("\n", "\r\n")
                self.say(f"\r\n{text}\r\n")


@dataclass
class Recording:
    """A recorded modem and what is expected of the driver on it."""

    modem: Scripted
    expected: dict[str, list[str]]

    def one(self, what: str) -> str:
        return (self.expected.get(what) or [""])[0]


def recording(name: str) -> Recording:
    """The fault recorded in tests/transcripts/faults/`name`.txt, with its expectations.

    As `transcript`, and a line `! echo texts` says what the modem echoes, `! expect what: value` what
    is expected of the driver.
    """
    lines = (TRANSCRIPTS / "faults" / f"{name}.txt").read_text("latin-1").splitlines()
    expected: dict[str, list[str]] = {}
    echo = ""
    for line in lines:
        if line.startswith("! expect "):
            what, _, value = line.removeprefix("! expect ").partition(":")
            expected.setdefault(what, []).append(value.strip())
        elif line.startswith("! echo "):
            echo = line.removeprefix("! echo ")
    modem = _played([line for line in lines if not line.startswith("!")])
    modem.echo = cast(Echo, echo)
    return Recording(modem, expected)


def transcript(name: str) -> Scripted:
    """The modem recorded in tests/transcripts/`name`.txt; what it lacks is answered in good health.

    `> command` begins an exchange and what follows is its answer; what stands before the first
    is what the modem says when it is switched on; `#` begins a comment.
    """
    return _played((TRANSCRIPTS / f"{name}.txt").read_text("latin-1").splitlines())


def _played(lines: list[str]) -> Scripted:
    boot: list[str] = []
    script: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("#"):
            continue
        if line.startswith("> "):
            script.append((line[2:], []))
        else:
            (script[-1][1] if script else boot).append(line)
    recorded = [(command, "\n".join(answer).strip("\n")) for command, answer in script]
    known = {command for command, _ in recorded}
    healthy = [
        (command, answer)
        for command, answer in (*HEALTHY, *SENDING)
        if command not in known and f"{command.partition('=')[0]}=*" not in known
    ]
    return Scripted(
        [*recorded, *healthy],
        boot="\n".join(boot).strip("\n"),
    )
