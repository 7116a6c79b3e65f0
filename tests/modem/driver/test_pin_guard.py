"""The PIN guard decides about attempts, and remembers them through power cuts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modem.driver import pin_guard
from modem.driver.pin_guard import FilePinMemory

SIM = "89490200001234567890"


@pytest.mark.parametrize(
    ("tries_left", "failed_before", "allowed"),
    [
        (3, False, True),
        (3, True, True),  # the count is back: the owner has unlocked the SIM elsewhere
        (2, False, False),
        (1, False, False),
        (0, False, False),
        (None, False, True),
        (None, True, False),
        (10, False, True),
        (10, True, False),
    ],
)
def test_by_itself_the_box_makes_one_pin_attempt_at_most(
    tries_left: int | None, failed_before: bool, allowed: bool
) -> None:
    why = pin_guard.automatic(tries_left=tries_left, failed_before=failed_before)
    assert (why == "") is allowed


@pytest.mark.parametrize(
    ("tries_left", "allowed"), [(3, True), (2, True), (1, False), (None, True)]
)
def test_the_admin_may_try_from_two_attempts_left(tries_left: int | None, allowed: bool) -> None:
    assert pin_guard.may_be_typed(tries_left=tries_left) is allowed


@pytest.mark.parametrize(("code", "good"), [("1234", True), ("12345678", True), ("123", False),
                                            ("12a4", False), ("", False), ("١٢٣٤", False)])  # fmt: skip
def test_a_pin_is_four_to_eight_digits(code: str, good: bool) -> None:
    assert pin_guard.wellformed(code) is good


def test_a_started_attempt_is_remembered_by_the_next_start(tmp_path: Path) -> None:
    FilePinMemory(tmp_path / "pin.json").trying(SIM, "1234")
    again = FilePinMemory(tmp_path / "pin.json")
    assert again.failed(SIM, "1234")
    assert not again.failed(SIM, "4321")
    assert not again.failed("89490200001234567891", "1234")


def test_success_clears_the_attempt(tmp_path: Path) -> None:
    memory = FilePinMemory(tmp_path / "pin.json")
    memory.trying(SIM, "1234")
    memory.trying(SIM, "9999")
    memory.succeeded(SIM, "1234")
    assert not memory.failed(SIM, "1234")
    assert memory.failed(SIM, "9999")


def test_the_file_holds_no_pin_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "pin.json"
    FilePinMemory(path).trying(SIM, "4071")
    assert "4071" not in path.read_text().replace(SIM, "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_an_unreadable_file_counts_as_a_failed_attempt(tmp_path: Path) -> None:
    path = tmp_path / "pin.json"
    path.write_text("{")
    memory = FilePinMemory(path)
    assert memory.failed(SIM, "1234")
    memory.trying(SIM, "1234")  # the owner typed it
    memory.succeeded(SIM, "1234")
    assert not memory.failed(SIM, "1234")


def test_tries_of_several_modems_at_once_are_all_remembered(tmp_path: Path) -> None:
    """Each modem has its own memory of the one file, and at a start all of them write."""
    sims = [f"8949020000123456789{n}" for n in range(8)]
    memories = [FilePinMemory(tmp_path / "pin.json") for _ in sims]
    with ThreadPoolExecutor(len(sims)) as modems:
        list(modems.map(FilePinMemory.trying, memories, sims, ["1234"] * len(sims)))
    assert [sim for sim in sims if not memories[0].failed(sim, "1234")] == []


def test_what_a_file_said_that_cannot_be_understood_stays_unknown_of_the_other_sims(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pin.json"
    path.write_text("{")
    memory = FilePinMemory(path)
    memory.trying(SIM, "1234")
    memory.succeeded(SIM, "1234")
    memory.trying(SIM, "1234")  # at the next start
    memory.succeeded(SIM, "1234")
    assert not memory.failed(SIM, "1234")
    assert memory.failed("89490200001234567891", "1234")
