"""The command line `zimbox …`, also `python -m appliance …`. Its options are an interface: keep them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import structlog

from appliance import __version__
from appliance.cli import doctor
from appliance.cli.clients import client, key
from appliance.cli.common import DATABASE, create_store, data_option, ended, required, store
from appliance.cli.devices import device
from appliance.cli.held import held
from appliance.cli.update import update
from appliance.core import config as settings
from appliance.core.config import Config, ConfigError, ModemSettings
from appliance.core.lock import DataInUse, DataLock
from appliance.domain.errors import ApiError
from appliance.domain.phone_numbers import INTERNATIONAL
from appliance.maintenance import backup as backups
from appliance.maintenance.start_failure import explained
from appliance.store import admin, smpp
from appliance.store.database import NewerSchema, StorageFull, schema_version
from modem.at import network_port
from modem.driver import probe
from modem.driver.pin_guard import FilePinMemory

# Between two attempts to start while disk, data or settings prevent it; doubled up to the longest.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 60.0


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="ZIMBOX_CONFIG",
        help="Settings file (TOML). Default: zimbox.toml in the data folder, if it exists.",
    )(command)


def load(data: Path, file: Path | None) -> Config:
    """Load the settings. Raises click.UsageError (exit code 2) if one is invalid."""
    try:
        return settings.load(_settings_file(data, file))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def _settings_file(data: Path, file: Path | None) -> Path | None:
    standard = data / "zimbox.toml"
    return file or (standard if standard.exists() else None)


class Plainly(click.Group):
    """Reports errors of the system and of the data in one line, without a traceback.

    Loads the simulator with its command: `serve` with a real modem has no use for 2 MiB of it.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "simulate"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "simulate":
            from modem.simulator.cli import simulate

            return simulate
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click handles it: the reader of our output has gone
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
    """ZimBox: an SMS gateway appliance."""


main.add_command(update)
main.add_command(client)
main.add_command(device)
main.add_command(held)
main.add_command(key)


# --- init and serve -----------------------------------------------------------------------------------------


@main.command()
@data_option
def init(data: Path) -> None:
    """Create an empty box in the data folder, to create clients and keys before its first start."""
    create_store(data)
    click.echo(f"created an empty box in {data}")


