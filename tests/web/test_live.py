"""The look that all open pages share goes on after it has failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance import supervision
from appliance.assembly import Assembly
from appliance.config import Config
from appliance.overview import Overview
from appliance.owner import Owner
from web.page import live
from web.page.live import Live
from web.page.visitor import Visitor
from web.page.words import Tongue


class Falters(Owner):
    """Its second look at the box breaks."""

    looks = 0
    third = asyncio.Event()

    async def overview(self) -> Overview:
        self.looks += 1
        if self.looks == 2:
            raise OSError("the card was slow")
        if self.looks == 3:
            self.third.set()
        return await super().overview()


async def test_a_look_that_breaks_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((live, "LOOK_SECONDS"), (live, "REST_FOR_LOOK"), (live, "SAFETY_SECONDS")):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(supervision, "PAUSE_SECONDS", 0)
    assembly = await Assembly.build(tmp_path, Config())
    owner = Falters(assembly.box, assembly.devices, assembly.gateway)
    looking = Live(owner)
    visitor = Visitor(Tongue("fr", assembly.box.zone), False, "", "", "", False)

    async def watch() -> None:
        async for _ in looking.stream(visitor, "msg_of_nobody"):
            pass

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(10):
        await owner.third.wait()
    looking.close()
    await watching
    await assembly.stop()
    await assembly.webhooks.close()
