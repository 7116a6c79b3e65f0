"""Fixtures and options for all tests: environment, order, --quick, skipped tests on CI."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest
import structlog

from image.builder.checks import BEYOND

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
# Their tests start the box itself, a browser or another program.
OF_PROCESSES = ("bench", "box", "docs", "page")

# No property here is about speed, and a busy machine is slow now and then. CI judges a change by
# the same examples every time; elsewhere each run tries new ones.
hypothesis.settings.register_profile("box", deadline=None, derandomize="CI" in os.environ)
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the longest first, so that none is left over at the end."""
    if not config.getoption("measure"):
        measured = [item for item in items if item.get_closest_marker("measure")]
        config.hook.pytest_deselected(items=measured)
        items[:] = [item for item in items if item not in set(measured)]
    if config.getoption("quick"):
        quick = {item for item in items if not (_starts_processes(item) or _seconds(item))}
        config.hook.pytest_deselected(items=[item for item in items if item not in quick])
        items[:] = [item for item in items if item in quick]
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("seconds")
    return float(mark.args[0]) if mark else 0.0


def _starts_processes(item: pytest.Item) -> bool:
    folder = item.path.relative_to(ROOT / "tests").parts[0]
    return folder in OF_PROCESSES or item.get_closest_marker("process") is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give the tests of a file that share something to one worker, and all others to whoever is free."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # the library is not typed
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return file if test.partition("[")[0] in sharing_tests(ROOT / file) else nodeid

    config.option.loadscopereorder = False  # by number of tests; ours is by seconds
    return Scheduling(config, log)


@functools.cache
def sharing_tests(file: Path) -> frozenset[str]:
    """The tests of a file that use a fixture of `scope="module"`, at first or at second hand.

    What they do to it shows in the tests after them: in one worker these are always the same.
    """
    scopes: dict[str, str] = {}
    arguments: dict[str, set[str]] = {}
    for source in (file.parent / "conftest.py", file):
        for node in ast.parse(source.read_text("utf-8")).body if source.exists() else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                scopes[node.name] = " ".join(map(ast.unparse, node.decorator_list))
                arguments[node.name] = {each.arg for each in node.args.args}

    def shares(name: str) -> bool:
        return "scope='module'" in scopes[name] or any(
            shares(each) for each in arguments[name] & scopes.keys()
        )

    return frozenset(name for name in scopes if name.startswith("test_") and shares(name))


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
