"""A box, its admin and browsers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.box.running import QUICK_DRIVER, Client, RunningBox, eventually
from tests.needed import needed
from tests.page.browser import Browser, Browsers, browser
from tests.page.owner import PASSWORD, Visit

NODE = Path(__file__).parent / "node"
INSTALL_SECONDS = 120

Open = Callable[..., Browser]


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core as the lock file says."""
    needed("npm")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        timeout=INSTALL_SECONDS,
        check=True,
    )
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture
def new_box(tmp_path: Path) -> Iterator[Callable[..., RunningBox]]:
    """Makes boxes that nobody has claimed; stopped after the test."""
    made: list[RunningBox] = []

    def make(**settings: str) -> RunningBox:
        named = {f"ZIMBOX_{name.upper()}": value for name, value in settings.items()}
        folder = tmp_path / f"box{len(made)}"
        folder.mkdir()
        running = RunningBox(folder, {**QUICK_DRIVER, **named})
        made.append(running)
        return running.start()

    yield make
    for running in made:
        running.stop()


def ready(box: RunningBox) -> None:
    """Wait for the simulated modem to be on its network."""

    eventually(
        lambda: any(device["state"] == "ready" for device in box.health()["devices"]),
        "the modem is ready",
    )


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A claimed box with a ready modem, for all tests of a file that leave it as they found it."""
    running = RunningBox(tmp_path_factory.mktemp("page"), QUICK_DRIVER).start()
    Visit(running.url).claim()
    ready(running)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def owner(owned: RunningBox) -> Visit:
    """The owner, logged in, without a browser."""
    visit = Visit(owned.url)
    visit.login()
    return visit


@pytest.fixture(scope="module")
def client(owned: RunningBox) -> Client:
    """A program with a live key."""
    return owned.client()


@pytest.fixture(scope="session")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsers]:
    needed("chromium", "chromedriver")
    made = Browsers(tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def open_browser(browsers: Browsers, tmp_path: Path) -> Iterator[Open]:
    """Opens browsers that know nothing; what has to be known from its start makes a new one."""
    with ExitStack() as stack:
        opened = 0

        def make(url: str, **how: Any) -> Browser:
            nonlocal opened
            opened += 1
            if how.keys() <= {"size", "language", "dark"}:
                return stack.enter_context(browsers.browser(url, **how))
            return stack.enter_context(browser(url, tmp_path / f"profile{opened}", **how))

        yield make


@pytest.fixture
def log_in(open_browser: Open) -> Open:
    """Opens browsers in which the owner is logged in."""

    def make(url: str, **how: Any) -> Browser:
        opened = open_browser(url, **how)
        opened.go("/login")
        opened.fill("password", PASSWORD)
        opened.click("main form button")
        opened.wait_until(lambda: opened.path == "/", "logged in")
        return opened

    return make
