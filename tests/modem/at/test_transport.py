"""The adapter to gsmmodem and pyserial, on a modem that answers from a script."""

from __future__ import annotations

import inspect
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
import structlog
from gsmmodem import exceptions as foreign
from structlog.testing import capture_logs

from modem.at.client import AtClient
from modem.at.errors import (
    CommandError,
    NoResponse,
    PortError,
    PortLost,
    Restarted,
    loggable_command,
    loggable_line,
)
from modem.at.line_parser import Urc
from modem.at.modem_library import SerialModem, library_errors
from modem.at.serial_port import find
from modem.driver.references import References
from modem.driver.submit import PROBE_REQUIRED, submit
from modem.interface import Verdict
from modem.timeouts import SerialLine
from tests.modem.driven import QUICK, part, quick
from tests.modem.scripted import CTRL_Z, ESCAPE, HEALTHY, SENDING, Script, Scripted

REPORT = "0006D60B911326880736F4111011719551401110117195714000"


class Ear:
    """Collects what the reader hears by itself."""

    def __init__(self) -> None:
        self.heard: list[Urc] = []
        self.lost: list[str] = []
        self._news = threading.Condition()

    def hear(self, heard: Urc) -> None:
        with self._news:
            self.heard.append(heard)
            self._news.notify_all()

    def lose(self, reason: str) -> None:
        with self._news:
            self.lost.append(reason)
            self._news.notify_all()

    def until(self, count: int) -> list[Urc]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.heard) >= count, 5), self.heard
            return self.heard

    def until_lost(self) -> str:
        with self._news:
            assert self._news.wait_for(lambda: self.lost, 60)
            return self.lost[0]


@contextmanager
def opened(
    script: Script = HEALTHY, timing: object = None, **more: object
) -> Iterator[tuple[AtClient, Scripted, Ear]]:
    ear = Ear()
    with Scripted(script, **more) as scripted:  # type: ignore[arg-type]
        log = structlog.stdlib.get_logger()
        modem = SerialModem(
            SerialLine(scripted.path),
            timing or QUICK,  # type: ignore[arg-type]
            on_urc=ear.hear,
            on_lost=ear.lose,
            log=log,
        )
        modem.connect()
        try:
            yield AtClient(modem, timing or QUICK, log), scripted, ear  # type: ignore[arg-type]
        finally:
            modem.close()


def test_a_command_has_its_answer() -> None:
    with opened() as (modem, _, _):
        assert modem.command("AT+CSQ") == ("+CSQ: 20,0",)
        assert modem.command("ATE0") == ()


def test_errors_keep_the_modem_s_text() -> None:
    script = [("AT+A", "ERROR"), ("AT+B", "+CME ERROR: SIM failure"), ("AT+C", "+CMS ERROR: 38"),
              ("AT+D", "COMMAND NOT SUPPORT")]  # fmt: skip
    with opened(script) as (modem, _, _):
        for command, answer in script:
            with pytest.raises(CommandError) as refused:
                modem.command(command)
            assert refused.value.line == answer


def test_every_line_of_an_answer_and_what_came_between() -> None:
    answer = f"+CMGL: 1,1,,25\n{REPORT}\n+CDS: 25\n{REPORT}\nRING\n+CMGL: 2,1,,25\n{REPORT}\n\nOK"
    with opened([("AT+CMGL=4", answer)]) as (modem, _, ear):
        assert modem.command("AT+CMGL=4") == ("+CMGL: 1,1,,25", REPORT, "+CMGL: 2,1,,25", REPORT)
        assert ear.until(2) == [Urc("+CDS: 25", REPORT), Urc("RING")]


@pytest.mark.parametrize("pause", [0, 0.002])
@pytest.mark.parametrize("size", [1, 3, 8, 16, 1000])
def test_reports_are_complete_for_any_chunking(size: int, pause: float) -> None:
    """The library hands a +CDS over alone whenever the next byte is not there yet."""
    with opened() as (modem, scripted, ear):
        burst = f"\r\n+CDS: 25\r\n{REPORT}\r\n".encode() * 5
        for i in range(0, len(burst), size):
            scripted.say(burst[i : i + size])
            if pause:
                time.sleep(pause)  # the pause between two chunks, the subject of the test
        assert ear.until(5) == [Urc("+CDS: 25", REPORT)] * 5
        assert not modem.port.degraded


