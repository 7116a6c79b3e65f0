"""Undervoltage of the board, as the kernel of a Raspberry Pi reports it."""

from __future__ import annotations

from pathlib import Path

from appliance.core.clock import Clock

SENSORS = Path("/sys/class/hwmon")
# The kernel asks the firmware every two seconds and shows any dip since the last time (raspberrypi-hwmon).
CHECK_SECONDS = 1.0
REMEMBERED_SECONDS = 600.0  # a dip is as short as a transmit burst of the modem


class UndervoltageWatch:
    """Whether the voltage was too low within the last minutes; unknown on other machines than a Pi."""

    def __init__(self, clock: Clock, sensors: Path = SENSORS) -> None:
        self._clock = clock
        self._alarm = _alarm(sensors)
        self._low_at = float("-inf")

    @property
    def supported(self) -> bool:
        """Whether this board reports undervoltage."""
        return self._alarm is not None

    async def check(self) -> None:
        """Read the sensor and remember a dip. The kernel answers from memory, without blocking."""
        if self._alarm is not None and _read(self._alarm) == "1":
            self._low_at = self._clock.monotonic()

    @property
    def low(self) -> bool:
        return self._clock.monotonic() - self._low_at < REMEMBERED_SECONDS


def _alarm(sensors: Path) -> Path | None:
    for name in sorted(sensors.glob("hwmon*/name")):
        if _read(name) == "rpi_volt":
            return name.with_name("in0_lcrit_alarm")
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except OSError:
        return ""
