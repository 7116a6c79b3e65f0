"""`zimbox update FILE`: install a signed bundle from a file, without internet."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import click

from appliance.maintenance.steward_client import NoSteward, ask

INCOMING = Path("/data/zimbox/incoming")
STEPS = {
    "checking": "Checking the signature …",
    "unpacking": "Unpacking …",
    "stopping": "Stopping the gateway after the part that is being sent …",
    "starting": "Starting the new release …",
    "watching": "Checking that the new release works …",
    "confirmed": "It works.",
    "going back": "It does not work: returning to the previous release …",
}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def update(file: Path) -> None:
    """Install a signed update (SD card image only)."""
    if not INCOMING.is_dir():
        raise click.ClickException(
            "this is not the SD card image; update it the way it was installed"
        )
    waiting = INCOMING / f"{os.getpid()}.zimbox"
    try:
        shutil.copyfile(file, waiting)
        sys.exit(asyncio.run(_follow(waiting.name)))
    except NoSteward as error:
        raise click.ClickException(f"no answer from the steward: {error}") from None
    finally:
        waiting.unlink(missing_ok=True)


async def _follow(name: str) -> int:
    async for line in ask("update", file=name):
        if line.get("done"):
            if not line["ok"]:
                click.echo(f"Not updated: {line['words']} ({line['code']})", err=True)
            return 0 if line["ok"] else 1
        click.echo(STEPS.get(line.get("step", ""), line.get("step", "")))
    click.echo(
        "The steward closed the connection; /data/app/last-update.json has the result.", err=True
    )
    return 1
