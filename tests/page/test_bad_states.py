"""One look tells what is wrong and what to do: every bad state appears on open pages by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox
from tests.page.browser import Browser, browser
from tests.page.conftest import Open, ready
from tests.page.owner import Visit
from tests.page.states import STATES, BadState

pytestmark = pytest.mark.xdist_group(__name__)  # one worker, one box

NewBox = Callable[..., RunningBox]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box that all this happens to."""
    running = RunningBox(tmp_path_factory.mktemp("troubled")).start()
    Visit(running.url).claim()
    ready(running)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def program(troubled: RunningBox) -> Client:
    return troubled.client()


@pytest.fixture(scope="module")
def lookers(
    troubled: RunningBox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Browser, Browser]]:
    """A French telephone and an English desk, both looking at the box all the time."""
    folder = tmp_path_factory.mktemp("profiles")
    with (
        browser(troubled.url, Path(folder / "fr"), size="phone", language="fr") as french,
        browser(troubled.url, Path(folder / "en"), size="desktop", language="en") as english,
    ):
        for looker in (french, english):
            looker.go("/")
        yield french, english


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_a_bad_state_and_its_end_show_on_open_pages(
    troubled: RunningBox, program: Client, lookers: tuple[Browser, Browser], state: BadState
) -> None:
    french, english = lookers
    french.wait_for("Tout va bien.")
    for order in state.begin:
        troubled.simulate(**order)
    for number in range(state.sends):
        program.send(f"+3361234560{number}", "Bonjour")
    french.wait_for(state.french)
    english.wait_for(state.english)
    for order in state.end:
        troubled.simulate(**order)
    if state.end:
        french.wait_for("Tout va bien.")
        english.wait_for("All is well.")
    for looker in lookers:
        assert looker.strangers() == []
        assert looker.console == []


def test_a_full_card_is_told_before_anything_is_lost(new_box: NewBox, open_browser: Open) -> None:
    box = new_box(storage_reserve_mib="100000000")
    ready(box)
    person = open_browser(box.url, language="en")
    person.go("/")
    person.wait_for("The memory card is full and the box takes no more messages")


def test_a_limit_that_holds_the_queue_back_is_told_with_what_is_used_up(
    new_box: NewBox, open_browser: Open
) -> None:
    box = new_box(limits_per_day="2")
    ready(box)
    program = box.client()
    for number in range(2):
        program.until(program.send(f"+3361234560{number}"), "delivered")
    person = open_browser(box.url, language="fr", size="phone")
    person.go("/")
    person.wait_for("2 / 2 par jour")
    program.send("+33612345609", "En attente", priority=5)
    person.wait_for("la limite du jour est atteinte")
    person.wait_for("En nombre")
