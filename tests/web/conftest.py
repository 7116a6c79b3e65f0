"""The web in front of a real box (`tests.web.box`), called in this process."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.web.box import WebBox


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[WebBox]:
    started = await WebBox.start(tmp_path)
    yield started
    await started.stop()


@pytest.fixture
def transport(box: WebBox) -> httpx.ASGITransport:
    return box.transport()


@pytest.fixture
async def api(box: WebBox, transport: httpx.ASGITransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=transport, base_url="http://box", headers=box.headers
    ) as client:
        yield client
