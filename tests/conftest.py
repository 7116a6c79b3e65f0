"""Fixtures and options for all tests: environment, order, --quick, skipped tests on CI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest
import structlog

from image.builder.checks import BEYOND

ROOT = Path(__file__).parents[1]
# Their tests start the box itself, a browser or another program.
OF_PROCESSES = ("bench", "box", "docs", "page")

# No property here is about speed, and a busy machine is slow now and then.
hypothesis.settings.register_profile("box", deadline=None)
hypothesis.settings.load_profile("box")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure", action="store_true", help="also what is measured by the clock")
    parser.addoption(
        "--quick",
        action="store_true",
        help="only tests that start no process and take no long time",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "measure: bounds a time or a rate (only with --measure)")
    config.addinivalue_line("markers", "process: starts a process (left out by --quick)")
    config.addinivalue_line(
        "markers", "seconds(n): takes about n seconds, and is started early (left out by --quick)"
    )


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the longest first, so that none is left over at the end; keep together what shares a fixture."""
    if not config.getoption("measure"):
        measured = [item for item in items if item.get_closest_marker("measure")]
        config.hook.pytest_deselected(items=measured)
        items[:] = [item for item in items if item not in set(measured)]
    if config.getoption("quick"):
        quick = {item for item in items if not (_starts_processes(item) or _seconds(item))}
        config.hook.pytest_deselected(items=[item for item in items if item not in quick])
        items[:] = [item for item in items if item in quick]
    items.sort(key=_seconds, reverse=True)
    for item in items:
        if _shares(item):
            item.add_marker(
                pytest.mark.xdist_group(item.path.relative_to(ROOT / "tests").as_posix())
            )


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("seconds")
    return float(mark.args[0]) if mark else 0.0


def _shares(item: pytest.Item) -> bool:
    """Whether the test uses something that other tests of its file change: they run in one worker, in a fixed order."""
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(one.scope == "module" for name in fixtures for one in fixtures[name])


def _starts_processes(item: pytest.Item) -> bool:
    folder = item.path.relative_to(ROOT / "tests").parts[0]
    return folder in OF_PROCESSES or item.get_closest_marker("process") is not None


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A command that a test runs in this process sets the log up to its own taste."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def no_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick test that starts a process is not marked as it should be."""
    if not request.config.getoption("quick"):
        return

    def start(*_: object, **__: object) -> NoReturn:
        pytest.fail("a test that starts a process has the mark `process`")

    monkeypatch.setattr(subprocess.Popen, "__init__", start)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and call.excinfo is not None:
        reason = str(call.excinfo.value)
        if BEYOND not in reason:
            report.outcome = "failed"
            report.longrepr = f"not run, and where CI is set everything is: {reason}"
    return report
