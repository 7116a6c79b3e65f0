"""`zimbox simulate`: run the simulated modem for any program that can open a serial port."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import msgspec

from modem.simulator.personalities import EVERY
from modem.simulator.settings import Settings
from modem.simulator.simulator import Simulator

_FILE = click.Path(path_type=Path)


async def run(simulator: Simulator) -> None:
    """Run until SIGINT or SIGTERM; print the port's name first."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        click.echo(await simulator.start())
        await stopped.wait()
    except OSError as error:  # a link, journal or socket cannot be created
        raise click.ClickException(str(error)) from error
    finally:
        await simulator.stop()


@click.command(context_settings={"show_default": True})
@click.option(
    "--link", type=_FILE, help="Symbolic link to the port, the same after each reconnection."
)
@click.option("--journal", type=_FILE, help="Append what the network received, as JSON lines.")
@click.option("--control", type=_FILE, help="Unix socket for orders, one JSON object per line.")
@click.option("--trace", type=_FILE, help="Append every byte of the line with its time.")
@click.option(
    "--personality", type=click.Choice(list(EVERY)), default="sim7600", help="Module to imitate."
)
@click.option("--pin", default="", help="PIN of the SIM. Empty: none.")
@click.option("--number", default=Settings().number, help="Number of the SIM.")
@click.option("--imei", default=Settings().imei, help="IMEI of the modem.")
@click.option("--imsi", default=Settings().imsi, help="IMSI of the SIM.")
@click.option("--iccid", default=Settings().iccid, help="ICCID of the SIM.")
@click.option("--operator", default=Settings().operator, help="Name of the network.")
@click.option("--latency", type=float, default=0, help="Milliseconds until a part is accepted.")
@click.option("--latency-jitter", type=float, default=0, help="Random variation of that (ms).")
@click.option(
    "--report-delay", type=float, default=0, help="Milliseconds until the delivery report."
)
@click.option("--report-jitter", type=float, default=0, help="Random variation of that (ms).")
@click.option("--baud", type=int, default=0, help="Pace bytes as a UART of this speed. 0: do not.")
@click.option("--fixed-baud", is_flag=True, help="A client at another speed reads only noise.")
@click.option(
    "--boot", type=float, default=0, help="Start-up time: 1 is as in the real module, 0 is none."
)
@click.option("--credit", type=int, help="Parts that may be sent. Default: no limit.")
@click.option(
    "--sim-slots", type=int, default=Settings().sim_slots, help="Places for messages on the SIM."
)
@click.option("--seed", type=int, default=0, help="Seed of the random numbers.")
@click.option("--magic/--no-magic", default=True, help="Whether test numbers produce failures.")
@click.option(
    "--set",
    "others",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any other setting (docs/simulator.md). Times in seconds.",
)
def simulate(
    link: Path | None,
    journal: Path | None,
    control: Path | None,
    trace: Path | None,
    latency: float,
    latency_jitter: float,
    report_delay: float,
    report_jitter: float,
    others: tuple[str, ...],
    **chosen: object,
) -> None:
    """Run the simulated modem alone, and print the name of its serial port."""
    named = dict(each.partition("=")[::2] for each in others)
    milliseconds = {
        "latency": latency,
        "latency_jitter": latency_jitter,
        "report_delay": report_delay,
        "report_jitter": report_jitter,
    }
    seconds = {name: value / 1000 for name, value in milliseconds.items()}
    settings = settings_from({**chosen, **seconds, **named})
    try:
        simulator = Simulator(settings, journal=journal, link=link, control=control, trace=trace)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    asyncio.run(run(simulator))


def settings_from(chosen: dict[str, object]) -> Settings:
    """Return the settings with these values, given as text or numbers. Raises click.UsageError."""
    try:
        return msgspec.convert(chosen, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    simulate()
