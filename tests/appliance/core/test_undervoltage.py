"""The board's power supply: a dip is remembered, and no board without a sensor is blamed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.core.undervoltage import REMEMBERED_SECONDS, UndervoltageWatch
from tests.manual_clock import ManualClock


def sensor(folder: Path, number: int, name: str) -> Path:
    """One sensor as the kernel shows it; its alarm."""
    place = folder / f"hwmon{number}"
    place.mkdir()
    (place / "name").write_text(f"{name}\n")
    alarm = place / "in0_lcrit_alarm"
    alarm.write_text("0\n")
    return alarm


def test_a_dip_is_told_of_for_some_minutes(tmp_path: Path) -> None:
    sensor(tmp_path, 0, "cpu_thermal").write_text("1\n")  # another one's alarm is none of ours
    alarm = sensor(tmp_path, 1, "rpi_volt")
    clock = ManualClock()
    supply = UndervoltageWatch(clock, tmp_path)
    assert supply.supported
    told = [supply.low]
    for shown, seconds in (("1", 1.0), ("0", REMEMBERED_SECONDS - 2), ("0", 2.0)):
        alarm.write_text(shown)
        asyncio.run(supply.check())
        clock.advance(seconds)
        told.append(supply.low)
    assert told == [False, True, True, False]


@pytest.mark.parametrize("name", ["coretemp", None])
def test_a_board_that_tells_nothing_is_not_blamed(tmp_path: Path, name: str | None) -> None:
    if name:
        sensor(tmp_path, 0, name).write_text("1\n")
    supply = UndervoltageWatch(ManualClock(), tmp_path / "gone" if name is None else tmp_path)
    asyncio.run(supply.check())
    assert not supply.supported and not supply.low


def test_a_sensor_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    alarm = sensor(tmp_path, 0, "rpi_volt")
    supply = UndervoltageWatch(ManualClock(), tmp_path)
    alarm.unlink()
    asyncio.run(supply.check())
    assert not supply.low
