"""Notifications to systemd, over a real datagram socket."""

import asyncio
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.core.systemd import keep_alive, notify, watchdog_seconds


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "notify"))
    receiver.settimeout(5)
    yield receiver
    receiver.close()


def test_systemd_is_notified_that_the_box_is_ready(systemd: socket.socket) -> None:
    assert notify("READY=1", {"NOTIFY_SOCKET": str(systemd.getsockname())})
    assert systemd.recv(100) == b"READY=1"


def test_without_systemd_no_notification_is_sent() -> None:
    assert not notify("READY=1", {})
    assert watchdog_seconds({}) is None


def test_the_watchdog_of_another_process_is_ignored() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000"}) == 3.0


async def test_watchdog_notifications_stop_when_the_check_fails(systemd: socket.socket) -> None:
    alive, looked = True, asyncio.Event()

    async def look() -> bool:
        looked.set()
        return alive

    environment = {"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "30000"}
    signs = asyncio.create_task(keep_alive(look, environment))
    await looked.wait()
    assert await asyncio.to_thread(systemd.recv, 100) == b"WATCHDOG=1"
    alive = False
    looked.clear()
    await looked.wait()
    await asyncio.sleep(0)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            systemd.recv(100)
    looked.clear()
    await looked.wait()
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    signs.cancel()


async def test_a_check_that_hangs_sends_no_watchdog_notification(systemd: socket.socket) -> None:
    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    environment = {"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "30000"}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await keep_alive(hangs, environment)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


async def test_a_check_that_raises_sends_no_notification_and_the_next_one_does(
    systemd: socket.socket,
) -> None:
    looks = 0

    async def breaks_once() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise sqlite3.OperationalError("database is locked")
        return True

    environment = {"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "30000"}
    signs = asyncio.create_task(keep_alive(breaks_once, environment))
    assert await asyncio.to_thread(systemd.recv, 100) == b"WATCHDOG=1"
    assert looks == 2
    signs.cancel()
