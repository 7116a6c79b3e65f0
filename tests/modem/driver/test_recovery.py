"""The ladder: its order, what it needs, how long it rests."""

from __future__ import annotations

from modem.driver.recovery import Means, Step, pause, steps

EVERYTHING = Means(reset=True, power_key=True, supply=True)


def test_the_ladder_goes_from_mild_to_hard() -> None:
    assert steps(EVERYTHING, port=True, heard=True) == tuple(Step)


def test_a_box_without_pins_resets_by_words_only() -> None:
    assert steps(Means(), port=True, heard=True) == (Step.RESYNC, Step.REOPEN, Step.SOFT_RESET)


def test_a_port_that_is_gone_cannot_be_spoken_to() -> None:
    assert steps(EVERYTHING, port=False, heard=True) == (
        Step.REOPEN,
        Step.RESET,
        Step.POWER_KEY,
        Step.SUPPLY,
    )


def test_a_modem_that_was_never_heard_is_switched_on_first() -> None:
    assert steps(EVERYTHING, port=True, heard=False)[0] is Step.POWER_KEY


def test_pauses_double_up_to_ten_minutes_and_stay_there() -> None:
    assert [pause(n, 5, 600) for n in range(9)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert pause(10**9, 5, 600) == 600
