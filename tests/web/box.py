"""A real box for the web tests: SQLite in a temporary folder, a clock that the test sets, one modem that is ready.

The modem is a driver without a line: nothing is sent, and messages stay queued until a test settles them.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from appliance.assembly import Assembly
from appliance.core.config import Config, ModemSettings, Server
from appliance.devices.attached import Attached
from appliance.domain import ids
from appliance.store import clients, messages
from modem.driver.device import ModemDriver
from modem.error_codes import lookup
from modem.interface import Identity, Limitation, ModemState, Outcome, ReceivedPdu, Verdict
from modem.sms import tpdu
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu import Deliver
from modem.timeouts import SerialLine
from tests.appliance.conftest import Stage
from tests.manual_clock import ManualClock
from tests.waiting import HANG_SECONDS, eventually
from web.app import create

NOW = 1_736_937_000_000  # 2025-01-15T10:30:00Z
TO = "+33612345678"
OWN_NUMBER = "+33600000000"
METRICS_TOKEN = "a-token"
ICCID = "8933010000000001"
IDENTITY = Identity(
    imei="860123456789012",
    manufacturer="SIMCOM",
    model="SIM7600E-H",
    phone_number=OWN_NUMBER,
    iccid=ICCID,
)


class WebBox:
    """A box, one client with one key, and the network that its messages go to."""

    def __init__(self, assembly: Assembly, clock: ManualClock, made: clients.NewKey) -> None:
        self.services = assembly.services
        self.clock = clock
        self.key, self.client = made.key, f"client_{made.client}"
        self.headers = {"X-API-Key": self.key, "X-Client-ID": self.client}
        self.db = assembly.box.db
        self._assembly = assembly
        self._network = Stage(assembly.box.db, assembly.box.ids)
        self._reference = 0
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: Path, **settings: Any) -> WebBox:
        """Start a box in a folder, with a modem that is online."""
        config = Config(server=Server(metrics_token=METRICS_TOKEN), **settings)
        clock = ManualClock(NOW)
        assembly = await Assembly.build(folder, config, clock)
        client = await assembly.box.db.write(clients.add_client, "A shop", NOW)
        box = cls(assembly, clock, await assembly.box.db.write(clients.add_key, client.id, NOW))
        await box.attach()
        return box

    async def attach(self) -> None:
        devices, modem = self._assembly.devices, ModemDriver(SerialLine("/nowhere"))
        attached = Attached(self._assembly.box, ModemSettings(name="HAT"), modem, test=False)
        devices.attached.append(attached)
        self._listening = asyncio.create_task(devices.listen(attached))
        modem.publisher.update(
            ModemState.READY,
            identity=IDENTITY,
            operator="Orange F",
            technology="LTE",
            signal_dbm=-71,
        )
        async with asyncio.timeout(HANG_SECONDS):
            await attached.been_online.wait()

    def limit(self, *limitations: Limitation) -> None:
        """Give the modem these limitations."""
        modem = self._assembly.devices.attached[0].modem
        assert isinstance(modem, ModemDriver)
        modem.publisher.update(limitations=frozenset(limitations))

    async def stop(self) -> None:
        """Stop the modem and close the store."""
        for attached in self._assembly.devices.attached:
            await attached.modem.stop()
        if self._listening:
            await self._listening
        await self._assembly.stop()
        await self._assembly.webhooks.close()

    def transport(self, **options: Any) -> httpx.ASGITransport:
        """Return the web over this box, called in this process."""
        app: Any = create(self.services, **options)  # its ASGI types are narrower than httpx's
        return httpx.ASGITransport(app, raise_app_exceptions=False)

    async def receive(self, sender: str, text: str) -> None:
        """A message arrives at the modem, and is stored."""
        (attached,) = self._assembly.devices.attached
        assert isinstance(attached.modem, ModemDriver)
        arrived = datetime.fromtimestamp(self.clock.now() / 1000, UTC)
        deliver = Deliver(sender=sender, text=text, sent_at=arrived, alphabet=Alphabet.GSM7)
        before = await self._received()
        attached.modem.publisher.publish(ReceivedPdu(tpdu.encode_deliver(deliver).hex, None, ICCID))

        async def stored() -> bool:
            return await self._received() > before

        await eventually(stored, "the message is stored")

    async def _received(self) -> int:
        return await self.db.read(
            lambda db: db.execute("SELECT COUNT(*) FROM inbound").fetchone()[0]
        )

    async def code_of(self, message_id: str) -> str:
        """The one-time code in a queued message."""
        number = ids.parse("msg", message_id)
        assert number is not None
        row = await self.db.read(messages.get, number)
        assert row is not None and row.secret is not None
        (code,) = re.findall(r"\d{4,8}", self.services.context.encryption.decrypt(row.secret))
        return str(code)

    # --- what becomes of the next message in the queue -----------------------------------------------

    async def fail_next(self) -> None:
        """The network refuses it for good: CMS 38."""
        cause = lookup.cms(38)
        await self._settle(Outcome(Verdict.NEVER, fault=cause))

    async def deliver_next(self) -> None:
        """The network takes it, and reports it as delivered."""
        self._reference += 1
        await self._settle(Outcome(Verdict.TAKEN, self._reference))
        assert await self._network.report(self._reference) is not None

    async def _settle(self, outcome: Outcome) -> None:
        self._network.now = self.clock.now()
        await self._network.record(await self._network.must_claim(), outcome)