def test_the_log_contains_no_text_of_a_damaged_line() -> None:
    """A PDU has a number and a text in it, as a quoted name and a USSD answer have."""
    with opened() as (modem, scripted, ear), capture_logs() as logged:
        scripted.say(f"\r\n+CDS: 25\r\n{REPORT[:-2]}\r\nRING\r\n".encode())
        ear.until(1)
        assert modem.port.degraded
    (line,) = [entry for entry in logged if "line_degraded" in entry["event"]]
    assert line["seen"] == "+CDS: 25 …"


@pytest.mark.parametrize(
    ("line", "shown_as"),
    [
        ('+CMT: "+33612345678",,24', '+CMT: "…",,24'),
        ('+CUSD: 0,"Vous avez recu 5000 de Awa', '+CUSD: 0,"…"'),
        ("+CLIP: 33612345678,129", "+CLIP: …,129"),
        ("+CMS ERROR: 304", "+CMS ERROR: 304"),
    ],
)
def test_a_logged_line_has_its_kind_but_no_text(line: str, shown_as: str) -> None:
    assert loggable_line(line) == shown_as


def test_the_reader_survives_any_bytes() -> None:
    with opened() as (modem, scripted, ear):
        scripted.say(bytes(range(256)) + b"\r\n")
        ear.until(1)
        assert modem.command("AT+CSQ") == ("+CSQ: 20,0",)


def test_after_a_time_out_the_next_response_is_the_right_one() -> None:
    script = [*HEALTHY, ("AT+SLOW", "<wait 0.4>+SLOW: 1\n\nOK")]
    with opened(script) as (modem, _, _):
        with pytest.raises(NoResponse):
            modem.command("AT+SLOW", 0.2, once=True)
        assert modem.port.stale
        assert modem.command("AT+COPS?") == ('+COPS: 0,0,"Telekom",0',)
        assert modem.command("AT+CGSN") == ("867322030000017",)
        assert modem.resyncs == 1


@pytest.mark.parametrize(("echo", "degraded"), [(False, True), (True, False)])
def test_time_outs_of_a_restarting_modem_do_not_degrade_the_line(
    echo: bool, degraded: bool
) -> None:
    """Commands that only a second try answers are lost on the line, unless the echo is back."""
    with opened() as (modem, scripted, _):
        modem.disable_echo()
        scripted.echo = "always" if echo else ""
        for question, answer in (("AT+CSQ?", "+CSQ: 20,0"), ("AT+COPS?", '+COPS: 0,0,"Telekom",0')):
            scripted.answer(question, "<silence>", f"{answer}\n\nOK")
            assert modem.command(question, 0.05) == (answer,)
        assert modem.port.degraded is degraded


def test_a_modem_that_is_always_one_response_late_is_detected() -> None:
    """Every question is answered by the answer to the one before: the resynchronisation says no."""
    questions = ["AT+CMEE?", "AT+CSQ", "AT+CFUN?", "AT+CREG?"]
    answers = ["+CREG: 1,1", "+CMEE: 1", "+CSQ: 20,0", "+CFUN: 1"]
    script = [(q, f"{a}\n\nOK") for q, a in zip(questions, answers, strict=True)]
    with opened([("AT+HANG", "<silence>"), *script]) as (modem, _, _):
        with pytest.raises(NoResponse):
            modem.command("AT+HANG", 0.05, once=True)
        with pytest.raises(NoResponse):
            modem.command("AT+COPS?")
        assert modem.port.stale


def test_a_prompt_and_its_text() -> None:
    with opened([("AT+CMGS=*", "<prompt>"), ("<text>", "+CMGS: 12\n\nOK")]) as (modem, scripted, _):
        modem.prompt("AT+CMGS=19")
        assert modem.text("0011AA") == ("+CMGS: 12",)
        assert scripted.heard[:2] == ["AT+CMGS=19", "0011AA"]


def test_a_missing_prompt_leaves_the_line_clean() -> None:
    script = [*HEALTHY, ("AT+CMGS=*", "<wait 0.35><prompt>")]
    with opened(script, quick(prompt_seconds=0.2)) as (modem, scripted, _):
        with pytest.raises(NoResponse):
            modem.prompt("AT+CMGS=19")
        assert modem.command("AT+COPS?") == ('+COPS: 0,0,"Telekom",0',)
        # What was typed at the late prompt was escaped, and never sent as a text.
        assert "<text>" not in scripted.heard


