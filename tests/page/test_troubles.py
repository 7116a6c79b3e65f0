"""Problems of the box itself are shown with their remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.core.clock import synchronised
from tests.box.running import RunningBox
from tests.box.when import noon
from tests.page.conftest import Open, ready
from tests.page.troubles import TROUBLES, CannotMount, Trouble

pytestmark = pytest.mark.seconds(15)

NewBox = Callable[..., RunningBox]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.name)
def test_a_problem_is_shown_with_its_remedy(
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


def test_a_reached_limit_is_shown_with_its_use(new_box: NewBox, open_browser: Open) -> None:
    box = new_box(limits_per_day="2", time_zone=noon())
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
