"""Conversations: the numbers that wrote, and the texts exchanged with one of them, with a reply form."""

from __future__ import annotations

from urllib.parse import urlencode

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from appliance.domain.errors import ApiError
from appliance.domain.requests import PageFilter
from appliance.domain.validation import SENDER_CHARACTERS
from web.page.messages import PAGE_ROWS, PAGES_MOST, new_form, typed_text
from web.page.rendering import page, sentence
from web.page.settings import back, whole
from web.page.visitor import Seen
from web.request import ServicesDep

REPLY_PRIORITY = 2  # a person waits for it


def _wanted(request: Seen) -> PageFilter:
    number = whole(request.query_params.get("page", "")) or 1
    return PageFilter(min(number, PAGES_MOST), PAGE_ROWS)


@get("/conversations")
async def listed(request: Seen, services: ServicesDep) -> Response[str]:
    """List the numbers that have written, the last one first."""
    wanted = _wanted(request)
    rows = await services.admin.clients.listed()
    return page(
        request,
        "conversations.html",
        found=await services.admin.messages.conversations(wanted),
        wanted=wanted,
        clients={row.id: row.name or f"client_{row.id}" for row in rows},
        now=services.context.clock.now(),
    )


@get("/conversations/messages")
async def one(request: Seen, services: ServicesDep) -> Response[str]:
    """Show a page of the texts exchanged with a number, and mark what it shows as read. Raises NOT_FOUND."""
    client, number = _named(
        request.query_params.get("client", ""), request.query_params.get("number", "")
    )
    return await _thread(request, services, client, number)


def _named(client: str, number: str) -> tuple[int, str]:
    found = whole(client)
    if not found or not 1 <= len(number) <= SENDER_CHARACTERS:
        raise ApiError("NOT_FOUND")
    return found, number


async def _thread(
    request: Seen,
    services: ServicesDep,
    client: int,
    number: str,
    *,
    text: str = "",
    error: str = "",
    status: int = 200,
) -> Response[str]:
    messages = services.admin.messages
    wanted = _wanted(request)
    thread = await messages.conversation(client, number, wanted)
    await messages.read(client, number, thread)
    return page(
        request,
        "conversation.html",
        status=status,
        client=client,
        number=number,
        thread=thread,
        wanted=wanted,
        text=text,
        error=error,
        measured=messages.measure(text),
        form=new_form(),
        notice=request.notice,
        now=services.context.clock.now(),
    )


def _address(client: int, number: str) -> str:
    return "/conversations/messages?" + urlencode({"client": client, "number": number})


@post("/conversations/messages", status_code=200)
async def reply(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Queue a reply and show it below the text that it answers."""
    fields = await request.fields()
    client, number = _named(fields.get("client", ""), fields.get("number", ""))
    text = typed_text(fields.get("text", ""))
    try:
        await services.admin.messages.send(
            number, text, priority=REPLY_PRIORITY, client=client, form=fields.get("form", "")
        )
    except ApiError as refusal:
        return await _thread(
            request,
            services,
            client,
            number,
            text=text,
            error=sentence(request, refusal),
            status=refusal.status,
        )
    return Redirect(_address(client, number) + "#reply", status_code=HTTP_303_SEE_OTHER)


@post("/conversations/name", status_code=HTTP_303_SEE_OTHER)
async def name(request: Seen, services: ServicesDep) -> Redirect:
    """Give the number a name; an empty one removes it."""
    fields = await request.fields()
    client, number = _named(fields.get("client", ""), fields.get("number", ""))
    wanted = fields.get("name", "").strip()
    address = _address(client, number)
    try:
        await services.admin.messages.name(client, number, wanted)
    except ApiError as refusal:
        return back(request, address, error=sentence(request, refusal), field="name", typed=fields)
    return back(request, address, saved=True)
