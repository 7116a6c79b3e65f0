"""`scripts/torture [--minutes N] [--seed N] [--kills SHARE] [--write]`; `line …`, `day …`: see there."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from tests.modem import network as network_torture
from tests.modem import torture as line_torture
from tests.torture import day
from tests.torture.report import page
from tests.torture.run import Outcome, Plan, torture

EARLIER = "\n## Earlier runs\n"  # written by hand, and kept
ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "reliability.md"
FAILED = ROOT / "build" / "torture"


@click.command()
@click.option(
    "--minutes", type=float, default=10.0, show_default=True, help="How long faults happen."
)
@click.option(
    "--seed", type=int, help="Seed of the faults. Default: a random one, which is printed."
)
@click.option(
    "--kills", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Share of kills."
)
@click.option(
    "--power-cuts",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of power cuts, besides those among the other faults.",
)
@click.option(
    "--messages-per-fault",
    type=float,
    default=0.0,
    help="Accepted messages, on average and at least, between two faults.",
)
@click.option("--least-messages", type=int, default=100, help="Accepted before the run ends.")
@click.option("--least-kills", type=int, default=0, help="Before the run ends.")
@click.option("--least-power-cuts", type=int, default=0, help="Before the run ends.")
@click.option("--write", is_flag=True, help="Write docs/reliability.md, if the books agree.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    default=FAILED,
    show_default=True,
    help="Where logs, journal, books and database of a failed run go.",
)
def main(
    minutes: float,
    seed: int | None,
    kills: float,
    power_cuts: float,
    messages_per_fault: float,
    least_messages: int,
    least_kills: int,
    least_power_cuts: int,
    write: bool,
    keep: Path,
) -> None:
    """Torture a box, and compare four books of it. SIGTERM ends the faults early, and compares."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}")
    plan = Plan(
        seconds=minutes * 60,
        kills=kills,
        power_cuts=power_cuts,
        messages_per_fault=messages_per_fault,
        least_acknowledged=least_messages,
        least_kills=least_kills,
        least_power_cuts=least_power_cuts,
    )
    with kept_if_failed(keep / f"seed-{seed}") as folder:
        outcome = torture(folder, seed, plan)
        (folder / "outcome.json").write_bytes(msgspec.json.encode(outcome))
        _tell(outcome, write)


@contextmanager
def kept_if_failed(place: Path) -> Iterator[Path]:
    """A temporary folder. If the block raises, its files go to `place` before it is removed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            files = [str(file) for file in folder.iterdir() if file.is_file()]
            subprocess.run(["cp", "--sparse=always", "--no-dereference", *files, place], check=True)
            click.echo(f"kept: {place}", err=True)
            raise


def _tell(outcome: Outcome, write: bool) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(outcome), indent=2).decode())
    if outcome.disagreements:
        sys.exit(1)
    if write:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        before = DOC.read_text("utf-8") if DOC.exists() else ""
        _, heading, earlier = before.partition(EARLIER)
        DOC.write_text(page(outcome, commit, datetime.now(UTC)) + heading + earlier, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["line"]:
        sys.exit(line_torture.main(sys.argv[2:]))
    if sys.argv[1:2] == ["day"]:
        day.main(sys.argv[2:])
    if sys.argv[1:2] == ["network"]:
        sys.exit(network_torture.main())
    main()
