"""The command line: `zimbox …`, the same as `python -m appliance …`. Others call it: keep its options."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import click
import msgspec
import structlog

from appliance import __version__, doctor, ids, rules
from appliance import backup as backups
from appliance import config as settings
from appliance.config import Config, ConfigError, ModemSettings
from appliance.interface import Permissions
from appliance.lock import DataInUse, DataLock
from appliance.refusals import Refusal
from appliance.rules import timestamp
from appliance.store import archive, clients, owner
from appliance.store.database import beside, schema_version
from appliance.update_command import update
from modem import look
from modem.pin import FilePinMemory
from modem.simulator.command import simulate

T = TypeVar("T")
DATABASE = "zimbox.db"
PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")  # of a number in E.164
ERASE_STEP = 500


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=Path("zimbox-data"),
        envvar="ZIMBOX_DATA",
        show_default=True,
        help="Folder with everything the box keeps.",
    )(command)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="ZIMBOX_CONFIG",
        help="Settings (TOML); default: zimbox.toml in the data folder, if there is one.",
    )(command)


def load(data: Path, file: Path | None) -> Config:
    """The settings, or a clear word and exit code 2."""
    standard = data / "zimbox.toml"
    try:
        return settings.load(file or (standard if standard.exists() else None))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def store(data: Path, work: Callable[[Connection], T]) -> T:
    """Work on the store, beside a running box or without one. A new data folder is no secret."""
    if not (data / DATABASE).exists():
        click.echo(f"There was no box in {data}: a new one is made.", err=True)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return beside(data / DATABASE, work)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def number(kind: str, text: str) -> int:
    """The number in `client_1`, or plain `1`. A usage error for anything else."""
    found = ids.parse_decimal(kind, text if text.startswith(kind) else f"{kind}_{text}")
    if found is None:
        raise click.BadParameter(f"{text!r} is no {kind}; write {kind}_1 or 1")
    return found


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zimbox")
def main() -> None:
    """ZimBox: an SMS gateway in a box."""


main.add_command(simulate)
main.add_command(update)


# --- serve -----------------------------------------------------------------------------------------


@main.command()
@data_option
@config_option
@click.option("--listen", help="HOST:PORT to serve HTTP on; port 0 picks one.")
@click.option(
    "--modem", "modems", multiple=True, help="sim | DEVICE[@BAUD]; repeat for several modems."
)
@click.option(
    "--sim-journal", type=click.Path(path_type=Path), help="What the simulated network received."
)
@click.option(
    "--sim-control", type=click.Path(path_type=Path), help="Socket for faults by command."
)
def serve(
    data: Path,
    file: Path | None,
    listen: str | None,
    modems: Sequence[str],
    sim_journal: Path | None,
    sim_control: Path | None,
) -> None:
    """Serve the API and drive the modems, until SIGTERM or Ctrl-C."""
    from web.server import run

    config = load(data, file)
    attached = [modem(text, config) for text in modems] or config.modem
    run(
        data,
        config,
        listen or config.server.listen,
        attached,
        sim_journal=sim_journal,
        sim_control=sim_control,
    )


def modem(text: str, config: Config) -> ModemSettings:
    """`DEVICE[@BAUD]` with the settings the configuration has for that port."""
    port, _, baud = text.rpartition("@") if "@" in text else (text, "", "0")
    if not baud.isascii() or not baud.isdigit():
        raise click.BadParameter(f"{text!r}: after @ comes a speed such as 115200, or nothing")
    known = next((m for m in config.modem if m.port == port), ModemSettings(port=port))
    return msgspec.structs.replace(known, baud=int(baud)) if int(baud) else known


# --- clients and keys --------------------------------------------------------------------------------


@main.group()
def client() -> None:
    """Clients of the API: create, list, disable, enable, delete."""


@client.command("create")
@data_option
@click.option("--name", default="", help="For people.")
@click.option("--json", "as_json", is_flag=True)
def client_create(data: Path, name: str, as_json: bool) -> None:
    """Make a client; its signing secret is shown this once."""
    made = store(data, lambda db: clients.add_client(db, name, now_ms()))
    told = {
        "client_id": f"client_{made.id}",
        "name": made.name,
        "signing_secret": made.signing_secret,
    }
    tell(told, as_json)


@client.command("list")
@data_option
@click.option("--json", "as_json", is_flag=True)
def client_list(data: Path, as_json: bool) -> None:
    """All clients."""
    rows = store(data, clients.clients)
    table = [
        {
            "client_id": f"client_{r['id']}",
            "name": r["name"],
            "created_at": when(r["created_at"]),
            "disabled_at": when(r["disabled_at"]),
        }
        for r in rows
    ]
    tell(table, as_json)


@client.command("disable")
@data_option
@click.argument("client_id")
def client_disable(data: Path, client_id: str) -> None:
    """Refuse its keys and hold back what it queued."""
    done = store(data, lambda db: clients.disable(db, number("client", client_id), now_ms()))
    ended(done, "disabled", f"{client_id} does not exist or is disabled already")


@client.command("enable")
@data_option
@click.argument("client_id")
def client_enable(data: Path, client_id: str) -> None:
    """Take a disabled client back; what waited goes on."""
    done = store(data, lambda db: clients.enable(db, number("client", client_id)))
    ended(done, "enabled", f"{client_id} does not exist or is not disabled")


@client.command("delete")
@data_option
@click.argument("client_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
def client_delete(data: Path, client_id: str, yes: bool) -> None:
    """Erase its texts and numbers and revoke its keys; its counts stay."""
    key = number("client", client_id)
    if not yes:
        click.confirm(f"Erase all messages of {client_id}? This cannot be undone", abort=True)
    done = store(data, lambda db: clients.erase(db, key, now_ms()))
    while done and store(data, lambda db: archive.erase_step(db, key, ERASE_STEP)):
        pass
    ended(done, "deleted", f"{client_id} does not exist")


@client.command("secret")
@data_option
@click.argument("client_id")
def client_secret(data: Path, client_id: str) -> None:
    """Replace its signing secret; the new one is shown this once."""
    secret = store(data, lambda db: clients.replace_signing_secret(db, number("client", client_id)))
    ended(secret is not None, secret or "", f"{client_id} does not exist")


@main.group()
def key() -> None:
    """API keys: create, list, revoke. Works beside a running box."""


@key.command("create")
@data_option
@click.option(
    "--client", "client_id", help="Whose; default: the first client, made if there is none."
)
@click.option(
    "--test", is_flag=True, help="A zs_test_ key: ends at a simulated modem, never on the air."
)
@click.option("--name", default="", help="For people.")
@click.option("--expires-days", type=click.IntRange(1), help="Days until it expires.")
@click.option("--send-only", is_flag=True)
@click.option("--read-only", is_flag=True)
@click.option(
    "--prefix", "prefixes", multiple=True, help="Only numbers that begin so (+33); repeatable."
)
@click.option("--short-codes", is_flag=True, help="Also short codes (3 to 8 digits).")
@click.option("--daily-cap", type=click.IntRange(1), help="Messages a day at the most.")
@click.option("--json", "as_json", is_flag=True)
def key_create(
    data: Path,
    client_id: str | None,
    test: bool,
    name: str,
    expires_days: int | None,
    send_only: bool,
    read_only: bool,
    prefixes: Sequence[str],
    short_codes: bool,
    daily_cap: int | None,
    as_json: bool,
) -> None:
    """Make a key; it is shown this once."""
    if send_only and read_only:
        raise click.UsageError("--send-only and --read-only exclude each other")
    for prefix in prefixes:  # one without + would be a key that may write to nobody
        if not PREFIX.fullmatch(prefix):
            raise click.BadParameter(
                f"{prefix!r}; a prefix is + and digits, such as +33", param_hint="--prefix"
            )
    permissions = Permissions(
        send=not read_only,
        read=not send_only,
        short_codes=short_codes,
        prefixes=tuple(prefixes),
        daily_cap=daily_cap,
    )
    wanted = number("client", client_id) if client_id else None
    now = now_ms()
    expires_at = now + expires_days * 86_400_000 if expires_days else None

    def work(db: Connection) -> dict[str, Any]:
        told: dict[str, Any] = {}
        existing = clients.clients(db)
        if wanted is not None:
            owner = wanted if clients.client(db, wanted) else None
        elif existing:
            owner = existing[0]["id"]
        else:
            made = clients.add_client(db, "default", now)
            owner, told["signing_secret"] = made.id, made.signing_secret
        if owner is None:
            raise click.BadParameter(f"{client_id} does not exist", param_hint="--client")
        new = clients.add_key(
            db, owner, now, test=test, name=name, expires_at=expires_at, permissions=permissions
        )
        return {
            "client_id": f"client_{owner}",
            "api_key": new.key,
            "key_id": new.id,
            "mode": "test" if test else "live",
            **told,
        }

    tell(store(data, work), as_json)


@key.command("list")
@data_option
@click.option("--client", "client_id")
@click.option("--json", "as_json", is_flag=True)
def key_list(data: Path, client_id: str | None, as_json: bool) -> None:
    """All keys, by their last four characters."""
    wanted = number("client", client_id) if client_id else None
    rows = store(data, lambda db: clients.keys(db, wanted))
    table = [
        {
            "key_id": r["id"],
            "client_id": f"client_{r['client']}",
            "mode": "test" if r["test"] else "live",
            "key": f"…{r['hint']}",
            "name": r["name"],
            "created_at": when(r["created_at"]),
            "last_used_at": when(r["last_used_at"]),
            "expires_at": when(r["expires_at"]),
            "revoked_at": when(r["revoked_at"]),
            "narrowing": json.loads(r["narrowing"]),
        }
        for r in rows
    ]
    tell(table, as_json)


@key.command("revoke")
@data_option
@click.argument("key_id", type=int)
@click.option(
    "--cancel-queued", is_flag=True, help="Cancel what it queued and nobody handed over yet."
)
def key_revoke(data: Path, key_id: int, cancel_queued: bool) -> None:
    """Refuse this key from now on."""
    done = store(data, lambda db: clients.revoke(db, key_id, now_ms(), cancel_queued=cancel_queued))
    ended(done, "revoked", f"key {key_id} does not exist or is revoked already")


# --- backup ------------------------------------------------------------------------------------------


@main.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(data: Path, file: Path) -> None:
    """Write a backup of the data folder to FILE; the box may run meanwhile."""
    if not (data / DATABASE).exists():
        raise click.UsageError(f"there is no box in {data}")
    size = backups.save(data, file)
    click.echo(f"{file}: {size} bytes")


@main.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(data: Path, file: Path) -> None:
    """Put a backup in place of what the data folder has; the box must be stopped."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = DataLock(data)
    try:
        lock.take()
        backups.restore(file, data, schema_version())
    except (DataInUse, backups.BackupError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{file} restored; what was there lies in {data}/before-restore-…")


# --- doctor ------------------------------------------------------------------------------------------


@main.command("doctor")
@data_option
@config_option
@click.option("--port", "ports", multiple=True, help="Only this port (DEVICE[@BAUD]); repeatable.")
@click.option(
    "--send-to", help="Prove it with a real SMS to this number (+33…); best the SIM's own."
)
@click.option("--json", "as_json", is_flag=True)
def doctor_command(
    data: Path, file: Path | None, ports: Sequence[str], send_to: str | None, as_json: bool
) -> None:
    """Look at modem, SIM and network, change nothing, and say what to do. The box must be stopped."""
    config = load(data, file)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = DataLock(data)
    try:
        lock.take()
    except DataInUse:
        click.echo(doctor.running(data))
        sys.exit(3)
    configured = [m for m in config.modem if m.port != "sim"]
    wanted = list(ports) or [m.port for m in configured]
    # What is said stands in the findings; the driver's own log would only come in between.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    told = asyncio.run(doctor.examine(wanted))
    if send_to is not None and not any(f.grade == "bad" for f in told):
        told += asyncio.run(_prove(data, wanted, configured, send_to))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(f) for f in told]))
    else:
        for finding in told:
            click.echo(f"[{doctor.MARKS[finding.grade]}] {finding.text}")
    sys.exit(1 if any(f.grade == "bad" for f in told) else 0)


