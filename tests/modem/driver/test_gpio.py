"""The keys of HATs: pin, polarity and duration. The GPIO chip is a stand-in."""

from __future__ import annotations

import sys
import time
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

from modem.driver.gpio import WIRINGS, GpioPower, PowerError, Wiring
from modem.driver.recovery import PowerCapabilities


class Value(Enum):
    INACTIVE = 0
    ACTIVE = 1


class Direction(Enum):
    INPUT = 1
    OUTPUT = 2


class Chip(ModuleType):
    """What is used of libgpiod: it writes down who took which line and what it was set to."""

    def __init__(self) -> None:
        super().__init__("gpiod")
        self.line = ModuleType("gpiod.line")
        self.line.Value, self.line.Direction = Value, Direction  # type: ignore[attr-defined]
        self.requests: list[tuple[Any, ...]] = []
        self.level = Value.INACTIVE

    @staticmethod
    def LineSettings(**settings: Any) -> dict[str, Any]:  # noqa: N802 - the library's name
        return settings

    def request_lines(self, path: str, *, consumer: str, config: dict[int, Any]) -> Chip:
        if path == "/dev/none":
            raise FileNotFoundError(path)
        for pin, settings in config.items():
            self.requests.append(
                ("taken", pin, settings["direction"], settings["active_low"], consumer)
            )
        self.taken = list(config)
        return self

    def __enter__(self) -> Chip:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        self.requests += [("given back", pin) for pin in self.taken]

    def set_value(self, pin: int, value: Value) -> None:
        self.requests.append((pin, value, time.monotonic()))

    def get_value(self, pin: int) -> Value:
        return self.level


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Chip:
    chip = Chip()
    monkeypatch.setitem(sys.modules, "gpiod", chip)
    monkeypatch.setitem(sys.modules, "gpiod.line", chip.line)
    return chip


def test_a_press_is_as_long_as_the_module_wants_and_then_the_pin_stays_inactive(chip: Chip) -> None:
    power = GpioPower(Wiring(power_key=4, on_seconds=0.05, off_seconds=0.1))
    power.switch_on()
    taken, pressed, released = chip.requests
    assert taken == ("taken", 4, Direction.OUTPUT, False, "zimbox")
    assert (pressed[1], released[1]) == (Value.ACTIVE, Value.INACTIVE)
    assert released[2] - pressed[2] >= 0.05
    power.switch_off()
    assert chip.requests[4][2] - chip.requests[3][2] >= 0.1
    assert ("given back", 4) not in chip.requests


def test_every_output_is_taken_at_its_inactive_level_before_a_key_is_pressed(chip: Chip) -> None:
    GpioPower(Wiring(power_key=4, reset=17, active_low=True, at_rest=(27,))).hold()
    output = Direction.OUTPUT
    assert sorted(chip.requests) == [
        ("taken", 4, output, True, "zimbox"),
        ("taken", 17, output, True, "zimbox"),
        ("taken", 27, output, False, "zimbox"),
    ]
    GpioPower(Wiring(supply_command=("true",))).hold()
    assert len(chip.requests) == 3


def test_flight_mode_of_a_sim7600_hat_is_kept_off(chip: Chip) -> None:
    GpioPower(WIRINGS["SIM7600"]).hold()
    assert ("taken", 4, Direction.OUTPUT, False, "zimbox") in chip.requests


def test_polarity_follows_the_wiring(chip: Chip) -> None:
    GpioPower(Wiring(reset=17, active_low=True, reset_seconds=0.01)).reset()
    assert chip.requests[0] == ("taken", 17, Direction.OUTPUT, True, "zimbox")


def test_a_status_pin_tells_whether_the_module_runs(chip: Chip) -> None:
    power = GpioPower(Wiring(power_key=4, status=27, active_low=True))
    assert power.running() is False
    chip.level = Value.ACTIVE
    assert power.running() is True
    assert chip.requests[0] == ("taken", 27, Direction.INPUT, False, "zimbox")
    assert GpioPower(Wiring(power_key=4)).running() is None


def test_an_unwired_function_is_an_error(chip: Chip) -> None:
    power = GpioPower(Wiring(power_key=4))
    assert power.capabilities == PowerCapabilities(power_key=True)
    with pytest.raises(PowerError):
        power.reset()
    with pytest.raises(PowerError):
        GpioPower(Wiring(power_key=4), chip="/dev/none").switch_on()


def test_a_board_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(PowerError, match="gpiod"):
        GpioPower(Wiring(power_key=4, on_seconds=0.01)).switch_on()


@pytest.mark.process
def test_the_supply_is_switched_by_the_owners_command() -> None:
    power = GpioPower(Wiring(supply_command=(sys.executable, "-c", "pass")))
    assert power.capabilities == PowerCapabilities(supply=True)
    power.cut_supply()
    for command in (("/bin/false",), ("/no/such/command",)):
        with pytest.raises(PowerError):
            GpioPower(Wiring(supply_command=command)).cut_supply()


@pytest.mark.parametrize("hat", WIRINGS)
def test_no_hat_keeps_its_key_pressed_for_ever(hat: str) -> None:
    wiring = WIRINGS[hat]
    # 33 s on PWRKEY restart a SIM800; a press for off is the longer one on every module.
    assert 0.1 <= wiring.on_seconds <= wiring.off_seconds < 10
    assert 0.1 <= wiring.reset_seconds <= 3


def test_the_key_of_a_sim868_hat_is_pressed_low() -> None:
    assert WIRINGS["SIM868"].active_low
    assert WIRINGS["SIM868"].on_seconds == 4.0
