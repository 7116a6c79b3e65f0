"""`zimbox device …`: the modems that the box knows, whether it runs or not."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.common import data_option, ended, number, print_result, store
from appliance.domain.validation import timestamp
from appliance.store import devices


@click.group()
def device() -> None:
    """Manage the modems that the box knows."""


@device.command("list")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def device_list(data: Path, as_json: bool) -> None:
    """List every modem that was attached and not removed."""
    table = [
        {
            "device_id": f"device_{r['id']}",
            "name": r["name"],
            "imei": r["imei"],
            "phone_number": r["phone_number"],
            "status": "online" if r["online"] else "offline",
            "since": timestamp(r["since"]),
            "parts_waiting": r["waiting"],
        }
        for r in store(data, devices.live)
    ]
    print_result(table, as_json)


@device.command("remove")
@data_option
@click.argument("device_id")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def device_remove(data: Path, device_id: str, yes: bool) -> None:
    """Forget a modem that is gone for good. Messages bound to it fail (DEVICE_ERROR)."""
    key = number("device", device_id)
    if not yes:
        click.confirm(f"Remove {device_id}? Messages bound to it will fail", abort=True)
    done = store(data, lambda db: devices.remove(db, key))
    ended(done, "removed", f"{device_id} does not exist, or is online")
