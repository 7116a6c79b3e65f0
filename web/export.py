"""The history as a stream: CSV without formulas, or JSON lines."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from litestar.response import Stream

from appliance.core.i18n import Language, _, pgettext
from appliance.domain.errors import invalid
from appliance.domain.validation import timestamp
from appliance.domain.views import MessageView
from web.responses import FailureBody, Message, message

Format = Literal["csv", "jsonl"]
# Litestar adds the charset.
_MEDIA: dict[Format, str] = {"csv": "text/csv", "jsonl": "application/jsonl"}

_COLUMNS = (
    *("message_id", "status", "to", "message", "priority", "created_at", "queued_at"),
    *("scheduled_at", "sent_at", "delivered_at", "failed_at", "cancelled_at", "uncertain"),
    *("device_id", "parts", "attempts", "error_code", "error_message", "batch_id", "metadata"),
)
# Characters that start a formula in a spreadsheet, in half and full width.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def format_of(text: str | None) -> Format:
    """Return the format: `csv` (the default) or `jsonl`."""
    if not text or text == "csv":
        return "csv"
    if text == "jsonl":
        return "jsonl"
    raise invalid("format", _("must be csv or jsonl"))


async def stream(
    form: Format,
    batches: AsyncIterator[tuple[MessageView, ...]],
    language: Language,
    *,
    by_hand: bool = False,
) -> Stream:
    """Return the streamed answer. Errors occur before its first byte, because the first batch is fetched here.

    `by_hand`: CSV for a double click, with UTF-8 mark and the columns of the language.
    """
    # Not anext(batches, ()): CPython 3.11 unpacks a tuple default into its StopIteration.
    try:
        first = await anext(batches)
    except StopAsyncIteration:
        first = ()
    return Stream(
        _chunks(form, first, batches, language, by_hand),
        media_type=_MEDIA[form],
        headers={"Content-Disposition": f'attachment; filename="messages.{form}"'},
    )


async def _chunks(
    form: Format,
    first: tuple[MessageView, ...],
    rest: AsyncIterator[tuple[MessageView, ...]],
    language: Language,
    by_hand: bool,
) -> AsyncIterator[bytes]:
    # Excel reads UTF-8 only with a mark, and in many languages it separates columns at semicolons.
    comma = pgettext("between the columns of a CSV", ",").plain(language) if by_hand else ","
    if by_hand:
        yield codecs.BOM_UTF8
    if form == "csv":
        yield _csv([_COLUMNS], comma)
    yield _encoded(form, first, language, comma)
    async for batch in rest:
        yield _encoded(form, batch, language, comma)


def _encoded(form: Format, batch: tuple[MessageView, ...], language: Language, comma: str) -> bytes:
    messages = [message(view, language, Message) for view in batch]
    if form == "jsonl":
        return _lines(msgspec.json.Encoder().encode_lines(messages))
    return _csv([_row(entry, view) for entry, view in zip(messages, batch, strict=True)], comma)


def _lines(encoded: bytes) -> bytes:
    """Escape what some readers take for a line end within a JSON text: U+2028, U+2029, U+0085."""
    for character in "\u2028\u2029\x85":
        encoded = encoded.replace(character.encode(), f"\\u{ord(character):04x}".encode())
    return encoded


def _row(row: Message, view: MessageView) -> tuple[str, ...]:
    error = row.error
    return (
        *(row.message_id, row.status, row.to, _text(row.message), row.priority),
        *(timestamp(moment) or "" for moment in _moments(view)),
        *(str(row.uncertain).lower(), row.device_id or "", str(row.parts), str(row.attempts)),
        *(error.code if error else "", _text(_words(error)), row.batch_id or ""),
        _text(view.metadata or ""),
    )


def _moments(view: MessageView) -> tuple[int | None, ...]:
    return (
        *(view.created_at, view.queued_at, view.scheduled_at, view.sent_at),
        *(view.delivered_at, view.failed_at, view.cancelled_at),
    )


def _words(error: FailureBody | None) -> str:
    if error is None:
        return ""
    return f"{error.message} {error.details}" if error.details else error.message


def _text(text: str) -> str:
    """Return a text that a spreadsheet shows instead of running as a formula."""
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text


def _csv(rows: list[tuple[str, ...]], comma: str) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=comma).writerows(rows)  # RFC 4180: CRLF, quotes doubled
    return out.getvalue().encode()
