"""Every problem appears on open pages by itself, with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.box.running import QUICK_DRIVER, Client, RunningBox
from tests.needed import needed
from tests.page.browser import Browser, browser
from tests.page.conftest import ready
from tests.page.owner import Visit
from tests.page.states import STATES, BadState

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
    french.wait_for("Tout va bien")
    for order in state.begin:
        troubled.simulate(**order)
    for number in range(state.sends):
        program.send(f"+3361234560{number}", "Bonjour")
    french.wait_for(state.french)
    english.wait_for(state.english)
    for order in state.end:
        troubled.simulate(**order)
    if state.end:
        french.wait_for("Tout va bien")
        english.wait_for("All is well")
    for looker in lookers:
        assert looker.strangers() == []
        assert looker.console == []
