"""A simulator in a temporary folder and a plain client on its port, for tests."""

from __future__ import annotations

import asyncio
import json
import os
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from modem.simulator import Settings, Simulator
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu import Submit, encode_submit
from tests.waiting import eventually

PATIENCE = 60.0  # seconds until a test says that something did not come; never waited in full


class Client:
    """Opens the port as any program would, without a thread; keeps all that was read."""

    def __init__(self, name: str) -> None:
        self.file = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._arrived = asyncio.Event()
        self.read = bytearray()
        self.gone = False
        asyncio.get_running_loop().add_reader(self.file, self.readable)

    def readable(self) -> None:
        try:
            data = os.read(self.file, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.gone = True
            asyncio.get_running_loop().remove_reader(self.file)
        self.read += data
        self._arrived.set()

    def close(self) -> None:
        if self.file < 0:
            return
        asyncio.get_running_loop().remove_reader(self.file)
        os.close(self.file)
        self.file = -1

    def speed(self, speed: int) -> None:
        attributes = termios.tcgetattr(self.file)
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(self.file, termios.TCSANOW, attributes)

    def write(self, data: bytes) -> None:
        os.write(self.file, data)

    async def until(self, *ends: bytes, patience: float = PATIENCE) -> str:
        """All that was read up to and with the first of `ends`, which is then forgotten."""
        async with asyncio.timeout(patience):
            while True:
                found = [(self.read.find(each), each) for each in ends if each in self.read]
                if found:
                    place, end = min(found)
                    output = bytes(self.read[: place + len(end)])
                    del self.read[: len(output)]
                    return output.decode("latin-1")
                self._arrived.clear()
                await self._arrived.wait()

    async def hung_up(self) -> None:
        """Until the port is gone."""
        async with asyncio.timeout(PATIENCE):
            while not self.gone:
                self._arrived.clear()
                await self._arrived.wait()

    async def ask(self, command: str) -> list[str]:
        """The lines of an answer, the final result last."""
        self.write(command.encode("latin-1") + b"\r")
        output = ""
        while True:
            output += await self.until(b"\r\n")
            line = output.splitlines()[-1] if output.splitlines() else ""
            if line in ("OK", "ERROR", "NO CARRIER") or line.startswith(("+CMS ERR", "+CME ERR")):
                return [each for each in output.split("\r\n") if each.strip()]

    async def quiet(self) -> str:
        """What has come by the time that the modem answers a further command; it is put aside."""
        lines = await self.ask("AT")
        return "\n".join(lines[:-1])


class Bench:
    """A running simulator with its journal and a client."""

    def __init__(self, simulator: Simulator, journal: Path, port: str) -> None:
        self.simulator, self.journal_file, self.port = simulator, journal, port
        self.client = Client(port)

    @classmethod
    async def of(cls, folder: Path, **settings: Any) -> Bench:
        journal = folder / "journal"
        simulator = Simulator(
            Settings(**settings), journal=journal, link=folder / "port", control=folder / "control"
        )
        return cls(simulator, journal, await simulator.start())

    async def ready(self) -> Client:
        """A client that has set the modem up for sending with reports."""
        for command in ("ATE0", "AT+CMEE=1", "AT+CMGF=0", "AT+CNMI=2,1,0,1,0"):
            assert (await self.client.ask(command))[-1] == "OK"
        return self.client

    async def reopen(self) -> Client:
        """Another client after the first has gone."""
        self.client.close()
        self.client = Client(self.port)
        return self.client

    async def stop(self) -> None:
        self.client.close()
        await self.simulator.stop()

    async def order(self, do: str, **words: Any) -> dict[str, Any]:
        answer = await self.simulator.command({"do": do, **words})
        assert answer["ok"], answer
        return answer

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something is true of the simulator, which runs in the same loop."""
        await eventually(true, "the simulator is in the awaited state")

    def journal(self, event: str = "") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.journal_file.read_text().splitlines()]
        return [each for each in lines if not event or each["event"] == event]


async def no_more(bench: Bench) -> None:
    """Assert that the client has received nothing and receives nothing within a moment."""
    await asyncio.sleep(0.01)  # further bytes would arrive by now
    assert not bench.client.read


@asynccontextmanager
async def simulated(folder: Path, **settings: Any) -> AsyncIterator[Bench]:
    """A simulator that is on, until the end of the block; an error in its callbacks is an error."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    bench = await Bench.of(folder, **settings)
    try:
        yield bench
    finally:
        await bench.stop()
    assert not errors, errors


def submit(text: str = "Hello", to: str = "+4915112340001", **more: Any) -> Submit:
    return Submit(recipient=to, text=text, alphabet=more.pop("alphabet", Alphabet.GSM7), **more)


async def send(client: Client, message: Submit | None = None) -> list[str]:
    """What a modem answers to a whole AT+CMGS dialogue; the lines after the prompt."""
    tpdu = encode_submit(message or submit())
    client.write(b"AT+CMGS=%d\r" % tpdu.length)
    await client.until(b"> ")
    client.write(tpdu.hex.encode() + b"\x1a")
    output = ""
    while True:
        output += await client.until(b"\r\n")
        last = output.split("\r\n")[-2]
        if last in ("OK", "ERROR") or last.startswith(("+CMS ERROR", "+CME ERROR")):
            return [line for line in output.split("\r\n") if line]
