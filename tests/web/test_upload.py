"""A browser that sends a file and falls silent: the box does not wait for it for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Assembly
from appliance.core.config import Config
from appliance.maintenance.uploads import BACKUP
from tests.waiting import HANG_SECONDS
from web.app import create
from web.page import upload
from web.page.routes import StatusPage

BEGUN = (
    b'--x\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n%s\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nThe beginning'
)


@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")  # Litestar's, of the page's paths
async def test_a_browser_that_went_out_of_reach_does_not_keep_the_next_file_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "SILENCE_SECONDS", 0.1)
    assembly = await Assembly.build(tmp_path, Config())
    try:
        services, auth = assembly.services, assembly.services.admin.auth
        await auth.start()
        app: Any = create(services, StatusPage(services).handlers)
        hashed = await auth.claim("une phrase bien longue", "", "127.0.0.1", "localhost")
        session = await auth.open_session("a phone", hashed)
        pieces = [BEGUN % auth.form_token(session).encode()]
        headers = {
            b"host": b"box",
            b"cookie": b"zimbox_session=" + session.encode(),
            b"content-type": b"multipart/form-data; boundary=x",
            b"content-length": b"100000",
        }
        answered: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                await asyncio.Event().wait()  # no word, and no word that there will be none
            return {"type": "http.request", "body": pieces.pop(), "more_body": True}

        async def send(message: Any) -> None:
            answered.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": "/settings/restore",
            "raw_path": b"/settings/restore",
            "query_string": b"",
            "root_path": "",
            "headers": list(headers.items()),
            "client": ("192.168.1.20", 1),
            "server": ("box", 80),
        }
        async with asyncio.timeout(HANG_SECONDS):
            await app(scope, receive, send)
        assert answered[0]["status"] == 303
        with services.admin.maintenance.receiving(BACKUP):
            pass  # raises Busy while somebody else sends
    finally:
        await assembly.stop()
        await assembly.webhooks.close()