def test_lines_before_the_prompt_are_not_the_prompt() -> None:
    script = [
        ("AT+CMGS=*", f'+CMTI: "SM",3\n\n+CDS: 25\n{REPORT}\n<prompt>'),
        ("<text>", "+CMGS: 1\n\nOK"),
    ]
    with opened(script) as (modem, _, ear):
        modem.prompt("AT+CMGS=19")
        assert ear.until(2) == [Urc('+CMTI: "SM",3'), Urc("+CDS: 25", REPORT)]
        assert modem.text("0011AA") == ("+CMGS: 1",)


def test_a_returning_echo_means_a_restart() -> None:
    with opened([*HEALTHY, ("AT+CMGS=*", "<prompt>")]) as (modem, scripted, _):
        scripted.echo = "always"
        with pytest.raises(Restarted):
            modem.prompt("AT+CMGS=19")
        assert "<text>" not in scripted.heard


def test_a_restart_ends_an_open_command_at_once() -> None:
    script: Script = [("AT+CMGS=*", "<prompt>"), ("<text>", "<wait 0.05>RDY")]
    with opened(script, quick(network_seconds=600)) as (modem, _, _):
        modem.prompt("AT+CMGS=19")
        with pytest.raises(Restarted):
            modem.text("0011AA")
        with pytest.raises(Restarted):
            modem.command("AT")
        modem.port.mark_configured()
        assert not modem.port.restarted


def test_an_unplugged_port_ends_an_open_command_at_once() -> None:
    with opened(
        [("AT+CMGS=*", "<prompt>"), ("<text>", "<silence>")], quick(network_seconds=600)
    ) as (
        modem,
        scripted,
        ear,
    ):
        modem.prompt("AT+CMGS=19")
        threading.Timer(0.1, scripted.unplug).start()
        with pytest.raises(PortLost):
            modem.text("0011AA")
        assert ear.until_lost()
        with pytest.raises(PortLost):
            modem.command("AT")


def test_close_ends_an_open_command_and_may_be_repeated() -> None:
    with opened([("AT+X", "<silence>")]) as (modem, _, ear):
        threading.Timer(0.05, modem.port.close).start()
        with pytest.raises(PortLost, match="closed"):
            modem.command("AT+X", 20)
        modem.port.close()
        assert ear.lost == []  # that was us


def test_a_missing_or_invalid_port_is_an_error() -> None:
    for path in ("/dev/there-is-no-such-port", "/dev/null", "/dev/no-such-*-port"):
        modem = SerialModem(
            SerialLine(path), QUICK, on_urc=print, on_lost=print, log=structlog.stdlib.get_logger()
        )
        with pytest.raises(PortLost):
            modem.connect()
        modem.close()


def test_a_line_that_accepts_no_bytes_times_out() -> None:
    """The library writes without a time-out: on three wires it may block for ever."""
    timing = quick(write_seconds=0.2)
    with opened([("AT", "OK")], timing) as (modem, scripted, _):
        scripted.stop_reading()
        with pytest.raises(PortLost):
            modem.command("AT" + "x" * 200_000, 600)


def test_hardware_flow_control_is_used_only_if_configured() -> None:
    with opened() as (modem, _, _):
        assert modem.port.serial is not None
        assert (modem.port.serial.device.rtscts, modem.port.serial.device.dsrdtr) == (False, False)
        assert modem.port.serial.device.exclusive


def test_the_library_s_own_commands_use_our_transport() -> None:
    with opened() as (modem, scripted, _):
        scripted.say("\r\nRING\r\n")
        assert modem.port.word("imei") == "867322030000017"
        assert modem.port.word("manufacturer") == "SIMCOM_Ltd"
        assert modem.port.word("model") == "SIMCOM_SIM800L"
        assert modem.port.word("revision") == "Revision:1418B05SIM800L24"
        assert modem.port.word("imsi") == "262019876543210"
        assert modem.port.networkName == "Telekom"
        scripted.answer("AT+CGMR", "ERROR")
        assert modem.port.word("revision") == ""
        scripted.answer("AT+CIMI", "OK")
        assert modem.port.word("imsi") == ""


