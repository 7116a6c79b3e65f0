"""The command line: `zimbox …`, the same as `python -m appliance …`. Others call it: keep its options."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import structlog

from appliance import __version__, doctor, rules
from appliance import backup as backups
from appliance import config as settings
from appliance.client_command import client, key
from appliance.command import DATABASE, data_option, ended, store
from appliance.config import Config, ConfigError, ModemSettings
from appliance.device_command import device
from appliance.lock import DataInUse, DataLock
from appliance.refusals import Refusal
from appliance.store import owner
from appliance.store.database import NewerSchema, StorageFull, schema_version
from appliance.update_command import update
from modem import look
from modem.pin import FilePinMemory
from modem.simulator.command import simulate


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


class Plainly(click.Group):
    """Says in one line what the machine or the data refused, where Python would show its stack."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly when nobody reads on
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{place}{error.strerror or error}") from None
        except (sqlite3.Error, StorageFull) as error:
            raise click.ClickException(f"the database cannot be used: {error}") from None
        except NewerSchema as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Plainly, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zimbox")
def main() -> None:
    """ZimBox: an SMS gateway in a box."""


main.add_command(simulate)
main.add_command(update)
main.add_command(client)
main.add_command(device)
main.add_command(key)


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

    try:
        with backups.on_trial(data):
            config = load(data, file)
            attached = [modem(text, config) for text in modems] or config.modem
            again = run(
                data,
                config,
                listen or config.server.listen,
                attached,
                sim_journal=sim_journal,
                sim_control=sim_control,
            )
    except DataInUse as error:
        raise click.ClickException(str(error)) from None
    if again:  # as it was started, in the same process: whoever watches it sees no end
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def modem(text: str, config: Config) -> ModemSettings:
    """`DEVICE[@BAUD]` with the settings the configuration has for that port."""
    port, _, baud = text.rpartition("@") if "@" in text else (text, "", "0")
    if not port:
        raise click.BadParameter(f"{text!r}: give sim or a DEVICE[@BAUD]", param_hint="--modem")
    if not baud.isascii() or not baud.isdigit() or len(baud) > 9:
        raise click.BadParameter(f"{text!r}: after @ comes a speed such as 115200, or nothing")
    known = next((m for m in config.modem if m.port == port), ModemSettings(port=port))
    return msgspec.structs.replace(known, baud=int(baud)) if int(baud) else known


# --- backup ------------------------------------------------------------------------------------------


@main.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(data: Path, file: Path) -> None:
    """Write a backup of the data folder to FILE; the box may run meanwhile."""
    if not (data / DATABASE).exists():
        raise click.UsageError(f"there is no box in {data}")
    if file.exists() and not file.is_file():  # it would be put in the place of a device
        raise click.UsageError(f"{file} is no file")
    if file.resolve() in [(data / name).resolve() for name in backups.OWN]:
        raise click.UsageError(f"{file} is the box's own; give the backup another name")
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
        aside = backups.restore(file, data, schema_version())
    except (DataInUse, backups.BackupError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{file} restored; what was there lies in {aside}")


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
    for port in ports:
        modem(port, config)  # or a clear word
    number = None if send_to is None else _number(send_to)
    lock = DataLock(data)
    try:
        if data.exists():  # nothing is made by looking
            data.mkdir(exist_ok=True)
            lock.take()
    except DataInUse:
        click.echo(doctor.running(data))
        sys.exit(3)
    configured = [m for m in config.modem if m.port != "sim"]
    wanted = list(ports) or [m.port for m in configured]
    # What is said stands in the findings; the driver's own log would only come in between.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    told = asyncio.run(doctor.examine(wanted))
    if number is not None and not any(f.grade == "bad" for f in told):
        told += asyncio.run(_prove(data, wanted, configured, number))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(f) for f in told]))
    else:
        for finding in told:
            click.echo(f"[{doctor.MARKS[finding.grade]}] {finding.text}")
    sys.exit(1 if any(f.grade == "bad" for f in told) else 0)


def _number(send_to: str) -> str:
    try:
        return rules.phone_number(send_to)
    except Refusal as refusal:
        raise click.BadParameter(refusal.message("en"), param_hint="--send-to") from None


async def _prove(
    data: Path, wanted: list[str], configured: list[ModemSettings], number: str
) -> list[doctor.Finding]:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
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


if __name__ == "__main__":
    main()
