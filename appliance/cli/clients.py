"""`zimbox client …` and `zimbox key …`: clients and API keys, whether the box runs or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import click
import msgspec

from appliance.cli.common import data_option, ended, now_ms, number, print_result, store
from appliance.domain import validation
from appliance.domain.errors import ApiError
from appliance.domain.validation import timestamp
from appliance.domain.views import Permissions
from appliance.store import archive, clients

ERASE_STEP = 500
LONGEST_DAYS = 36_500  # a hundred years; some platforms cannot represent later dates
MOST_NUMBER = 2**53


def label(_context: click.Context, option: click.Parameter, text: str) -> str:
    """Validate a name as the page does: one line, without control characters."""
    try:
        return validation.line(text.strip(), "name", 80) if text.strip() else ""
    except ApiError as refusal:
        raise click.BadParameter(
            str((refusal.reason.translated_details("en") or {})["reason"]), param=option
        ) from None


@click.group()
def client() -> None:
    """Manage the clients of the API."""


@client.command("create")
@data_option
@click.option("--name", default="", callback=label, help="Name for people.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def client_create(data: Path, name: str, as_json: bool) -> None:
    """Create a client. Its signing secret is shown only once."""
    made = store(data, lambda db: clients.add_client(db, name, now_ms()))
    result = {
        "client_id": f"client_{made.id}",
        "name": made.name,
        "signing_secret": made.signing_secret,
    }
    print_result(result, as_json)


@client.command("list")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def client_list(data: Path, as_json: bool) -> None:
    """List all clients."""
    rows = store(data, clients.clients)
    table = [
        {
            "client_id": f"client_{r.id}",
            "name": r.name,
            "created_at": timestamp(r.created_at),
            "disabled_at": timestamp(r.disabled_at),
        }
        for r in rows
    ]
    print_result(table, as_json)


@client.command("disable")
@data_option
@click.argument("client_id")
def client_disable(data: Path, client_id: str) -> None:
    """Refuse a client's keys and hold its queued messages back."""
    done = store(data, lambda db: clients.disable(db, number("client", client_id), now_ms()))
    ended(done, "disabled", f"{client_id} does not exist or is already disabled")


@client.command("enable")
@data_option
@click.argument("client_id")
def client_enable(data: Path, client_id: str) -> None:
    """Accept a disabled client again and send its queued messages."""
    done = store(data, lambda db: clients.enable(db, number("client", client_id)))
    ended(done, "enabled", f"{client_id} does not exist or is not disabled")


@client.command("delete")
@data_option
@click.argument("client_id")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def client_delete(data: Path, client_id: str, yes: bool) -> None:
    """Erase a client's texts and numbers and revoke its keys. The statistics stay."""
    key = number("client", client_id)
    if not yes:
        click.confirm(f"Erase all messages of {client_id}? This cannot be undone", abort=True)
    done = store(data, lambda db: clients.erase(db, key, now_ms()))
    # Also for a deleted client: an earlier run may have been interrupted here.
    while store(data, lambda db: archive.erase_step(db, key, ERASE_STEP)):
        done = True
    ended(done, "deleted", f"{client_id} does not exist")


@client.command("secret")
@data_option
@click.argument("client_id")
def client_secret(data: Path, client_id: str) -> None:
    """Replace a client's signing secret. The new one is shown only once."""
    secret = store(data, lambda db: clients.replace_signing_secret(db, number("client", client_id)))
    ended(secret is not None, secret or "", f"{client_id} does not exist")


@click.group()
def key() -> None:
    """Manage API keys. The box may be running."""


