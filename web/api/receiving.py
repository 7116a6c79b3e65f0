"""GET /v1/sms/inbox and /v1/blocklist."""

from __future__ import annotations

from litestar import delete, get, post
from litestar.params import FromPath

from appliance.domain import parsing, validation
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.requests import InboxFilter
from appliance.domain.schemas import BlockBody
from appliance.domain.views import BlockedNumber, Moment, Received, SuccessResponse
from web.openapi.metadata import FROM_DATE, LIMIT, NUMBER, PAGE, SEARCH, SENDER, TO_DATE, documented
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import Pagination, pagination


class InboxAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of received messages, newest first."""

    data: list[Received]
    pagination: Pagination


class BlocklistAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The block list."""

    blocklist: list[BlockedNumber]


class BlockedAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The number is on the block list."""

    number: str
    reason: str | None
    source: str
    created_at: Moment


@get(
    "/sms/inbox",
    summary="Received messages",
    tags=["Receiving"],
    opt=documented(
        errors=("INVALID_REQUEST",), query=(PAGE, LIMIT, SENDER, FROM_DATE, TO_DATE, SEARCH)
    ),
)
async def inbox(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> InboxAnswer:
    """Lists received messages, newest first. The parts of long messages are joined."""
    wanted = _inbox_filter(request.wanted, services.context.numbers)
    page = await services.received.page(caller, wanted)
    return InboxAnswer(
        data=list(page.messages),
        pagination=pagination(wanted.page, wanted.limit, page.total, exact=page.exact),
    )


def _inbox_filter(query: dict[str, str], numbers: NumberReader) -> InboxFilter:
    sender = validation.sender_filter(query.get("from"), numbers)
    return InboxFilter(
        page=validation.page(query.get("page")),
        limit=validation.limit(query.get("limit")),
        senders=(sender,) if sender else None,
        period=validation.period(query.get("from_date"), query.get("to_date")),
        search=validation.search(query.get("search")),
    )


@get("/blocklist", summary="Block list", tags=["Receiving"], opt=documented())
async def blocklist(caller: CallerDep, services: ServicesDep) -> BlocklistAnswer:
    """Lists the numbers that you blocked or that opted out with STOP."""
    return BlocklistAnswer(blocklist=list(await services.block_list.listed(caller)))


@post(
    "/blocklist",
    status_code=200,
    summary="Block a number",
    tags=["Receiving"],
    opt=documented(
        body=BlockBody,
        errors=("INVALID_PHONE_NUMBER",),
        example={"number": "+33612345678", "reason": "opt-out"},
    ),
)
async def block(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> BlockedAnswer:
    """Blocks a number. Messages that already wait for it fail when their turn comes."""
    entry = await services.block_list.block(
        caller, parsing.read(BlockBody, request.fields, request.reading)
    )
    return BlockedAnswer(
        number=entry.number,
        reason=entry.reason,
        source=entry.source,
        created_at=entry.created_at,
    )


@delete(
    "/blocklist/{number:str}",
    status_code=204,
    summary="Unblock a number",
    tags=["Receiving"],
    opt=documented(errors=("INVALID_PHONE_NUMBER", "NOT_FOUND"), path=(NUMBER,)),
)
async def unblock(number: FromPath[str], caller: CallerDep, services: ServicesDep) -> None:
    """Removes a number from the block list."""
    await services.block_list.unblock(
        caller, services.context.numbers.read(number, short_codes=True, field="number")
    )
