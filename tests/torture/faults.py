"""What happens to the box while it works. Each fault begins, lasts, and is over when its function returns."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import requests

from tests.box.listening import Call, Listener
from tests.box.outside import OutsideModem
from tests.box.running import RunningBox
from tests.box.set_clock import SetClock
from tests.torture.disk import Disk

HOSTILE_SECONDS = 10.0  # for one hostile connection


class World(Protocol):
    """What faults happen to."""

    box: RunningBox
    modem: OutsideModem
    listener: Listener
    chance: random.Random
    disk: Disk | None  # a small disk of its own, which needs root
    clock: SetClock
    port: int

    def start(self) -> None: ...
    def lasts(self, shortest: float, longest: float) -> None:
        """Let the fault last for a random time."""


def kill(world: World) -> None:
    """kill -9, and a start."""
    world.box.kill()
    world.start()


def stop(world: World) -> None:
    """SIGTERM, and a start."""
    world.box.stop()
    world.start()


def freeze(world: World) -> None:
    """The process stands still, as on a card that takes seconds for a write."""
    os.kill(world.box.pid, signal.SIGSTOP)
    try:
        world.lasts(0.2, 2.0)
    finally:
        os.kill(world.box.pid, signal.SIGCONT)


def failing_disk(world: World) -> None:
    """Writes beyond the present size of a file fail."""
    with _limited(world.box.pid, resource.RLIMIT_FSIZE, 100_000):
        world.lasts(0.2, 2.0)


def full_disk(world: World) -> None:
    """No byte is free."""
    assert world.disk is not None
    with world.disk.full():
        world.lasts(0.5, 3.0)


def power_cut(world: World) -> None:
    """What is not synced is lost with the process."""
    assert world.disk is not None
    world.disk.cut_under(world.box)
    world.start()


def clock_steps(world: World) -> None:
    """The wall clock is set, and back."""
    world.clock.step(world.chance.choice(CLOCK_STEPS))
    world.lasts(0.5, 3.0)
    world.clock.step(0)


HOUR = 3600.0
CLOCK_STEPS = (-20 * HOUR, -2 * HOUR, -300.0, 300.0, 2 * HOUR, 20 * HOUR)


def no_descriptors(world: World) -> None:
    """Nearly no file can be opened, no connection accepted."""
    most = len(list(Path(f"/proc/{world.box.pid}/fd").iterdir())) + 2
    with _limited(world.box.pid, resource.RLIMIT_NOFILE, most):
        world.lasts(0.2, 2.0)


@contextlib.contextmanager
def _limited(pid: int, what: int, most: int) -> Iterator[None]:
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, what, (soft, hard))


# --- the modem -------------------------------------------------------------------------------------


def silent_modem(world: World) -> None:
    world.modem.order("hang")
    world.lasts(0.5, 3.0)
    world.modem.order("restart")


def modem_restarts(world: World) -> None:
    world.modem.order("restart", seconds=0.3)
    world.lasts(0.3, 1.0)


def unplugged(world: World) -> None:
    world.modem.order("unplug")
    world.lasts(0.5, 3.0)
    world.modem.order("plug")


def garbled_line(world: World) -> None:
    world.modem.order(
        "line",
        lose=0.0005,
        double=0.0005,
        garble=0.0005,
        noise=0.0003,
        split=0.05,
        spare=["garble"],
    )
    world.lasts(1.0, 4.0)
    world.modem.order("line")


def other_sim(world: World) -> None:
    """Another SIM is put in; messages that have begun wait for theirs."""
    insert(world, OTHER_ICCID)
    world.lasts(1.0, 3.0)
    insert(world, FIRST_ICCID)


def other_modem(world: World) -> None:
    """Another modem is on the port, with the same SIM or another one, and then the first one again."""
    swap(world, OTHER_IMEI, world.chance.choice((FIRST_ICCID, OTHER_ICCID)))
    world.lasts(1.0, 3.0)
    swap(world, FIRST_IMEI, FIRST_ICCID)


def swap(world: World, imei: str, iccid: str) -> None:
    world.modem.order("unplug")
    insert(world, iccid)
    world.modem.order("plug", imei=imei)


FIRST_IMEI, OTHER_IMEI = "860123456789015", "860123456789023"
FIRST_ICCID, OTHER_ICCID = "89490200001234567890", "89490200009876543210"


def insert(world: World, iccid: str) -> None:
    world.modem.order("sim", present=False)
    world.modem.order("sim", iccid=iccid)


def lost_answers(world: World) -> None:
    """The network takes parts, and the answer never comes."""
    world.modem.order("send", at="answer", silent=True, times=world.chance.randint(1, 2))
    world.lasts(0.5, 2.0)


def refusals(world: World) -> None:
    world.modem.order("send", cms=41, times=world.chance.randint(1, 4))
    world.lasts(0.2, 1.0)


def no_network(world: World) -> None:
    world.modem.order("registration", stat=2)
    world.lasts(0.5, 2.0)
    world.modem.order("registration", stat=1)


def odd_reports(world: World) -> None:
    """Reports that are lost, early, doubled, out of order, or of a failure."""
    odd: list[dict[str, object]] = [
        {"lost": True},
        {"early": True},
        {"copies": 2},
        {"swap": True},
        {"status": [0x30, 0x00], "apart": 0.05},
        {"status": [0x46]},
    ]
    for words in odd:
        world.modem.order("report", times=2, **words)
    world.lasts(0.5, 1.5)


# --- the network -----------------------------------------------------------------------------------


def failing_receiver(world: World) -> None:
    """The webhook receiver answers 500."""

    def refuse(_: Call) -> tuple[int, dict[str, str]]:
        return 500, {}

    well, world.listener.answer = world.listener.answer, refuse
    world.lasts(0.5, 2.0)
    world.listener.answer = well


def hostile_clients(world: World) -> None:
    """Half-open connections, endless heads, and the largest bodies that make no message."""
    held: list[socket.socket] = []
    try:
        for n in range(60):
            with contextlib.suppress(OSError):
                line = socket.create_connection(("127.0.0.1", world.port), timeout=HOSTILE_SECONDS)
                held.append(line)
                line.sendall((b"", b"GET / HT", b"POST /v1/sms/send HTTP/1.1\r\nA: ")[n % 3])
        for line in held[2::3]:
            with contextlib.suppress(OSError):
                line.sendall(b"x" * 200_000)
        for body in (b"[" * 200_000, b'{"messages":[' + b"{}," * 300_000, b"\xff" * 100_000):
            with contextlib.suppress(requests.RequestException):
                requests.post(
                    f"http://127.0.0.1:{world.port}/v1/sms/send-bulk",
                    data=body,
                    headers={"X-API-Key": "zs_live_none", "X-Client-ID": "client_1"},
                    timeout=HOSTILE_SECONDS,
                )
        world.lasts(0.1, 0.5)
    finally:
        for line in held:
            line.close()


def incoming(world: World, text: str) -> None:
    world.modem.order("incoming", sender="+4915799999999", text=text)


Fault = Callable[[World], None]
OTHERS: tuple[Fault, ...] = (
    stop,
    freeze,
    failing_disk,
    full_disk,
    power_cut,
    clock_steps,
    no_descriptors,
    silent_modem,
    modem_restarts,
    unplugged,
    garbled_line,
    other_sim,
    other_modem,
    lost_answers,
    refusals,
    no_network,
    odd_reports,
    failing_receiver,
    hostile_clients,
)
# They need a disk of the box's own, so the right to mount.
NEED_DISK: tuple[Fault, ...] = (full_disk, power_cut)


def name(fault: Fault) -> str:
    return fault.__name__.replace("_", " ")


def pause(seconds: float) -> None:
    """Let the traffic go on between two faults."""
    time.sleep(seconds)  # the duration of the fault
