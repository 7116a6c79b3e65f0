"""The static files of the page, read and compressed once, with content hashes in their URLs."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, get

from appliance.domain.errors import ApiError

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    """A static file, plain and compressed; `mark` changes with its content."""

    content: bytes
    packed: bytes
    media_type: str
    mark: str


def _load() -> dict[str, Asset]:
    found: dict[str, Asset] = {}
    for file in sorted(_FOLDER.iterdir()):
        if file.suffix in _TYPES:
            content = file.read_bytes()
            mark = hashlib.sha256(content).hexdigest()[:10]
            packed = gzip.compress(content, 9, mtime=0)
            found[file.name] = Asset(content, packed, _TYPES[file.suffix], mark)
    return found


ASSETS = _load()


def address(name: str) -> str:
    """Return the URL of a file, which changes with its content."""
    return f"/static/{name}?v={ASSETS[name].mark}"


@get("/static/{name:str}")
async def static(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """Serve a static file. Raises NOT_FOUND."""
    asset = ASSETS.get(name)
    if asset is None:
        raise ApiError("NOT_FOUND")
    headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
