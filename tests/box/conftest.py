"""One box for all tests that do not need one of their own, and fresh clients of it."""

from collections.abc import Iterator

import pytest

from tests.box.running import Client, RunningBox


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box that runs for the whole session."""
    running = RunningBox(tmp_path_factory.mktemp("box")).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def shared(box: RunningBox) -> Client:
    """A client whose messages nobody counts."""
    return box.client()


@pytest.fixture
def client(box: RunningBox) -> Client:
    """A client that nobody used before."""
    return box.client()
