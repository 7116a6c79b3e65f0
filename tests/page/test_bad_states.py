"""One look tells what is wrong and what to do: every bad state appears on open pages by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.clock import synchronised
from tests.box.running import QUICK_DRIVER, Client, RunningBox
from tests.needed import needed
from tests.page.browser import Browser, browser
from tests.page.conftest import Open, ready
from tests.page.owner import Visit
from tests.page.states import STATES, BadState
from tests.page.troubles import TROUBLES, CannotMount, Trouble

pytestmark = pytest.mark.seconds(115)

NewBox = Callable[..., RunningBox]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box that all this happens to."""
    running = RunningBox(tmp_path_factory.mktemp("troubled"), QUICK_DRIVER).start()
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
    needed("chromium", "chromedriver")
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


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_a_fault_of_the_box_is_told_with_what_to_do(
    tmp_path: Path, open_browser: Open, trouble: Trouble
) -> None:
    if trouble.name == "clock-unknown" and synchronised():
        pytest.skip("NOT TESTED: a time server keeps this machine's clock")
    folder = tmp_path / "box"
    folder.mkdir()
    with ExitStack() as stack:
        try:
            box = stack.enter_context(trouble.happens(folder))
        except CannotMount:
            if os.environ.get("CI") == "true":
                pytest.fail("cannot mount a small disk here")
            pytest.skip("NOT TESTED: mounting a small disk needs root")
        french = open_browser(box.url, language="fr", size="phone")
        english = open_browser(box.url, language="en", size="desktop")
        for looker, words in ((french, trouble.french), (english, trouble.english)):
            looker.go("/")
            looker.wait_until(
                lambda looker=looker, words=words: words in looker.find(".verdict").text,  # type: ignore[misc]
                words,
            )
            assert not looker.wider_than_the_screen()
            assert looker.strangers() == []
            assert looker.console == []


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
