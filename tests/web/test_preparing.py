"""What a box answers while a migration takes long."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable

import httpx
import pytest

from web.failed_start import while_preparing
from web.server import bound_to

NEVER = 3600.0
Report = Callable[[int, int], None]


async def test_a_long_migration_shows_its_progress_and_the_box_then_takes_the_same_port() -> None:
    (bound,) = bound_to("127.0.0.1:0")
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    go_on = asyncio.Event()

    async def start(report: Report) -> str:
        report(3, 7)
        await go_on.wait()
        return "started"

    with contextlib.closing(bound):
        preparing = asyncio.create_task(while_preparing(start, [bound], after=0))
        async with httpx.AsyncClient(base_url=url, timeout=60) as visitor:
            page = await visitor.get("/", headers={"Accept": "text/html", "Accept-Language": "fr"})
            health = await visitor.get("/health")
            sent = await visitor.post("/v1/sms/send", json={"to": "+33612345678"})
        assert page.status_code == health.status_code == sent.status_code == 503
        assert "base de données (42" in page.text and "its database (42" in page.text
        assert page.text.index("Le boîtier") < page.text.index("The box")
        assert (health.json()["status"], health.json()["reason"]) == ("starting", "preparing")
        assert sent.json()["error"]["code"] == "NOT_STARTED"
        go_on.set()
        assert await preparing == "started"

        async def box(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"the box")
            writer.close()

        async with await asyncio.start_server(box, sock=bound):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            assert await reader.read() == b"the box"
            writer.close()


async def test_a_start_without_a_migration_is_not_shown() -> None:
    """The sockets are none, so that listening on them would fail."""

    async def start(report: Report) -> str:
        return "started"

    assert await while_preparing(start, [], after=NEVER) == "started"


async def test_a_migration_that_fails_after_it_was_shown_ends_the_start_with_its_error() -> None:
    (bound,) = bound_to("127.0.0.1:0")
    go_on = asyncio.Event()

    async def start(report: Report) -> str:
        await go_on.wait()
        raise sqlite3.DatabaseError("malformed")

    with contextlib.closing(bound):
        preparing = asyncio.create_task(while_preparing(start, [bound], after=0))
        async with httpx.AsyncClient(timeout=60) as visitor:
            url = f"http://127.0.0.1:{bound.getsockname()[1]}/health"
            assert (await visitor.get(url)).status_code == 503
        go_on.set()
        with pytest.raises(sqlite3.DatabaseError, match="malformed"):
            await preparing
