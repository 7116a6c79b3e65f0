"""The steward's list of verbs, over a real socket."""

import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.maintenance.steward_client import NoSteward, ask, order
from image.target import steward
from image.target.steward import Progress, VerbRefused, acceptable_time, answer, usb_switch


def replies(line: bytes, verbs: Mapping[str, Any] = steward.VERBS) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    answer(line, said.append, verbs)
    return said


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"restart\n",
        b"[]",
        b'{"verb": "sh"}',
        b'{"verb": ["update"]}',
        b'{"verb": null}',
        b"\xff",
        b"[" * 4000,
    ],
)
def test_what_is_not_on_the_list_is_refused(line: bytes) -> None:
    (last,) = replies(line)
    assert (last["done"], last["ok"]) == (True, False)
    assert last["code"] in ("BAD_VERB", "BAD_REQUEST")


@pytest.mark.parametrize(
    "error", [OSError("no such unit"), ValueError("no key"), KeyError("built")]
)
def test_a_verb_that_fails_says_so_and_the_steward_lives_on(error: Exception) -> None:
    def breaks(request: Mapping[str, Any], progress: Progress) -> None:
        raise error

    (last,) = replies(b'{"verb": "x"}', {"x": breaks})
    assert (last["code"], last["words"]) == ("FAILED", str(error))


@pytest.mark.parametrize(
    "name", ["../../etc/shadow", "/etc/shadow", "", ".hidden", "a b", "x" * 300]
)
def test_an_update_is_taken_from_its_folder_only(name: str) -> None:
    (last,) = replies(json.dumps({"verb": "update", "file": name}).encode())
    assert last["code"] == "BAD_FILE"


def test_without_a_key_in_the_image_there_are_no_updates() -> None:
    (last,) = replies(b'{"verb": "update", "file": "two.zimbox"}')
    assert last["code"] == "NO_KEY"


HOUR = 3600.0


@pytest.mark.parametrize(
    ("epoch", "synchronised", "last_known", "allowed"),
    [
        (2000 * HOUR, False, 1900 * HOUR, True),
        (2000 * HOUR, True, 0.0, False),
        (1800 * HOUR, False, 1900 * HOUR, False),
        (900 * HOUR, False, 0.0, False),
        (1e12, False, 0.0, False),
        (float("nan"), False, 0.0, False),
    ],
)
def test_the_clock_is_never_set_back_nor_against_a_time_server(
    epoch: float, synchronised: bool, last_known: float, allowed: bool
) -> None:
    why_not = acceptable_time(
        epoch, synchronised=synchronised, last_known=last_known, built=1000 * HOUR
    )
    assert (why_not == "") == allowed


@pytest.mark.parametrize("epoch", ["now", None, [1]])
def test_a_time_that_is_no_number_is_refused(epoch: object) -> None:
    (last,) = replies(json.dumps({"verb": "set-time", "epoch": epoch}).encode())
    assert last["code"] == "BAD_TIME"


@pytest.mark.parametrize(
    "at",
    ["now", -9999.0, time.monotonic() + 9999, float("nan")],
    ids=["word", "past", "ahead", "nan"],
)
def test_a_moment_that_cannot_have_been_is_refused(at: object) -> None:
    (last,) = replies(json.dumps({"verb": "set-time", "epoch": 2000 * HOUR, "at": at}).encode())
    assert (last["code"], "moment" in last["words"]) == ("BAD_TIME", True)


def test_a_number_beyond_all_times_is_refused() -> None:
    line = json.dumps({"verb": "set-time", "epoch": 10**400, "at": time.monotonic()})
    (last,) = replies(line.encode())
    assert last["code"] == "BAD_TIME"


