"""The steps of recovery: order, requirements, pauses."""

from __future__ import annotations

from modem.driver.recovery import PowerCapabilities, RecoveryStep, pause, steps

EVERYTHING = PowerCapabilities(reset=True, power_key=True, supply=True)


def test_the_ladder_goes_from_mild_to_hard() -> None:
    assert steps(EVERYTHING, port=True, has_answered=True) == tuple(RecoveryStep)


def test_a_box_without_pins_resets_by_words_only() -> None:
    assert steps(PowerCapabilities(), port=True, has_answered=True) == (
        RecoveryStep.RESYNC,
        RecoveryStep.REOPEN,
        RecoveryStep.SOFT_RESET,
    )


def test_a_port_that_is_gone_cannot_be_spoken_to() -> None:
    assert steps(EVERYTHING, port=False, has_answered=True) == (
        RecoveryStep.REOPEN,
        RecoveryStep.RESET,
        RecoveryStep.POWER_KEY,
        RecoveryStep.SUPPLY,
    )


def test_a_modem_that_was_never_heard_is_switched_on_first() -> None:
    assert steps(EVERYTHING, port=True, has_answered=False)[0] is RecoveryStep.POWER_KEY


def test_pauses_double_up_to_ten_minutes_and_stay_there() -> None:
    assert [pause(n, 5, 600) for n in range(9)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert pause(10**9, 5, 600) == 600