@key.command("create")
@data_option
@click.option(
    "--client",
    "client_id",
    help="Owner of the key. Default: the first client, created if there is none.",
)
@click.option(
    "--test", is_flag=True, help="Create a zs_test_ key, whose messages end at a simulated modem."
)
@click.option(
    "--smpp",
    is_flag=True,
    help="Create a password for SMPP (8 characters) instead; the engine's system_id is the client id.",
)
@click.option("--name", default="", callback=label, help="Name for people.")
@click.option(
    "--expires-days",
    type=click.IntRange(1, LONGEST_DAYS),
    help="Refuse the key after this many days.",
)
@click.option("--send-only", is_flag=True, help="The key cannot read.")
@click.option("--read-only", is_flag=True, help="The key cannot send.")
@click.option(
    "--prefix",
    "prefixes",
    multiple=True,
    help="Allow only numbers with this prefix, such as +33. Repeatable.",
)
@click.option("--short-codes", is_flag=True, help="Also allow short codes (3 to 8 digits).")
@click.option("--daily-cap", type=click.IntRange(1, MOST_NUMBER), help="Messages per day at most.")
@click.option(
    "--simple",
    is_flag=True,
    help="Open /v1/simple/send for the key. Needs --prefix and --daily-cap.",
)
@click.option(
    "--alert-to",
    multiple=True,
    help="Number that receives alerts (POST /v1/alerts/…). Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def key_create(
    data: Path,
    client_id: str | None,
    test: bool,
    smpp: bool,
    name: str,
    expires_days: int | None,
    send_only: bool,
    read_only: bool,
    prefixes: Sequence[str],
    short_codes: bool,
    daily_cap: int | None,
    simple: bool,
    alert_to: Sequence[str],
    as_json: bool,
) -> None:
    """Create an API key, or a password for SMPP. It is shown only once."""
    if smpp and (simple or alert_to):
        raise click.UsageError("--simple and --alert-to are for API keys, not with --smpp")
    if send_only and read_only:
        raise click.UsageError("--send-only and --read-only cannot be combined")
    for prefix in prefixes:
        try:
            validation.prefix(prefix)
        except ApiError:
            raise click.BadParameter(
                f"{prefix!r}: expected + and digits, such as +33", param_hint="--prefix"
            ) from None
    permissions = Permissions(
        send=not read_only,
        read=not send_only,
        short_codes=short_codes,
        prefixes=tuple(prefixes),
        daily_cap=daily_cap,
        simple=simple,
        alert_to=tuple(alert_to),
    )
    if simple and not (prefixes and daily_cap):
        raise click.UsageError("--simple needs --prefix and --daily-cap")
    permissions = _with_numbers(permissions)
    wanted = number("client", client_id) if client_id else None
    now = now_ms()
    expires_at = now + expires_days * 86_400_000 if expires_days else None

    def work(db: Connection) -> dict[str, Any]:
        result: dict[str, Any] = {}
        existing = clients.clients(db)
        if wanted is not None:
            client = wanted if clients.client(db, wanted) else None
        elif existing:
            client = existing[0].id
        else:
            made = clients.add_client(db, "default", now)
            client, result["signing_secret"] = made.id, made.signing_secret
        if client is None:
            raise click.BadParameter(f"{client_id} does not exist", param_hint="--client")
        new = clients.add_key(
            db,
            client,
            now,
            test=test,
            smpp=smpp,
            name=name,
            expires_at=expires_at,
            permissions=permissions,
        )
        return {
            "client_id": f"client_{client}",
            "smpp_password" if smpp else "api_key": new.key,
            "key_id": new.id,
            "mode": "test" if test else "live",
            **result,
        }

    print_result(store(data, work), as_json)