@main.command()
@data_option
@config_option
@click.option("--listen", help="HOST:PORT to serve HTTP on. Port 0 picks a free port.")
@click.option(
    "--modem",
    "modems",
    multiple=True,
    help=f"sim, DEVICE[@BAUD], {network_port.FORMS}. Repeat for several modems.",
)
@click.option(
    "--sim-journal",
    type=click.Path(path_type=Path),
    help="Append what the simulated network received to this file.",
)
@click.option(
    "--sim-control",
    type=click.Path(path_type=Path),
    help="Unix socket that takes orders for the simulated modem.",
)
def serve(
    data: Path,
    file: Path | None,
    listen: str | None,
    modems: Sequence[str],
    sim_journal: Path | None,
    sim_control: Path | None,
) -> None:
    """Run the box until SIGTERM or Ctrl-C."""
    from web.server import run, wait_and_explain

    def attempt() -> bool:
        with backups.on_trial(data):
            config = settings.load(_settings_file(data, file))
            attached = [modem(text, config) for text in modems] or config.modem
            return run(
                data,
                config,
                listen or config.server.listen,
                attached,
                sim_journal=sim_journal,
                sim_control=sim_control,
            )

    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            again = attempt()
        except DataInUse as error:
            raise click.ClickException(str(error)) from None
        except Exception as error:
            failure = explained(error, data)
            if failure is None:  # of the program: a supervisor sees that it ends
                raise
            address = listen or settings.listen_address(_settings_file(data, file))
            if not wait_and_explain(failure, address, pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            break
    if again:  # restart in the same process, so that a supervisor sees no exit
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def modem(text: str, config: Config) -> ModemSettings:
    """Return the configured settings of the port `DEVICE[@BAUD]` or of a network address. Raises click.BadParameter."""
    port, _, baud = text.rpartition("@") if "@" in text else (text, "", "0")
    if not port or not network_port.is_valid(port):
        raise click.BadParameter(
            f"{text!r}: expected sim, DEVICE[@BAUD], {network_port.FORMS}", param_hint="--modem"
        )
    if baud != "0" and not network_port.sets_speed(port):
        raise click.BadParameter(
            f"{text!r}: over socket:// the serial server sets the speed", param_hint="--modem"
        )
    if not baud.isascii() or not baud.isdigit() or len(baud) > 9:
        raise click.BadParameter(f"{text!r}: expected a speed such as 115200 after @")
    known = next((m for m in config.modem if m.port == port), ModemSettings(port=port))
    return msgspec.structs.replace(known, baud=int(baud)) if int(baud) else known


# --- backup ------------------------------------------------------------------------------------------


@main.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(data: Path, file: Path) -> None:
    """Write a backup of the data folder to FILE. The box may be running."""
    required(data)
    if file.exists() and not file.is_file():  # the backup would replace a device
        raise click.UsageError(f"{file}: not a regular file")
    if file.resolve() in [(data / name).resolve() for name in backups.OWN]:
        raise click.UsageError(f"{file} belongs to the box; give the backup another name")
    with _progress("Backing up") as report:
        size = backups.save(data, file, report)
    click.echo(f"{file}: {size} bytes")


@contextlib.contextmanager
def _progress(label: str) -> Iterator[backups.Report]:
    """Show a progress bar on a terminal. Yield the function that takes the share that is done."""
    with click.progressbar(
        length=100, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        yield lambda share: bar.update(round(share * 100) - bar.pos)


@main.command()
@data_option
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(data: Path, file: Path) -> None:
    """Replace the contents of the data folder with a backup. The box must be stopped."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = DataLock(data)
    try:
        lock.take()
        with _progress("Restoring") as report:
            aside, checked = backups.restore(file, data, schema_version(), report)
    except (DataInUse, backups.BackupError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{file} restored; the previous data is in {aside}")
    if checked.held:
        click.echo(
            f"{checked.held} messages were queued when the backup was made. They may have been sent since, so they "
            "are held: decide with `zimbox held send` or `zimbox held drop`, or on the status page."
        )


# --- doctor ------------------------------------------------------------------------------------------


@main.command("doctor")
@data_option
@config_option
@click.option(
    "--port", "ports", multiple=True, help="Examine only this port (DEVICE[@BAUD]). Repeatable."
)
@click.option(
    "--send-to",
    help="Also send a real SMS to this number (+33…). The SIM's own number proves receiving too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_command(
    data: Path, file: Path | None, ports: Sequence[str], send_to: str | None, as_json: bool
) -> None:
    """Examine modem, SIM and network, and say what to do. The box must be stopped."""
    config = load(data, file)
    for port in ports:
        modem(port, config)  # raises BadParameter
    number = None if send_to is None else _number(send_to)
    lock = DataLock(data)
    try:
        if data.exists():  # an examination creates nothing
            data.mkdir(exist_ok=True)
            lock.take()
    except DataInUse:
        click.echo(doctor.running(data))
        sys.exit(3)
    configured = [m for m in config.modem if m.port != "sim"]
    wanted = list(ports) or [m.port for m in configured]
    # The findings say everything; the driver's log would only interrupt them.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    result = asyncio.run(doctor.examine(wanted)) + asyncio.run(doctor.examine_broker(config))
    has_password = (data / DATABASE).exists() and store(data, smpp.has_password)
    result += doctor.examine_smpp(config.smpp, has_password=has_password)
    if number is not None and not any(f.grade == "bad" for f in result):
        result += asyncio.run(_prove(data, wanted, configured, number))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(f) for f in result]))
    else:
        for finding in result:
            click.echo(f"[{doctor.MARKS[finding.grade]}] {finding.text}")
    sys.exit(1 if any(f.grade == "bad" for f in result) else 0)


def _number(send_to: str) -> str:
    try:
        return INTERNATIONAL.read(send_to)
    except ApiError as refusal:
        raise click.BadParameter(refusal.message("en"), param_hint="--send-to") from None


async def _prove(
    data: Path, wanted: list[str], configured: list[ModemSettings], number: str
) -> list[doctor.Finding]:
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = (wanted or probe.ports())[0].partition("@")[0]
    pin = next((m.pin for m in configured if m.port == port), "")
    return await doctor.prove(port, number, pin=pin, pin_memory=FilePinMemory(data / "pin.json"))


# --- the owner of the page ---------------------------------------------------------------------------


@main.group("owner")
def owner_group() -> None:
    """The owner of the status page."""


@owner_group.command("forget")
@data_option
def owner_forget(data: Path) -> None:
    """Forget the password of the status page. The next start asks for a new one; messages and keys stay."""
    ended(store(data, admin.forget), "forgotten; restart the box", "this box has no owner")


# --- settings ----------------------------------------------------------------------------------------


@main.group("config")
def config_group() -> None:
    """Settings."""


@config_group.command("show")
@data_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config_show(data: Path, file: Path | None, as_json: bool) -> None:
    """Print the settings in force as TOML or JSON, without secrets."""
    if not (data / DATABASE).exists():
        click.echo(f"There is no box in {data}: these are the settings of a new one.", err=True)
    config = load(data, file)
    if as_json:
        click.echo(json.dumps(settings.shown(config)))
    else:
        click.echo(settings.show(config), nl=False)
