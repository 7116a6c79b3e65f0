"""The web in front of a shelf (`tests.web.shelf`), called in this process."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.web.shelf import CLIENT, KEY, Shelf
from web.app import create

HEADERS = {"X-API-Key": KEY, "X-Client-ID": CLIENT}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def transport(shelf: Shelf) -> httpx.ASGITransport:
    app: Any = create(shelf)  # its ASGI types are Litestar's own, narrower than httpx's
    return httpx.ASGITransport(app, raise_app_exceptions=False)


@pytest.fixture
async def api(transport: httpx.ASGITransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=transport, base_url="http://box", headers=HEADERS
    ) as client:
        yield client