@key.command("list")
@data_option
@click.option("--client", "client_id", help="Only the keys of this client.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def key_list(data: Path, client_id: str | None, as_json: bool) -> None:
    """List API keys by their last four characters."""
    wanted = number("client", client_id) if client_id else None
    rows = store(data, lambda db: clients.keys(db, wanted))
    table = [
        {
            "key_id": r.id,
            "client_id": f"client_{r.client}",
            "mode": "test" if r.test else "live",
            "key": "smpp" if r.smpp else f"…{r.hint}",
            "name": r.name,
            "created_at": timestamp(r.created_at),
            "last_used_at": timestamp(r.last_used_at),
            "expires_at": timestamp(r.expires_at),
            "revoked_at": timestamp(r.revoked_at),
            "narrowing": json.loads(r.permissions),
        }
        for r in rows
    ]
    if not as_json:
        for entry in table:
            allowed = msgspec.convert(entry["narrowing"], Permissions)
            entry["narrowing"] = ", ".join(_restrictions(allowed))
    print_result(table, as_json)


def _restrictions(allowed: Permissions) -> list[str]:
    """Return what a key may do differently from others, as the options of `key create` say it."""
    found = [
        (not allowed.read, "send-only"),
        (not allowed.send, "read-only"),
        (allowed.short_codes, "short-codes"),
        *((True, f"prefix {prefix}") for prefix in allowed.prefixes),
        (allowed.daily_cap is not None, f"daily-cap {allowed.daily_cap}"),
        (allowed.simple, "simple"),
        *((True, f"alert-to {to}") for to in allowed.alert_to),
    ]
    return [words for holds, words in found if holds]


def _with_numbers(wanted: Permissions) -> Permissions:
    """Return valid permissions. Raises BadParameter for the numbers of alerts."""
    try:
        return validation.permissions(wanted)
    except ApiError as refusal:
        details = refusal.reason.translated_details("en") or {}
        raise click.BadParameter(str(details["reason"]), param_hint="--alert-to") from None


@key.command("alerts")
@data_option
@click.argument("key_id", type=click.IntRange(1, MOST_NUMBER))
@click.option("--to", "numbers", multiple=True, help="Number that receives alerts. Repeatable.")
def key_alerts(data: Path, key_id: int, numbers: Sequence[str]) -> None:
    """Set the numbers that receive the alerts of a key; without --to there are none."""

    def work(db: Connection) -> bool:
        row = next((row for row in clients.keys(db) if row.id == key_id), None)
        if row is None:
            return False
        now = msgspec.json.decode(row.permissions, type=Permissions)
        wanted = _with_numbers(msgspec.structs.replace(now, alert_to=tuple(numbers)))
        return clients.set_permissions(db, key_id, wanted)

    done = store(data, work)
    ended(done, "saved", f"key {key_id} does not exist or is revoked")


@key.command("revoke")
@data_option
@click.argument("key_id", type=click.IntRange(1, MOST_NUMBER))
@click.option(
    "--cancel-queued", is_flag=True, help="Cancel the key's messages that were never submitted."
)
def key_revoke(data: Path, key_id: int, cancel_queued: bool) -> None:
    """Revoke an API key at once."""
    done = store(data, lambda db: clients.revoke(db, key_id, now_ms(), cancel_queued=cancel_queued))
    ended(done, "revoked", f"key {key_id} does not exist or is already revoked")


@key.command("simple")
@data_option
@click.argument("key_id", type=click.IntRange(1, MOST_NUMBER))
@click.option("--off", is_flag=True, help="Close it again.")
def key_simple(data: Path, key_id: int, off: bool) -> None:
    """Open /v1/simple/send for a key, which then may come in an address."""

    def work(db: Connection) -> bool:
        row = next((row for row in clients.keys(db) if row.id == key_id), None)
        if row is None:
            return False
        now = msgspec.json.decode(row.permissions, type=Permissions)
        wanted = msgspec.structs.replace(now, simple=not off)
        if wanted.simple and not (wanted.prefixes and wanted.daily_cap):
            raise click.UsageError(
                f"key {key_id} has no prefixes or no daily cap; create one with --prefix and --daily-cap, "
                "or restrict it on the status page"
            )
        return clients.set_permissions(db, key_id, wanted)

    done = store(data, work)
    ended(done, "closed" if off else "open", f"key {key_id} does not exist or is revoked")
