"""Messages: the history with search and filters, the timeline of a message, sending by hand."""

from __future__ import annotations

import secrets
from datetime import date
from typing import get_args
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.response import Redirect, Stream
from litestar.status_codes import HTTP_303_SEE_OTHER

from appliance.core.folding import fold
from appliance.domain.errors import ApiError
from appliance.domain.requests import HistoryFilter, MessageStatus, Period
from appliance.monitoring.dashboard import local_midnight
from appliance.services import Services
from web import export as sheet
from web.page.rendering import HEADERS, fragment, page, sentence
from web.page.settings import back, whole
from web.page.visitor import Seen
from web.request import ServicesDep

PAGE_ROWS = 50
PAGES_MOST = 2000
SHORT_CODE_DIGITS = 8


class Wanted(msgspec.Struct, frozen=True):
    """The filters of the URL; an empty text means no filter."""

    q: str = ""
    status: str = ""
    to: str = ""
    start: str = ""
    end: str = ""
    client: str = ""
    mode: str = ""
    page: int = 1

    @property
    def test(self) -> bool:
        return self.mode == "test"

    @property
    def client_number(self) -> int | None:
        return whole(self.client)

    @property
    def narrowed(self) -> bool:
        """Whether there is a filter besides the search text."""
        return any((self.status, self.to, self.start, self.end, self.client, self.mode))

    def query(self) -> str:
        """Return the query of the URL without the page number, ready for another parameter."""
        given = {
            name: value
            for name, value in msgspec.to_builtins(self).items()
            if value and name != "page"
        }
        return urlencode(given)


def wanted_of(request: Seen) -> Wanted:
    """Return the filters of a URL. An invalid value means no filter."""
    given = {
        name: value.replace("\0", " ").strip()
        for name, value in request.query_params.items()
        if name in Wanted.__struct_fields__ and name != "page"
    }
    number = whole(request.query_params.get("page", "")) or 1
    return Wanted(**given, page=min(number, PAGES_MOST))


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if date.min.year < day.year < date.max.year else None


def number_sought(text: str) -> str | None:
    """Return a number as stored; the + may be missing (in a URL it is a space)."""
    digits = "".join(c for c in text if c in "0123456789")
    if not digits:
        return None
    return "+" + digits if "+" in text or len(digits) > SHORT_CODE_DIGITS else digits


def filter_of(wanted: Wanted, services: Services) -> HistoryFilter:
    """Return the filters for the store; days are in the box's time zone."""
    status: MessageStatus | None = None
    for known in get_args(MessageStatus):
        if wanted.status == known:
            status = known
    start, end = _day(wanted.start), _day(wanted.end)
    zone = services.context.zone
    return HistoryFilter(
        page=wanted.page,
        limit=PAGE_ROWS,
        status=status,
        to=number_sought(services.context.numbers.with_national().read_or_keep(wanted.to)),
        period=Period(
            local_midnight(start, zone) if start else None,
            local_midnight(end, zone, after=True) if end else None,
        ),
        search=fold(wanted.q) or wanted.q or None,  # accents alone are in no folded text
    )


@get("/messages")
async def listed(request: Seen, services: ServicesDep) -> Response[str]:
    """Show a page of the history; test messages only on request."""
    wanted = wanted_of(request)
    asked = filter_of(wanted, services)
    found = await services.admin.messages.page(asked, test=wanted.test, client=wanted.client_number)
    return page(
        request,
        "messages.html",
        found=found,
        wanted=wanted,
        asked=asked,
        clients=await services.admin.clients.listed(),
        now=services.context.clock.now(),
    )


@get("/messages/export")
async def export(request: Seen, services: ServicesDep) -> Stream:
    """Export all filtered messages as CSV."""
    wanted = wanted_of(request)
    asked = msgspec.structs.replace(filter_of(wanted, services), page=1)
    batches = services.admin.messages.export(asked, test=wanted.test, client=wanted.client_number)
    answer = await sheet.stream("csv", batches, request.visitor.language.code, by_hand=True)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@get("/messages/{message_id:str}")
async def one(request: Seen, services: ServicesDep, message_id: str) -> Response[str]:
    """Show the timeline of a message. Raises MESSAGE_NOT_FOUND."""
    timeline = await services.admin.messages.timeline(message_id)
    return page(
        request,
        "message.html",
        timeline=timeline,
        now=services.context.clock.now(),
        notice=request.notice,
    )


def _back(request: Seen, message_id: str, error: str = "") -> Redirect:
    return back(request, f"/messages/{message_id}", error=error)


@post("/messages/{message_id:str}/resend", status_code=HTTP_303_SEE_OTHER)
async def resend(request: Seen, services: ServicesDep, message_id: str) -> Redirect:
    """Resend a failed message."""
    try:
        await services.admin.messages.resend(message_id)
    except ApiError as refusal:
        return _back(request, message_id, sentence(request, refusal))
    return _back(request, message_id)


@post("/messages/{message_id:str}/cancel", status_code=HTTP_303_SEE_OTHER)
async def cancel(request: Seen, services: ServicesDep, message_id: str) -> Redirect:
    """Cancel a message that was never submitted."""
    try:
        await services.admin.messages.cancel(message_id)
    except ApiError as refusal:
        return _back(request, message_id, sentence(request, refusal))
    return _back(request, message_id)


# --- sending by hand -----------------------------------------------------------------------------


@get("/send")
async def compose(request: Seen, services: ServicesDep) -> Response[str]:
    """Show the form for one message; for a reply the number is filled in."""
    to = request.query_params.get("to", "")
    return await _compose(request, services, to=to, priority=2 if to else 3)


async def _compose(
    request: Seen,
    services: ServicesDep,
    *,
    to: str,
    priority: int,
    text: str = "",
    client: int | None = None,
    error: str = "",
    status: int = 200,
) -> Response[str]:
    return page(
        request,
        "send.html",
        status=status,
        to=to,
        text=text,
        priority=priority,
        measured=services.admin.messages.measure(text),
        contacts=await services.admin.messages.contacts(),
        clients=[row for row in await services.admin.clients.listed() if row.disabled_at is None],
        client=client,
        form=new_form(),
        error=error,
    )


def new_form() -> str:
    """Return a unique name for a form, so that submitting it twice sends one message."""
    return secrets.token_urlsafe(12)


@post("/send/measure", status_code=200)
async def measure(request: Seen, services: ServicesDep) -> Response[str]:
    """Show alphabet and number of parts while the text is typed."""
    text = typed_text((await request.fields()).get("text", ""))
    shown = fragment(
        "live/measure.html", request.visitor, measured=services.admin.messages.measure(text)
    )
    return Response(shown, media_type="text/html", headers=HEADERS)


@post("/send", status_code=200)
async def send(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Queue the message and show its timeline."""
    fields = await request.fields()
    to, text = fields.get("to", ""), typed_text(fields.get("text", ""))
    priority = whole(fields.get("priority", "")) or 3
    client = whole(fields.get("client", ""))
    try:
        message_id = await services.admin.messages.send(
            to.strip(), text, priority=priority, client=client, form=fields.get("form", "")
        )
    except ApiError as refusal:
        return await _compose(
            request,
            services,
            to=to,
            text=text,
            priority=priority,
            client=client,
            error=sentence(request, refusal),
            status=refusal.status,
        )
    return _back(request, message_id)


def typed_text(text: str) -> str:
    """Return the text of a form: browsers send line ends as CR LF (WHATWG HTML 4.10.22), an SMS has LF."""
    return text.replace("\r\n", "\n")
