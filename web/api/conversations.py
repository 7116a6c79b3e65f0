"""/v1/conversations and /v1/contacts."""

from __future__ import annotations

from litestar import delete, get, post, put
from litestar.params import FromPath

from appliance.core.i18n import _
from appliance.domain import parsing, validation
from appliance.domain.errors import invalid
from appliance.domain.requests import PageFilter
from appliance.domain.schemas import ContactBody, ReadBody
from appliance.domain.views import Contact, Conversation, ConversationText, SuccessResponse
from web.openapi.metadata import (
    CONTACT_SEARCH,
    CONVERSATION,
    LIMIT,
    NUMBER,
    PAGE,
    UNREAD,
    documented,
)
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import Pagination, pagination


class ConversationsAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of conversations, the last one that received a text first."""

    data: list[Conversation]
    pagination: Pagination


class ThreadAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of the texts exchanged with a number, newest first."""

    name: str | None
    data: list[ConversationText]
    pagination: Pagination


class ReadAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The texts of the number are read."""

    number: str


class ContactsAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of contacts, by name."""

    data: list[Contact]
    pagination: Pagination


class ContactAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The number has this name."""

    number: str
    name: str


def _page(query: dict[str, str]) -> PageFilter:
    return PageFilter(validation.page(query.get("page")), validation.limit(query.get("limit")))


@get(
    "/conversations",
    summary="Conversations",
    tags=["Receiving"],
    opt=documented(errors=("INVALID_REQUEST",), query=(PAGE, LIMIT, UNREAD)),
)
async def conversations(
    request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> ConversationsAnswer:
    """Lists the numbers that have written to you, the last one first, with how many texts are unread."""
    wanted = _page(request.wanted)
    unread = validation.flag(request.wanted.get("unread"), "unread")
    page = await services.conversations.page(caller, wanted, unread=unread)
    return ConversationsAnswer(
        data=list(page.conversations),
        pagination=pagination(wanted.page, wanted.limit, page.total, exact=page.exact),
    )


@get(
    "/conversations/messages",
    summary="A conversation",
    tags=["Receiving"],
    opt=documented(errors=("INVALID_REQUEST",), query=(CONVERSATION, PAGE, LIMIT)),
)
async def thread(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> ThreadAnswer:
    """Lists the texts that you sent to a number and received from it, newest first."""
    query = request.wanted
    number = validation.sender_filter(query.get("number"), services.context.numbers, "number")
    if number is None:
        raise invalid("number", _("is required"))
    wanted = _page(query)
    page = await services.conversations.thread(caller, number, wanted)
    return ThreadAnswer(
        name=page.name or None,
        data=list(page.texts),
        pagination=pagination(wanted.page, wanted.limit, page.total, exact=page.exact),
    )


@post(
    "/conversations/read",
    status_code=200,
    summary="Mark as read",
    tags=["Receiving"],
    opt=documented(
        body=ReadBody,
        errors=("NOT_FOUND",),
        example={"number": "+33612345678", "up_to": "inbox_067a1b2c3d42"},
    ),
)
async def read(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> ReadAnswer:
    """Marks the texts received from a number as read."""
    body = parsing.read(ReadBody, request.fields, request.reading)
    await services.conversations.read(caller, body.number, body.up_to)
    return ReadAnswer(number=body.number)


@get(
    "/contacts",
    summary="Contacts",
    tags=["Receiving"],
    opt=documented(errors=("INVALID_REQUEST",), query=(PAGE, LIMIT, CONTACT_SEARCH)),
)
async def contacts(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> ContactsAnswer:
    """Lists the numbers that have a name, by name."""
    wanted = _page(request.wanted)
    search = validation.search(request.wanted.get("search"))
    page = await services.conversations.contacts(caller, wanted, search)
    return ContactsAnswer(
        data=list(page.contacts),
        pagination=pagination(wanted.page, wanted.limit, page.total, exact=page.exact),
    )


@put(
    "/contacts/{number:str}",
    summary="Name a number",
    tags=["Receiving"],
    opt=documented(
        body=ContactBody,
        errors=("INVALID_PHONE_NUMBER",),
        path=(NUMBER,),
        example={"name": "Boulangerie Martin"},
    ),
)
async def name_contact(
    request: ApiRequest, number: FromPath[str], caller: CallerDep, services: ServicesDep
) -> ContactAnswer:
    """Gives a number a name, in place of an earlier one."""
    body = parsing.read(ContactBody, request.fields, request.reading)
    read = services.context.numbers.read(number, short_codes=True, field="number")
    contact = await services.conversations.name(caller, read, body.name)
    return ContactAnswer(number=contact.number, name=contact.name)


@delete(
    "/contacts/{number:str}",
    status_code=204,
    summary="Remove a contact",
    tags=["Receiving"],
    opt=documented(errors=("INVALID_PHONE_NUMBER", "NOT_FOUND"), path=(NUMBER,)),
)
async def remove_contact(number: FromPath[str], caller: CallerDep, services: ServicesDep) -> None:
    """Removes the name of a number; its texts stay."""
    await services.conversations.forget(
        caller, services.context.numbers.read(number, short_codes=True, field="number")
    )
