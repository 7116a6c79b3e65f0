"""The simulated modem as a program on its port sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.modem.simulated import Bench, send, submit


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = await Bench.of(tmp_path)
    yield bench
    await bench.stop()


async def test_a_message_goes_out_and_its_report_comes_back(bench: Bench) -> None:
    client = await bench.ready()
    assert await send(client, submit("Hello")) == ["+CMGS: 0", "OK"]
    report = await client.until(b"00\r\n")
    assert report.startswith("\r\n+CDS: 26\r\n07919471")
    (line,) = bench.journal("submit")
    assert (line["text"], line["recipient"], line["reference"]) == ("Hello", "+4915112340001", 0)


async def test_a_client_that_closes_and_opens_the_port_finds_the_same_modem(bench: Bench) -> None:
    client = await bench.ready()
    client.close()
    bench.client = again = type(client)(bench.port)
    assert await again.ask("AT+CNMI?") == ["+CNMI: 2,1,0,1,0", "OK"]
