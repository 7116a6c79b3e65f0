"""What holds for every test: it inherits nothing, and where CI is set one that was not run has failed."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import hypothesis
import pytest
import structlog

from image.checks import BEYOND

# No property here is about speed, and a busy machine is slow now and then.
hypothesis.settings.register_profile("box", deadline=None)
hypothesis.settings.load_profile("box")


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A command that a test runs in this process sets the log up to its own taste."""
    yield
    structlog.reset_defaults()


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
