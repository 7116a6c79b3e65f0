"""The control socket: one JSON object per line in each direction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

Do = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlSocket:
    """A Unix socket that accepts control requests."""

    def __init__(self, path: Path, do: Do) -> None:
        self._path, self._do = path, do
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen; replace a socket file that a previous run left."""
        if self._path.is_socket():
            self._path.unlink()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._talk, self._path)

    async def stop(self) -> None:
        """Stop listening and remove the file."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._talks:
            writer.close()
        await self._server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(writer)
        try:
            while line := await reader.readline():
                if line.strip():
                    writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                    await writer.drain()
        except (ConnectionError, asyncio.LimitOverrunError, ValueError):
            return  # the peer is gone, or its line exceeds the limit
        finally:
            self._talks.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            words = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return {"ok": False, "error": str(error)}
        return await self._do(words)