class Flips(Scripted):
    """Repeats the first text with a digit lost; and perhaps hears the ESC that is to take it back as Ctrl-Z."""

    def __init__(self, *, flips: bool) -> None:
        super().__init__((*HEALTHY, *SENDING, ("ATE1", "OK")), echo="always")
        self._flips = flips
        self._spoilt = False

    def say(self, raw: str | bytes) -> None:
        if self._text and not self._spoilt and len(raw) > 20:
            self._spoilt = True
            raw = str(raw, "latin-1") if isinstance(raw, bytes) else raw
            raw = raw[:10] + raw[11:]
        super().say(raw)

    def _commands(self, buffer: bytearray) -> Iterator[str]:
        if self._text and self._spoilt and self._flips and ESCAPE in buffer:
            self._flips = False
            buffer[buffer.index(ESCAPE)] = CTRL_Z
        yield from super()._commands(buffer)


@pytest.mark.parametrize(("flips", "verdict"), [(False, Verdict.TAKEN), (True, Verdict.UNKNOWN)])
def test_a_cancelled_text_that_was_sent_is_not_sent_again(flips: bool, verdict: Verdict) -> None:
    """One bit lies between ESC and Ctrl-Z: the text was sent, and again by the next try."""
    tpdu = part("only once")
    with Flips(flips=flips) as scripted:
        modem = SerialModem(
            SerialLine(scripted.path),
            QUICK,
            on_urc=lambda heard: None,
            on_lost=lambda reason: None,
            log=structlog.stdlib.get_logger(),
        )
        modem.connect()
        try:
            client = AtClient(modem, QUICK, structlog.stdlib.get_logger())
            modem.mark_degraded("a test")
            modem.verified_at = time.monotonic()
            outcome = submit(client, tpdu, References())
            if outcome is PROBE_REQUIRED:  # the caller looks at the modem, and tries again
                modem.suspect = False
                modem.verified_at = time.monotonic()
                outcome = submit(client, tpdu, References())
        finally:
            modem.close()
        assert outcome.verdict is verdict
        assert scripted.heard.count(tpdu.hex) == 1, scripted.heard


def test_sim_busy_is_not_retried_endlessly() -> None:
    with opened([("AT+CIMI", "+CME ERROR: 14")]) as (modem, scripted, _):
        assert modem.port.word("imsi") == ""
        assert scripted.heard == ["AT+CIMI"]


def _theirs() -> list[BaseException]:
    """Every kind of error that the two libraries and the system may raise under the port."""
    found: list[BaseException] = []
    for module in (foreign, serial.serialutil):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Exception) and kind.__module__ == module.__name__:
                parameters = len(inspect.signature(kind.__init__).parameters) - 1
                needed = {
                    "PortNotOpenError": 0,
                    "CmeError": 2,
                    "CmsError": 2,
                    "SecurityException": 2,
                }
                count = needed.get(kind.__name__, min(parameters, 1))
                found.append(kind(*("x", 14)[:count]))
    return [*found, OSError(5, "x"), termios.error(25, "x"), ValueError("x"), TimeoutError()]


@pytest.mark.parametrize("error", _theirs(), ids=lambda error: type(error).__name__)
def test_every_foreign_error_is_converted(error: BaseException) -> None:
    with pytest.raises(PortError), library_errors("x"):
        raise error


def test_the_list_of_foreign_errors_is_not_empty() -> None:
    assert len(_theirs()) > 12


def test_our_own_errors_pass_unchanged() -> None:
    mine = NoResponse("AT")
    with pytest.raises(NoResponse) as caught, library_errors("x"):
        raise mine
    assert caught.value is mine


@pytest.mark.process
def test_importing_the_library_gives_no_warning(tmp_path: Path) -> None:
    """28 SyntaxWarnings on a first import by Python 3.12, an error under -W error."""
    anew = (  # compiled as on a first import, whatever lies in __pycache__
        "import sys; sys.pycache_prefix = sys.argv[1]\nimport modem.at.modem_library"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", anew, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_secrets_are_not_shown() -> None:
    assert "1234" not in loggable_command('AT+CPIN="1234"')
    assert "1234" not in str(CommandError('AT+CPIN="1234"', "ERROR"))
    assert "1234" not in str(NoResponse('AT+CPIN="12345678","1234"\r'))


def test_a_pattern_selects_the_first_matching_port() -> None:
    assert find("/dev/ttyUSB2") == "/dev/ttyUSB2"
    assert find("/dev/nul*") == "/dev/null"
    with pytest.raises(PortLost):
        find("/dev/serial/by-id/usb-Nobody*")
