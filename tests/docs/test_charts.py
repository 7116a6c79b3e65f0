"""The charts of docs/performance.md are those that tests.bench.chart draws."""

from __future__ import annotations

import pytest

from tests.bench.chart import CHARTS, FOLDER, svg


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_as_drawn(name: str) -> None:
    assert (FOLDER / f"{name}.svg").read_text() == svg(CHARTS[name])
    assert f"charts/{name}.svg" in (FOLDER.parent / "performance.md").read_text()
