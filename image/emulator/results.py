"""Results of the scenarios: kept in results.json, and written as a table into docs/image/results.md."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from image.builder import build

FILE = build.BUILD / "results.json"
TABLE = build.PROJECT / "docs/image/results.md"
HEAD = """# Results of the card's scenarios

Written by `scripts/image table` from what `scripts/image test` recorded. QEMU, no board. *Card* is the commit
that the card was built from. Seconds are of a machine that other jobs shared, and say nothing about a Pi. A row
stays until its scenario is run again.

| scenario | what it does | result | seconds | figures | card | date |
| --- | --- | --- | --- | --- | --- | --- |
"""


def note(scenario: str, figures: Mapping[str, object], file: Path = FILE) -> None:
    """Keep figures of a scenario, beside those it has."""
    with _changed(file) as known:
        known.setdefault(scenario, {}).setdefault("figures", {}).update(figures)


def begin(scenario: str, file: Path = FILE) -> None:
    """Forget the last run of a scenario."""
    with _changed(file) as known:
        known.pop(scenario, None)


def end(scenario: str, result: str, seconds: float, what: str, file: Path = FILE) -> None:
    """Keep how a scenario ended: "passed", or why it failed."""
    commit = build.BUILD / "commit"
    with _changed(file) as known:
        known.setdefault(scenario, {}).update(
            what=what,
            result=" ".join(result.split()),
            seconds=round(seconds),
            card=commit.read_text().strip() if commit.exists() else "unknown",
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )


@contextmanager
def _changed(file: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the results and store the changes. Two runs of `scripts/image test` may do so at once."""
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read(file)
        yield known
        file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def read(file: Path = FILE) -> dict[str, dict[str, Any]]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


ROW = re.compile(r"^\| `(\w+)` \|.*\n", re.MULTILINE)


def table(known: Mapping[str, Mapping[str, Any]], page: str = "") -> str:
    """Return the page: a row for each scenario that has ended, and the rows of `page` for those that have not."""
    rows = {found[1]: found[0] for found in ROW.finditer(page)}
    rows |= {name: _row(name, run) for name, run in known.items() if "result" in run}
    return HEAD + "".join(rows[name] for name in sorted(rows))


def _row(name: str, run: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in run.get("figures", {}).items())
    cells = (f"`{name}`", run["what"], run["result"], run["seconds"], figures, run["card"], run["date"])  # fmt: skip
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |\n"


def write_table() -> Path:
    TABLE.write_text(table(read(), TABLE.read_text()))
    return TABLE