def test_a_request_that_waited_sets_the_time_as_it_is_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[float] = []
    (tmp_path / "release").write_text(json.dumps({"built": 1000 * HOUR}))
    (tmp_path / "clock").touch()
    os.utime(tmp_path / "clock", (1900 * HOUR, 1900 * HOUR))
    monkeypatch.setattr(steward, "RELEASE", tmp_path / "release")
    monkeypatch.setattr(steward, "LAST_KNOWN", tmp_path / "clock")
    monkeypatch.setattr(time, "clock_settime", lambda _, epoch: set_to.append(epoch))
    request = {"verb": "set-time", "epoch": 2000 * HOUR, "at": time.monotonic() - 240}
    assert replies(json.dumps(request).encode()) == [{"done": True, "ok": True}]
    assert set_to == [pytest.approx(2000 * HOUR + 240, abs=5)]
    late = replies(json.dumps(request | {"epoch": 1899 * HOUR}).encode())
    assert (late[0]["ok"], len(set_to)) == (False, 1)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """sysfs of a board with a module on USB, and a UART."""
    usb = tmp_path / "sys/devices/usb1/1-1"
    (usb / "1-1:1.2/ttyUSB2").mkdir(parents=True)
    (usb / "authorized").write_text("1")
    (usb / "idVendor").write_text("1e0e")
    for name, device in (
        ("ttyUSB2", usb / "1-1:1.2/ttyUSB2"),
        ("ttyAMA0", tmp_path / "sys/devices/soc/uart"),
    ):
        tty = tmp_path / "sys/class/tty" / name
        tty.mkdir(parents=True)
        device.mkdir(parents=True, exist_ok=True)
        (tty / "device").symlink_to(device)
    dev = tmp_path / "dev"
    (dev / "serial/by-id").mkdir(parents=True)
    for name in ("ttyUSB2", "ttyAMA0"):
        (dev / name).touch()
    (dev / "serial/by-id/usb-SimTech-if02").symlink_to("../../ttyUSB2")
    (dev / "modem").symlink_to("ttyAMA0")
    return tmp_path


@pytest.mark.parametrize("port", ["/dev/ttyUSB2", "/dev/serial/by-id/usb-SimTech-if02"])
def test_a_serial_port_leads_to_its_usb_device(board: Path, port: str) -> None:
    found = usb_switch(port, board / "sys/class/tty", board / "dev")
    assert found == board / "sys/devices/usb1/1-1/authorized"


@pytest.mark.parametrize(
    "port",
    ["/dev/modem", "/dev/ttyAMA0", "/dev/ttyUSB9", "/dev/../sys/x", "/dev/sda", "", "ttyUSB2"],
)
def test_nothing_else_can_be_switched(board: Path, port: str) -> None:
    with pytest.raises(VerbRefused):
        usb_switch(port, board / "sys/class/tty", board / "dev")


async def test_the_gateway_hears_every_step_and_the_end(tmp_path: Path) -> None:
    def slow(request: Mapping[str, Any], progress: Progress) -> None:
        progress({"step": request["word"]})

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    server = threading.Thread(
        target=lambda: steward.serve_connection(listening.accept()[0], {"slow": slow})
    )
    server.start()
    said = [line async for line in ask("slow", socket=tmp_path / "s", word="checking")]
    server.join(5)
    listening.close()
    assert said == [{"step": "checking"}, {"done": True, "ok": True}]


@pytest.mark.parametrize(("port", "said"), [("/dev/modem-usb", ""), ("/dev/sda", "is not on USB")])
async def test_a_program_asks_for_a_reset_and_hears_why_not(
    tmp_path: Path, port: str, said: str
) -> None:
    def reset(request: Mapping[str, Any], progress: Progress) -> None:
        if request["port"] != "/dev/modem-usb":
            raise VerbRefused("BAD_PORT", "is not on USB")

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    server = threading.Thread(
        target=lambda: steward.serve_connection(listening.accept()[0], {"usb-reset": reset})
    )
    server.start()
    assert await order(["usb-reset", f"port={port}"], tmp_path / "s") == said
    server.join(5)
    listening.close()


async def test_a_laptop_has_no_steward(tmp_path: Path) -> None:
    with pytest.raises(NoSteward):
        async for _ in ask("restart-box", socket=tmp_path / "none"):
            pass
    assert "none" in await order(["restart-box"], tmp_path / "none")


def test_who_hangs_up_does_not_stop_the_work() -> None:
    ours, theirs = socket.socketpair()
    done: list[str] = []

    def works(request: Mapping[str, Any], progress: Progress) -> None:
        for _ in range(2000):
            progress({"step": "x" * 200})
        done.append("yes")

    theirs.sendall(b'{"verb": "w"}\n')
    theirs.close()
    steward.serve_connection(ours, {"w": works})
    assert done == ["yes"]
