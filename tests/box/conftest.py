"""A box shared by all tests that need none of their own, and new clients of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox, eventually


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box for all tests of a file that need none of their own."""
    running = RunningBox(tmp_path_factory.mktemp("box")).start()
    eventually(lambda: running.health()["status"] == "ok", "the modem is ready")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared(box: RunningBox) -> Client:
    """A client whose messages nobody counts."""
    return box.client()


@pytest.fixture
def client(box: RunningBox) -> Client:
    """A client that nobody used before."""
    return box.client()


@pytest.fixture
def own_box(tmp_path: Path) -> Iterator[Callable[..., RunningBox]]:
    """Makes boxes with settings of the test's own; they are stopped after it."""
    made: list[RunningBox] = []

    def make(*options: str, **settings: str) -> RunningBox:
        named = {f"ZIMBOX_{name.upper()}": value for name, value in settings.items()}
        folder = tmp_path / f"box{len(made)}"
        folder.mkdir()
        running = RunningBox(folder, named)
        made.append(running)
        return running.start(*options)

    yield make
    for running in made:
        running.stop()
