"""Request bodies in bounded memory: how many bytes are held at once, and how much JSON may become of them."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections import deque
from typing import Any

import msgspec

from appliance.core.i18n import _
from appliance.domain.errors import invalid, later
from appliance.domain.schemas import MESSAGES, AlertsBody, BulkBody, BulkEntry, PersonalizedBody

BODY_BYTES = 256 * 1024
BULK_BYTES = 16 * 1024 * 1024

# Bodies of this size never wait; real messages are smaller.
FREE_BYTES = 16 * 1024
# Larger ones, up to BODY_BYTES each, that may be held at once, and how many more may wait.
SHARED_BYTES = 4 * 1024 * 1024
SHARED_WAITING = 32
# Bulks beyond BODY_BYTES are taken one at a time, and have this long to arrive while others wait.
LARGE_SECONDS = 120.0
LARGE_WAITING = 8
RETRY_SECONDS = 5

# Values in a body. Metadata of 1,024 bytes holds at most 170; a bulk entry of real use holds some twenty.
MOST_VALUES = 2_000
MOST_BULK_VALUES = 100 * MESSAGES
# JSON of one text, list or object that some field might accept: 1,600 characters, escaped, are 19,200 bytes.
LONGEST_VALUE_BYTES = 32 * 1024

_BULKS = (BulkBody, PersonalizedBody, AlertsBody)
_QUOTE = ord('"')
# What every rule refuses as too long, in place of a text that would only cost memory.
_TOO_LONG = "x" * 4_000
# A mark precedes every value but the first. A text that does not end is one token as well.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[,\[{]', re.DOTALL)


class _Bytes:
    """Bytes that may be held at once; who does not fit waits in order of arrival."""

    def __init__(self, total: int, waiting: int) -> None:
        self._total = total
        self._most_waiting = waiting
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def reserve(self, size: int) -> int:
        """Wait for room; the bytes to give to `release`. RATE_LIMIT_EXCEEDED where too many wait."""
        size = min(size, self._total)
        if not self._waiting and size <= self._free:
            self._free -= size
            return size
        # Whoever waits holds the beginning of a body, also when its client is long gone.
        if len(self._waiting) >= self._most_waiting:
            raise later("RATE_LIMIT_EXCEEDED", RETRY_SECONDS)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove((size, turn))
                self._admit()
            else:  # its turn came in the same instant
                self.release(size)
            raise
        return size

    def release(self, size: int) -> None:
        """Give reserved bytes back."""
        self._free += size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            self._free -= size
            turn.set_result(None)


class BodyBudget:
    """What all bodies together may hold."""

    def __init__(self) -> None:
        self.shared = _Bytes(SHARED_BYTES, SHARED_WAITING)
        self.large = _Bytes(BULK_BYTES, LARGE_WAITING)


class Reservation:
    """What the body of one request holds, until `end`."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._shared = 0
        self.large = 0

    async def cover(self, size: int, announced: int | None) -> None:
        """Wait until `size` bytes may be held of a body that announced its whole size, or did not."""
        if self.large or size <= FREE_BYTES:
            return
        if max(size, announced or 0) > BODY_BYTES:
            self.large = await self._budget.large.reserve(BULK_BYTES)
        elif not self._shared:
            self._shared = await self._budget.shared.reserve(announced or BODY_BYTES)

    def end(self) -> None:
        """Give everything back."""
        self._budget.shared.release(self._shared)
        self._budget.large.release(self.large)
        self._shared = self.large = 0


def decode(body: bytes | bytearray, kind: type[msgspec.Struct]) -> Any:
    """A JSON body as plain values, the fields that `kind` does not know left as they are written.

    INVALID_REQUEST for anything but JSON, and for more values than `kind` may have. A value that is
    longer than any field accepts becomes one that its rule refuses.
    """
    if body.startswith(codecs.BOM_UTF8):  # noqa: FURB188 - it would copy a bytearray without one too
        body = body[len(codecs.BOM_UTF8) :]  # some clients write it (RFC 8259 8.1: ignorable)
    try:
        _check_utf8(body)
        _count_values(body, MOST_BULK_VALUES if kind in _BULKS else MOST_VALUES)
        value = msgspec.json.decode(body, type=msgspec.Raw)
        return _fields(value, kind) if _starts(value, b"{") else _plain(value)
    except UnicodeDecodeError:
        raise invalid("body", _("is not valid UTF-8")) from None
    except RecursionError:
        raise invalid("body", _("is nested too deeply")) from None
    except ValueError as error:  # msgspec's own errors are ValueErrors too
        raise invalid("body", _("is not valid JSON ({error})", error=str(error))) from None


def _check_utf8(body: bytes | bytearray) -> None:
    """Raise UnicodeDecodeError. In slices: as a text of its own the body may take four times its size."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), BODY_BYTES):
        decoder.decode(body[start : start + BODY_BYTES])
    decoder.decode(b"", final=True)


def _count_values(body: bytes | bytearray, most: int) -> None:
    if body.count(b",") + body.count(b"[") + body.count(b"{") < most:
        return
    marks = 0
    for token in _TOKEN.finditer(body):
        marks += body[token.start()] != _QUOTE
        if marks >= most:
            raise invalid("body", _("holds more than {most} values", most=most))


def _starts(raw: msgspec.Raw, mark: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == mark


def _fields(raw: msgspec.Raw, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """An object's fields."""
    known = kind.__struct_encode_fields__
    fields: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    for name, value in fields.items():
        if name in known:
            fields[name] = _list(value, name) if _starts(value, b"[") else _plain(value)
    return fields


def _list(raw: msgspec.Raw, name: str) -> list[Any]:
    entries = msgspec.json.decode(raw, type=list[msgspec.Raw])
    if len(entries) > MESSAGES:  # refused by their number, whatever they are
        return [None] * len(entries)
    if name == "messages":
        return [_fields(e, BulkEntry) if _starts(e, b"{") else _plain(e) for e in entries]
    return [_plain(entry) for entry in entries]


def _plain(raw: msgspec.Raw) -> Any:
    if len(memoryview(raw)) <= LONGEST_VALUE_BYTES:
        return msgspec.json.decode(raw)
    if _starts(raw, b'"'):
        return _TOO_LONG
    if _starts(raw, b"{"):
        return {"": _TOO_LONG}
    raise invalid("body", _("holds a value that is too long"))
