"""The look that all open pages share goes on after it has failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.assembly import Assembly
from appliance.core import tasks
from appliance.core.config import Config
from appliance.monitoring.dashboard import DashboardReader, Overview
from tests.waiting import HANG_SECONDS
from web.app import create
from web.page import live
from web.page.i18n import PageLanguage
from web.page.live import Live
from web.page.routes import StatusPage
from web.page.visitor import Visitor


class Falters(DashboardReader):
    """Its second look at the box breaks."""

    looks = 0
    third = asyncio.Event()

    async def take(self) -> Overview:
        self.looks += 1
        if self.looks == 2:
            raise OSError("the card was slow")
        if self.looks == 3:
            self.third.set()
        return await super().take()


@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")  # Litestar's, of the page's paths
async def test_a_head_request_opens_no_stream(tmp_path: Path) -> None:
    assembly = await Assembly.build(tmp_path, Config())
    page = StatusPage(assembly.services)
    app: Any = create(assembly.services, page.handlers)
    answered, ended = [], asyncio.Event()
    pieces = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not pieces:
            await ended.wait()  # as uvicorn: after the last of the answer nobody is there
            return {"type": "http.disconnect"}
        return pieces.pop()

    async def send(message: Any) -> None:
        assert not ended.is_set(), "nothing comes after the end"
        answered.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            ended.set()

    scope = {
        "type": "http",
        "method": "HEAD",
        "scheme": "http",
        "path": "/live",
        "raw_path": b"/live",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"box")],
        "client": ("192.168.1.20", 1),
        "server": ("box", 80),
    }
    try:
        async with asyncio.timeout(HANG_SECONDS):
            await app(scope, receive, send)
        assert answered[0]["status"] == 200
        assert [message.get("body") for message in answered[1:]] == [b""]
    finally:
        page.close()
        await assembly.stop()
        await assembly.webhooks.close()


async def test_a_failed_read_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((live, "POLL_SECONDS"), (live, "REST_PER_READ"), (live, "SAFETY_SECONDS")):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 0)
    assembly = await Assembly.build(tmp_path, Config())
    dashboard = Falters(assembly.box, assembly.devices)
    looking = Live(msgspec.structs.replace(assembly.services, dashboard=dashboard))
    visitor = Visitor(PageLanguage("fr", assembly.box.zone), False, "", "", "", False)

    async def watch() -> None:
        async for _ in looking.stream(visitor, "msg_of_nobody"):
            pass

    watching = asyncio.create_task(watch())
    async with asyncio.timeout(HANG_SECONDS):
        await dashboard.third.wait()
    looking.close()
    await watching
    assert watching.done() and watching.exception() is None
    await assembly.stop()
    await assembly.webhooks.close()
