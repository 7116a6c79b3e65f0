"""PWRKEY, RESET and supply of a module: how a HAT controls a modem that does not answer.

PWRKEY toggles: pressed on a running modem it switches it off. So it is only pressed after the
modem was asked and did not answer, and the caller looks again after every press.
"""

from __future__ import annotations

import importlib
import subprocess
import time
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from modem.driver.recovery import PowerCapabilities


class PowerError(Exception):
    """The pin or command that controls the modem's supply is missing or fails."""


class PowerKey(Protocol):
    """Power controls of a modem. The methods block for seconds and raise PowerError."""

    @property
    def capabilities(self) -> PowerCapabilities: ...

    @property
    def off_seconds(self) -> float:
        """How long the module needs to switch off, in seconds."""
        ...

    def running(self) -> bool | None:
        """Return the state of the STATUS pin; None if it is not wired."""
        ...

    def switch_on(self) -> None:
        """Press the power key as long as switching on requires."""

    def switch_off(self) -> None:
        """Press the power key as long as switching off requires."""

    def reset(self) -> None: ...

    def cut_supply(self) -> None:
        """Switch supply or USB port off and on."""


class Wiring(msgspec.Struct, frozen=True):
    """The wiring of a HAT in BCM numbers, and the pulse lengths of its module."""

    power_key: int | None = None
    reset: int | None = None
    status: int | None = None  # high while the module runs
    at_rest: tuple[int, ...] = ()  # kept low while the service runs, e.g. flight mode
    active_low: bool = False  # True without a transistor between pin and key
    on_seconds: float = 1.2
    off_seconds: float = 3.0
    off_takes_seconds: float = 8.0
    reset_seconds: float = 0.3
    supply_command: tuple[str, ...] = ()  # switches the supply off and on, e.g. uhubctl's
    supply_seconds: float = 30.0


# Lengths are from the vendors' hardware manuals, pins from the makers' wiring tables; the owner can
# override everything. On these boards a transistor makes the keys active high.
_SIM7000 = Wiring(power_key=4, on_seconds=1.2, off_seconds=1.4, off_takes_seconds=8.0)
WIRINGS: Mapping[str, Wiring] = {
    # Many boards have no PWRKEY at all. Longer than 33 s restarts a SIM800; RST is a last resort.
    "SIM800L": Wiring(on_seconds=1.2, off_seconds=2.0, reset_seconds=0.2),
    "SIM868": Wiring(
        # Waveshare's HAT has no transistor: low for 4 s, high at rest. Seen alike in three libraries
        # for it: lliendo/WaveHat, Civlo85/gsmHat, matthewnaruzny/ws_sim868.
        power_key=4,
        active_low=True,
        on_seconds=4.0,
        off_seconds=4.0,
        reset_seconds=0.2,
    ),
    # Pin 4, with the jumper FLIGHT on D4: high is flight mode (Waveshare's manual for the SIM7600E-H 4G HAT, 2018).
    "SIM7600": Wiring(
        power_key=6, at_rest=(4,), on_seconds=0.6, off_seconds=2.8, off_takes_seconds=30.0
    ),
    # The 7070 and 7080 are wired and switched as the 7000.
    **dict.fromkeys(("SIM7000", "SIM7070", "SIM7080"), _SIM7000),
    "A7670": Wiring(on_seconds=0.8, off_seconds=3.2, reset_seconds=2.6),
    "EC25": Wiring(on_seconds=0.6, off_seconds=0.8, off_takes_seconds=30.0, reset_seconds=0.3),
}


class GpioPower:
    """A `PowerKey` over libgpiod (v2). The outputs are kept until the process ends.

    A line that is given back becomes an input with the chip's own pull, which on GPIO4 and 6 is up: on a
    board with a transistor that is a pressed key.
    """

    def __init__(self, wiring: Wiring, *, chip: str = "/dev/gpiochip0") -> None:
        self._wiring = wiring
        self._chip = chip
        self._held: Any = None  # the request for the outputs

    def hold(self) -> None:
        """Drive the keys at their inactive level and the pins at rest low. Raises PowerError."""
        wiring = self._wiring
        keys = [pin for pin in (wiring.power_key, wiring.reset) if pin is not None]
        if self._held is not None or not (keys or wiring.at_rest):
            return
        levels = dict.fromkeys(wiring.at_rest, False) | dict.fromkeys(keys, wiring.active_low)
        self._held = self._request(levels, output=True)

    @property
    def capabilities(self) -> PowerCapabilities:
        return PowerCapabilities(
            reset=self._wiring.reset is not None,
            power_key=self._wiring.power_key is not None,
            supply=bool(self._wiring.supply_command),
        )

    @property
    def off_seconds(self) -> float:
        return self._wiring.off_takes_seconds

    def switch_on(self) -> None:
        self._press(self._wiring.power_key, self._wiring.on_seconds)

    def switch_off(self) -> None:
        self._press(self._wiring.power_key, self._wiring.off_seconds)

    def reset(self) -> None:
        self._press(self._wiring.reset, self._wiring.reset_seconds)

    def cut_supply(self) -> None:
        try:
            subprocess.run(
                self._wiring.supply_command,
                check=True,
                timeout=self._wiring.supply_seconds,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise PowerError(f"the supply could not be switched: {error}") from error

    def running(self) -> bool | None:
        pin = self._wiring.status
        if pin is None:
            return None
        with self._request({pin: False}, output=False) as line:
            try:
                return bool(line.get_value(pin).value)
            except OSError as error:
                raise PowerError(f"pin {pin} of {self._chip}: {error}") from error

    def _press(self, pin: int | None, seconds: float) -> None:
        if pin is None:
            raise PowerError("no such pin is configured")
        self.hold()
        try:
            self._held.set_value(pin, _states().Value.ACTIVE)
            time.sleep(seconds)
            self._held.set_value(pin, _states().Value.INACTIVE)
        except OSError as error:
            self._held.release()
            self._held = None
            raise PowerError(f"pin {pin} of {self._chip}: {error}") from error

    def _request(self, active_low: Mapping[int, bool], *, output: bool) -> Any:
        """Take the pins. Only a board has the library, so it is imported here and not at the start."""
        try:
            gpiod = importlib.import_module("gpiod")
            states = _states()
        except ImportError as error:
            raise PowerError("the library gpiod (libgpiod 2) is not installed") from error
        direction = states.Direction.OUTPUT if output else states.Direction.INPUT
        settings = {
            pin: gpiod.LineSettings(direction=direction, active_low=low)
            for pin, low in active_low.items()
        }
        try:
            return gpiod.request_lines(self._chip, consumer="zimbox", config=settings)
        except (OSError, ValueError) as error:
            pins = ", ".join(map(str, settings))
            raise PowerError(f"pin {pins} of {self._chip}: {error}") from error


def _states() -> Any:
    return importlib.import_module("gpiod.line")
