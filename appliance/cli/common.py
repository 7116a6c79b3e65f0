"""Helpers of the commands: the data folder, access to its store, output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import click

from appliance.domain import ids
from appliance.maintenance.backup import waits
from appliance.store.database import beside

T = TypeVar("T")
DATABASE = "zimbox.db"


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
    """Run `work` on the store, whether the box runs or not. Raises UsageError if there is no store."""
    _whole(data)
    if not (data / DATABASE).exists():
        raise click.UsageError(f"there is no box in {data}")
    return beside(data / DATABASE, work)


def new_store(data: Path, work: Callable[[Connection], T]) -> T:
    """Run `work` on the store, and create the store (with a note) if there is none."""
    _whole(data)
    if not (data / DATABASE).exists():
        click.echo(f"There is no box in {data} yet: creating one.", err=True)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return beside(data / DATABASE, work)


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


def tell(what: Any, as_json: bool) -> None:
    """Print JSON for programs, or lines for people."""
    if as_json:
        click.echo(json.dumps(what))
        return
    for row in what if isinstance(what, list) else [what]:
        click.echo(
            "  ".join(f"{name}: {value}" for name, value in row.items() if value not in (None, ""))
        )


def ended(done: bool, good: str, bad: str) -> None:
    click.echo(good if done else bad, err=not done)
    if not done:
        sys.exit(1)
