"""What the commands share: where the box's data lie, how its store is reached, how they answer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import click

from appliance import ids
from appliance.backup import waits
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
        help="Folder with everything the box keeps.",
    )(command)


def store(data: Path, work: Callable[[Connection], T]) -> T:
    """Work on the store, beside a running box or without one. A usage error where there is none."""
    _whole(data)
    if not (data / DATABASE).exists():
        raise click.UsageError(f"there is no box in {data}")
    return beside(data / DATABASE, work)


def new_store(data: Path, work: Callable[[Connection], T]) -> T:
    """As `store`, for what a box may begin with; that a data folder is new is no secret."""
    _whole(data)
    if not (data / DATABASE).exists():
        click.echo(f"There was no box in {data}: a new one is made.", err=True)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return beside(data / DATABASE, work)


def _whole(data: Path) -> None:
    """A usage error while the box lies in a restore that was cut off: what is made now would go."""
    if waits(data) and not (data / DATABASE).exists():
        raise click.UsageError(
            f"a restore in {data} was cut off; start the box, or restore again, and it goes on"
        )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def number(kind: str, text: str) -> int:
    """The number in `client_1`, or plain `1`. A usage error for anything else."""
    found = ids.parse_decimal(kind, text if text.startswith(kind) else f"{kind}_{text}")
    if found is None:
        raise click.BadParameter(f"{text!r} is no {kind}; write {kind}_1 or 1")
    return found


def tell(what: Any, as_json: bool) -> None:
    """JSON for programs, lines for people."""
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
