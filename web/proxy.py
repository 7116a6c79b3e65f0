"""The box behind a reverse proxy under a path: https://home.example.com/sms (docs/adr/0047)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from litestar.types import HTTPScope

# Headers of answers that name a page of the box.
_ONWARD = {b"location", b"hx-redirect", b"x-onward"}


def without_root(scope: HTTPScope, root: str) -> HTTPScope:
    """Return a request for `/sms/messages` as one for `/messages`: not every proxy takes the path off."""
    path, raw = scope["path"], scope["raw_path"]
    if not root or (path != root and not path.startswith(f"{root}/")):
        return scope
    inner = {"path": path[len(root) :] or "/", "raw_path": raw[len(root.encode()) :] or b"/"}
    return cast("HTTPScope", {**scope, **inner})


def with_root(headers: Iterable[tuple[bytes, bytes]], root: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer with the path before the pages that they lead to."""
    if not root:
        return list(headers)
    return [
        (name, root.encode() + value)
        if name.lower() in _ONWARD and value.startswith(b"/")
        else (name, value)
        for name, value in headers
    ]
