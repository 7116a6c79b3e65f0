"""Helpers of the commands: the data folder, access to its store, output."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import click

from appliance.core.encryption import KEY_FILE
from appliance.domain import ids
from appliance.maintenance.backup import waits
from appliance.store.database import beside, upgrade

T = TypeVar("T")
DATABASE = "zimbox.db"
LONG_SECONDS = 2.0  # a migration that takes longer is shown
LINES_SECONDS = 10.0  # between two lines in a file or a pipe; a terminal's line changes each second


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=Path("zimbox-data"),
        envvar="ZIMBOX_DATA",
        show_default=True,
        help="Data folder of the box.",
    )(command)


def store(data: Path, work: Callable[[Connection], T]) -> T:
    """Run `work` on the store, whether the box runs or not. Raises UsageError if there is no box."""
    required(data)
    upgrade(data / DATABASE, MigrationProgress())
    return beside(data / DATABASE, work)


class MigrationProgress:
    """Report a long migration on standard error: one line that changes on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._next = self._began + LONG_SECONDS
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        end = terminal and self._shown and 0 < total == done
        if now < self._next and not end:
            return
        self._next, self._shown = now + (1.0 if terminal else LINES_SECONDS), True
        step = f"step {min(done + 1, total)} of {total}" if total else "the box is at it"
        text = f"Preparing the database after an update: {step}, {now - self._began:.0f} s"
        click.echo(f"\r{text}" if terminal else text, err=True, nl=end or not terminal)


def required(data: Path) -> None:
    """Raise UsageError if there is no box in a data folder: a command that needs one creates none."""
    _whole(data)
    if not (data / DATABASE).exists():
        raise click.UsageError(
            f"there is no box in {data}: name its data folder with --data or ZIMBOX_DATA "
            "(`zimbox serve` and `zimbox init` create a box)"
        )


def create_store(data: Path) -> None:
    """Create an empty box. Raises UsageError if the data folder holds a box, or the rest of one."""
    _whole(data)
    if (data / DATABASE).exists():
        raise click.UsageError(f"there is a box in {data} already")
    if (data / KEY_FILE).exists():
        raise click.UsageError(
            f"{data / KEY_FILE} shows that there was a box in {data}: restore a backup, or delete "
            f"{KEY_FILE} to begin as a new box"
        )
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside(data / DATABASE, lambda _: None)


def _whole(data: Path) -> None:
    """Raise UsageError while an interrupted restore waits: it would replace what is created now."""
    if waits(data) and not (data / DATABASE).exists():
        raise click.UsageError(
            f"a restore in {data} was interrupted; start the box or run restore again to finish it"
        )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def number(kind: str, text: str) -> int:
    """Return the number in `client_1`, or in plain `1`. Raises BadParameter for anything else."""
    found = ids.parse_decimal(kind, text if text.startswith(kind) else f"{kind}_{text}")
    if found is None:
        raise click.BadParameter(f"{text!r} is not a {kind} id; write {kind}_1 or 1")
    return found


def print_result(what: Any, as_json: bool) -> None:
    """Print JSON for programs, or a line or table for people."""
    if as_json:
        click.echo(json.dumps(what))
        return
    if isinstance(what, list):
        for line in table(what):
            click.echo(line)
        return
    click.echo("  ".join(f"{name}: {_cell(value)}" for name, value in what.items() if _cell(value)))


def table(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return rows as aligned lines under the names of their columns; a column without any value is left out."""
    if not rows:
        return ["none"]
    names = [name for name in rows[0] if any(_cell(row[name]) for row in rows)]
    cells = [[name.upper() for name in names]]
    cells += [[_cell(row[name]) or "-" for name in names] for row in rows]
    widths = [max(_columns(line[n]) for line in cells) for n in range(len(names))]
    return [
        "  ".join(
            cell + " " * (width - _columns(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_cell(one)}" for name, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(_cell, value))
    return "" if value is None else str(value)


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian letters two, accents none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def ended(done: bool, good: str, bad: str) -> None:
    click.echo(good if done else bad, err=not done)
    if not done:
        sys.exit(1)
