"""`zimbox device …`: the modems that the box knows, whether it runs or not."""

from __future__ import annotations

import re
from pathlib import Path
from sqlite3 import Connection

import click

from appliance.cli.common import data_option, ended, number, print_result, store
from appliance.domain.validation import timestamp
from appliance.store import devices
from appliance.store.rows import DeviceRow


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
            "device_id": f"device_{r.id}",
            "name": r.name,
            "imei": r.imei,
            "phone_number": r.phone_number,
            "status": "online" if r.online else "offline",
            "since": timestamp(r.since),
            "parts_waiting": waiting,
            "aliases": [f"client_{client}={alias}" for client, alias in aliases],
        }
        for r, waiting, aliases in store(data, _listed)
    ]
    print_result(table, as_json)


def _listed(db: Connection) -> list[tuple[DeviceRow, int, list[tuple[int, str]]]]:
    """Return each modem with the number of parts that wait for it only, and its aliases."""
    return [
        (row, waiting, devices.aliases(db, row.id))
        for row, waiting in devices.live_with_waiting(db)
    ]


@device.command("alias")
@data_option
@click.argument("device_id")
@click.argument("alias")
@click.option(
    "--client",
    metavar="CLIENT_ID",
    required=True,
    help="The client that uses this id, such as client_1.",
)
def device_alias(data: Path, device_id: str, alias: str, client: str) -> None:
    """Let a client name a modem by a further id, such as the device id of its hosted account."""
    key, client_number = number("device", device_id), number("client", client)
    if not re.fullmatch("[!-~]{1,64}", alias):
        raise click.BadParameter("an alias has 1 to 64 printable ASCII characters, without blanks")
    done = store(data, lambda db: devices.set_alias(db, client_number, alias, key))
    ended(done, "set", f"{device_id} does not exist")


@device.command("unalias")
@data_option
@click.argument("alias")
@click.option(
    "--client",
    metavar="CLIENT_ID",
    required=True,
    help="The client that used this id, such as client_1.",
)
def device_unalias(data: Path, alias: str, client: str) -> None:
    """Remove a further id that a client has for a modem."""
    client_number = number("client", client)
    done = store(data, lambda db: devices.remove_alias(db, client_number, alias))
    ended(done, "removed", f"client_{client_number} has no device {alias}")


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