async def _prove(
    data: Path, wanted: list[str], configured: list[ModemSettings], send_to: str
) -> list[doctor.Finding]:
    try:
        number = rules.phone_number(send_to)
    except Refusal as refusal:
        raise click.BadParameter(refusal.message("en"), param_hint="--send-to") from None
    port = (wanted or look.ports())[0].partition("@")[0]
    pin = next((m.pin for m in configured if m.port == port), "")
    return await doctor.prove(port, number, pin=pin, pin_memory=FilePinMemory(data / "pin.json"))


# --- the owner of the page ---------------------------------------------------------------------------


@main.group("owner")
def owner_group() -> None:
    """The owner of the status page."""


@owner_group.command("forget")
@data_option
def owner_forget(data: Path) -> None:
    """Nobody owns the box any more: the next start asks for a password. Messages and keys stay."""
    ended(store(data, owner.forget), "forgotten; restart the box", "nobody owns this box")


# --- settings ----------------------------------------------------------------------------------------


@main.group("config")
def config_group() -> None:
    """Settings."""


@config_group.command("show")
@data_option
@config_option
def config_show(data: Path, file: Path | None) -> None:
    """The settings in force, as TOML."""
    click.echo(settings.show(load(data, file)), nl=False)


# --- telling -----------------------------------------------------------------------------------------


def when(milliseconds: int | None) -> str | None:
    return timestamp(milliseconds)


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


if __name__ == "__main__":
    main()
