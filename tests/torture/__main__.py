"""`scripts/torture [--minutes N] [--seed N] [--kills SHARE] [--write]`; `line …`, `day …`: see there."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from tests.modem import network as network_torture
from tests.modem import torture as line_torture
from tests.torture import day, faults
from tests.torture.faults import OTHERS
from tests.torture.report import page
from tests.torture.run import torture

EARLIER = "\n## Earlier runs\n"  # written by hand, and kept
DOC = Path(__file__).parents[2] / "docs" / "reliability.md"


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
@click.option("--clock-steps", is_flag=True, help="Set the clock, and back, too.")
@click.option("--write", is_flag=True, help="Write docs/reliability.md, if the books agree.")
def main(minutes: float, seed: int | None, kills: float, clock_steps: bool, write: bool) -> None:
    """Torture a box, and compare four books of it."""
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        others = (*OTHERS, faults.clock_steps) if clock_steps else OTHERS
        outcome = torture(Path(folder), minutes * 60, seed, kills=kills, others=others)
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
