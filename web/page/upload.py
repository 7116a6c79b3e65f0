"""File uploads, streamed to disk after the form's token was checked."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import BinaryIO

from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from appliance.maintenance.uploads import NoRoom
from appliance.services import Services
from web.page.visitor import TOKEN_FIELD, NotOurs, Seen

FILE_FIELD = "file"
TOKEN_CHARACTERS = 200
SILENCE_SECONDS = 60.0  # a phone that went out of range does not close the connection
PIECE = 1 << 20  # bytes written at once: a thread switch per packet costs more than writing


class Gone(Exception):
    """The browser disconnected before the file was complete."""


class TooLarge(Exception):
    """The file is larger than any file of its kind."""


class NoFile(Exception):
    """The form has no file."""


async def receive(request: Seen, services: Services, target: Path, copies: int) -> None:
    """Write the form's file to `target`, if there is room for `copies` of it.

    Raises NotOurs, NoFile, NoRoom, Gone, TooLarge.
    """
    incoming = services.admin.maintenance.incoming
    length = int(request.headers.get("Content-Length") or 0)
    most = request.route_handler.resolve_request_max_body_size() or 0
    if length > most:
        raise TooLarge
    incoming.make_sure(length, copies)
    form = _Form(request, services, target)
    try:
        chunks = aiter(request.stream())
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            await form.take(chunk)
    except (
        InternalServerException,
        TimeoutError,
    ):  # Litestar raises the first if the client disconnects
        raise Gone from None
    except RequestEntityTooLarge:
        raise TooLarge from None
    except MultipartError:
        raise NoFile from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoom(length >> 20) from None
    finally:
        await form.close()
    if not form.whole:
        raise NoFile


class _Form:
    """Parses a form as it arrives: first its token, then its file."""

    def __init__(self, request: Seen, services: Services, target: Path) -> None:
        boundary = request.content_type[1].get("boundary", "")
        self._parser = PushMultipartParser(boundary or "none", max_segment_count=8)
        self._services = services
        self._kept = request.visitor.form_cookie
        self._target = target
        self._segment: MultipartSegment | None = None
        self._token = b""
        self._ours = False
        self._file: BinaryIO | None = None
        self._pending = bytearray()
        self.whole = False  # the end of the file was seen, and it is not empty

    async def take(self, chunk: bytes) -> None:
        for found in self._parser.parse(chunk):
            if isinstance(found, MultipartSegment):
                self._begin(found)
            elif found is None:
                await self._end()
            else:
                await self._more(bytes(found))

    def _begin(self, segment: MultipartSegment) -> None:
        self._segment = segment
        if segment.name == TOKEN_FIELD:
            return
        if not self._ours:
            raise NotOurs
        if segment.name == FILE_FIELD and self._file is None:
            self._file = self._target.open("wb")

    async def _more(self, data: bytes) -> None:
        assert self._segment is not None, "data comes within a segment"
        if self._segment.name == TOKEN_FIELD:
            self._token = (self._token + data)[:TOKEN_CHARACTERS]
        elif self._segment.name == FILE_FIELD:
            self._pending += data
            if len(self._pending) >= PIECE:
                await self._write()

    async def _end(self) -> None:
        assert self._segment is not None, "an end has a segment"
        if self._segment.name == TOKEN_FIELD:
            token = self._token.decode("utf-8", "replace")
            self._ours = self._services.admin.auth.form_is_ours(self._kept, token)
            if not self._ours:
                raise NotOurs
        elif self._segment.name == FILE_FIELD:
            await self._write()
            self.whole = self._file is not None and self._file.tell() > 0

    async def _write(self) -> None:
        if self._file is not None and self._pending:
            await asyncio.to_thread(self._file.write, bytes(self._pending))
            self._pending.clear()

    async def close(self) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)
