"""When the wall clock is trusted."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from appliance.core import clock
from appliance.core.clock import SystemClock
from tests.manual_clock import ManualClock


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board without a clock chip that no time server has reached."""
    model = tmp_path / "model"
    model.write_text("Raspberry Pi Zero 2 W Rev 1.0")
    monkeypatch.setattr(clock, "BOARD", model)
    monkeypatch.setattr(clock, "RTC", tmp_path / "rtc0")
    monkeypatch.setattr(clock, "SYNCHRONISED", tmp_path / "synchronized")
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: False)
    return tmp_path


def test_a_board_without_a_clock_chip_is_not_trusted(board: Path) -> None:
    assert not SystemClock("auto").trusted
    assert SystemClock("always").trusted


def test_a_time_server_or_a_clock_chip_makes_the_clock_trusted(board: Path) -> None:
    waiting = SystemClock("auto")
    (board / "synchronized").touch()
    assert waiting.trusted
    (board / "synchronized").unlink()
    (board / "rtc0").touch()
    assert SystemClock("auto").trusted


def test_the_mobile_network_can_only_confirm_the_clock(board: Path) -> None:
    waiting = SystemClock("auto")
    waiting.compare_network_time(time.time() - 3600)  # a wrong zone, or our clock is wrong
    assert not waiting.trusted
    waiting.compare_network_time(time.time() + 20)
    assert waiting.trusted


def test_a_clock_behind_what_the_box_has_seen_is_wrong(board: Path) -> None:
    (board / "rtc0").touch()
    tomorrow = round((time.time() + 86_400) * 1000)
    assert not SystemClock("auto", not_before=tomorrow).trusted


async def test_a_manual_clock_wakes_waiters_at_their_time() -> None:
    manual = ManualClock()
    event = asyncio.Event()
    waiting = asyncio.create_task(manual.wait(event, 10))
    await asyncio.sleep(0)
    manual.advance(9)
    await asyncio.sleep(0)
    assert not waiting.done()
    manual.advance(1)
    assert await waiting is False
    ringing = asyncio.create_task(manual.wait(event, 10))
    event.set()
    assert await ringing is True
