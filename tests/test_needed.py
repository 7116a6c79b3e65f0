"""Nothing is quietly left out: a missing program is a loud skip, and where CI is set a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from image.builder.checks import BEYOND

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]


BODIES = {
    "there": ("needed('sh')", "passed"),
    "missing": ("needed('sh', 'no-such-program')", "failed"),
    "skipped": ("pytest.skip('NOT TESTED')", "failed"),
    "beyond": (f"pytest.skip('{BEYOND}: a kernel')", "skipped"),
}


@pytest.mark.parametrize("ci", ["", "true"])
def test_where_ci_is_set_a_test_that_was_not_run_has_failed(tmp_path: Path, ci: str) -> None:
    tests = [f"def test_{name}():\n    {body}\n" for name, (body, _) in BODIES.items()]
    head = "import pytest\nfrom tests.needed import needed\n\n"
    (tmp_path / "test_it.py").write_text(head + "\n".join(tests))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "tests.conftest", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for name, (_, in_ci) in BODIES.items():
        wanted = in_ci if ci or name == "there" else "skipped"
        assert f"test_it.py::test_{name} {wanted.upper()}" in result
