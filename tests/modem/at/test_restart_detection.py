"""Which start-up lines mean that the modem has restarted."""

from __future__ import annotations

import pytest

from modem.at.restart_detection import Meaning, RestartDetector


def meanings(*lines: str, after: float = 0.0, step: float = 1.0) -> list[Meaning]:
    boot = RestartDetector(0.0, tail_seconds=60.0)
    return [boot.line(line, after + i * step) for i, line in enumerate(lines)]


def test_the_start_of_a_sim800_is_one_restart_and_its_tail() -> None:
    found = meanings("RDY", "+CFUN: 1", "+CPIN: READY", "Call Ready", "SMS Ready", after=500)
    assert found == [
        Meaning.RESTART,
        Meaning.TAIL,
        Meaning.NOTHING,
        Meaning.TAIL,
        Meaning.TAIL,
    ]


def test_an_auto_bauding_sim800_says_nothing_before_call_ready() -> None:
    """Its settings are checked at the first start; at the next one the same two lines prove it."""
    assert meanings("Call Ready", "SMS Ready", after=500) == [Meaning.SUSPECT, Meaning.SUSPECT]
    found = meanings("RDY", "Call Ready", "SMS Ready", "Call Ready", "SMS Ready", step=100)
    assert found[3:] == [Meaning.SUSPECT, Meaning.RESTART]


def test_the_last_line_of_a_slow_start_is_no_restart() -> None:
    """PB DONE 35 s after RDY, in the middle of a send."""
    assert meanings("RDY", "SMS DONE", "PB DONE", step=65)[1:] == [Meaning.SUSPECT] * 2


def test_a_start_up_line_during_our_own_start_is_only_suspicious() -> None:
    assert meanings("SMS Ready", after=3) == [Meaning.SUSPECT]


def test_the_same_line_twice_in_one_start_is_suspicious() -> None:
    found = meanings("RDY", "SMS Ready", "SMS Ready", after=500)
    assert found == [Meaning.RESTART, Meaning.TAIL, Meaning.SUSPECT]


@pytest.mark.parametrize(
    "line", ["NORMAL POWER DOWN", "UNDER-VOLTAGE POWER DOWN", "*ATREADY: 1", "RDY"]
)
def test_power_down_and_first_start_up_lines_are_always_a_restart(line: str) -> None:
    assert meanings(line) == [Meaning.RESTART]


@pytest.mark.parametrize(
    "line", ["OVER-VOLTAGE WARNNING", "UNDER-VOLTAGE WARNNING", "+CREG: 1", "RING"]
)
def test_other_lines_do_not_indicate_a_restart(line: str) -> None:
    assert meanings(line, after=500) == [Meaning.NOTHING]
