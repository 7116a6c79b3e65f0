"""The simulator as a process: options, control socket, journal, clean and sudden end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modem.simulator.cli import simulate
from tests.modem.simulated import Client, send, submit
from tests.waiting import HANG_SECONDS

pytestmark = pytest.mark.process


@asynccontextmanager
async def process(folder: Path, *options: str) -> AsyncIterator[Process]:
    """`zimbox simulate` with its files in a folder, up to the line that names the port."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "modem.simulator.cli",
        "--link", folder / "port", "--journal", folder / "journal", "--control", folder / "control",
        *options, stdout=PIPE,
    )  # fmt: skip
    assert started.stdout is not None
    try:
        async with asyncio.timeout(HANG_SECONDS):
            assert (await started.stdout.readline()).decode().strip() == str(folder / "port")
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def talk(folder: Path, *lines: str) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(folder / "control")
    answers = []
    for line in lines:
        writer.write(line.encode() + b"\n")
        answers.append(json.loads(await reader.readline()))
    writer.close()
    await writer.wait_closed()
    return answers


async def test_options_reach_the_modem_and_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    options = ("--personality", "sim800", "--pin", "4321", "--set", "sim_slots=7", "--imei", "86")
    async with process(tmp_path, *options) as started:
        client = Client(str(tmp_path / "port"))
        await client.ask("ATE0")
        assert await client.ask("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
        await client.ask('AT+CPIN="4321"')
        await client.until(b"SMS Ready\r\n")
        assert "7" in (await client.ask("AT+CPMS?"))[0]
        assert (await client.ask("AT+CGSN"))[0] == "86"
        client.close()
        started.send_signal(signal.SIGTERM)
        assert await started.wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal"]


async def test_orders_over_the_socket(tmp_path: Path) -> None:
    async with process(tmp_path):
        client = Client(str(tmp_path / "port"))
        await client.ask("ATE0;+CMEE=1")
        ok, not_json, unknown, no_object, status = await talk(
            tmp_path,
            '{"do": "send", "cms": 42}',
            "{nonsense",
            '{"do": "fly"}',
            "[1]",
            '{"do": "status"}',
        )
        assert ok == {"ok": True} and status["faults"] == 1
        assert not (not_json["ok"] or unknown["ok"] or no_object["ok"])
        assert (await send(client))[-1] == "+CMS ERROR: 42"
        client.close()


async def test_the_journal_survives_a_sudden_end_and_the_next_start_goes_on(tmp_path: Path) -> None:
    for round_ in (1, 2):
        async with process(tmp_path, "--latency", "1") as started:
            client = Client(str(tmp_path / "port"))
            await client.ask("ATE0;+CNMI=2,1,0,0,0")
            for n in range(5):
                assert (await send(client, submit(f"{round_}.{n}")))[-1] == "OK"
            os.kill(started.pid, signal.SIGKILL)
            await started.wait()
            client.close()
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    texts = [line["text"] for line in lines if line["event"] == "submit"]
    assert texts == [f"{round_}.{n}" for round_ in (1, 2) for n in range(5)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--personality", "nokia"], "sim7600"),
        (["--set", "latencyy=1"], "latencyy"),
        (["--set", "latency=soon"], "latency"),
    ],
)
def test_a_wrong_option_is_named(options: list[str], said: str) -> None:
    result = CliRunner().invoke(simulate, options)
    assert result.exit_code == 2 and said in result.output


def test_a_path_that_is_taken_is_named_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("precious")
    for option in (["--link", str(tmp_path / "port")], ["--journal", str(tmp_path / "port" / "j")]):
        result = CliRunner().invoke(simulate, option)
        assert result.exit_code == 1 and "Error: " in result.output, result.output
    assert (tmp_path / "port").read_text() == "precious"
