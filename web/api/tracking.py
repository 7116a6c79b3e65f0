"""GET /v1/sms/status/{message_id}, history, stats, export, and DELETE /v1/sms/{message_id}."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import UNSET, Meta, UnsetType

from appliance.domain import validation, views
from appliance.domain.errors import CANCELLED
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.requests import HistoryFilter, StatsFilter
from appliance.domain.views import Day, Moment, SuccessResponse
from web import export
from web.openapi.metadata import (
    DEVICE_ID,
    FORMAT,
    FROM_DATE,
    LIMIT,
    MESSAGE_ID,
    PAGE,
    SEARCH,
    STATUS,
    TO,
    TO_DATE,
    documented,
)
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import Message, Pagination, message, pagination


class MessageAnswer(Message, frozen=True, kw_only=True):
    """The status of a message."""

    success: Annotated[bool, Meta(extra_json_schema={"const": True})] = True
    warnings: list[str] | UnsetType = UNSET


class CancelledAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The message is cancelled."""

    message: str
    message_id: str
    status: Annotated[str, Meta(extra_json_schema={"const": "cancelled"})] = "cancelled"


class HistoryAnswer(SuccessResponse, frozen=True, kw_only=True):
    """A page of messages, newest first."""

    data: list[Message]
    pagination: Pagination


class StatsPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """The first and the last second of the period."""

    start: Moment = msgspec.field(name="from")
    to: Moment


class StatsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Messages created in the period, by current status. Cancelled messages are not counted."""

    total_sent: Annotated[
        int, Meta(description="Messages that have left the queue: sent, delivered or failed.")
    ]
    delivered: int
    failed: int
    pending: Annotated[int, Meta(description="Messages still queued.")]
    delivery_rate: Annotated[float, Meta(description="100 x delivered / total_sent.")]
    by_day: list[Day]
    by_day_truncated: Annotated[
        bool, Meta(description="true if only the last 366 days are listed.")
    ] = False


class StatsAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The statistics of a period."""

    period: StatsPeriod
    stats: StatsBody


def statistics(value: views.Stats) -> StatsAnswer:
    """Return the answer of the statistics route."""
    rate = round(100 * value.delivered / value.total_sent, 2) if value.total_sent else 0.0
    return StatsAnswer(
        # The period ends before `end`; the answer has its last second.
        period=StatsPeriod(
            start=validation.utc(value.start), to=validation.utc(max(value.start, value.end - 1))
        ),
        stats=StatsBody(
            total_sent=value.total_sent,
            delivered=value.delivered,
            failed=value.failed,
            pending=value.pending,
            delivery_rate=rate,
            by_day=list(value.by_day),
            by_day_truncated=value.truncated,
        ),
    )


_PERIOD = (FROM_DATE, TO_DATE, DEVICE_ID)
_FILTERS = (STATUS, TO, *_PERIOD, SEARCH)


@get(
    "/sms/status/{message_id:str}",
    summary="Status of one SMS",
    tags=["Tracking"],
    opt=documented(errors=("MESSAGE_NOT_FOUND",), path=(MESSAGE_ID,)),
)
async def status(
    message_id: FromPath[str], request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> MessageAnswer:
    """Shows everything that is known about a message."""
    view = services.tracking.status(caller, message_id)
    return message(view, request.language, MessageAnswer)


@get(
    "/sms/history",
    summary="History",
    tags=["Tracking"],
    opt=documented(
        errors=("INVALID_REQUEST", "INVALID_PHONE_NUMBER"), query=(PAGE, LIMIT, *_FILTERS)
    ),
)
async def history(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> HistoryAnswer:
    """Lists messages, newest first. An empty value means no filter."""
    wanted = history_filter(request.wanted, services.context.numbers)
    page = await services.tracking.history(caller, wanted)
    return HistoryAnswer(
        data=[message(view, request.language, Message) for view in page.messages],
        pagination=pagination(wanted.page, wanted.limit, page.total, exact=page.exact),
    )


def history_filter(query: dict[str, str], numbers: NumberReader) -> HistoryFilter:
    """Return the filter of history and export. Raises INVALID_REQUEST, INVALID_PHONE_NUMBER."""
    return HistoryFilter(
        page=validation.page(query.get("page")),
        limit=validation.limit(query.get("limit")),
        status=validation.status(query.get("status")),
        to=numbers.read_filter(query.get("to")),
        period=validation.period(query.get("from_date"), query.get("to_date")),
        device_id=query.get("device_id") or None,
        search=validation.search(query.get("search")),
    )


@get(
    "/sms/stats",
    summary="Statistics",
    tags=["Tracking"],
    opt=documented(errors=("INVALID_REQUEST",), query=_PERIOD),
)
async def stats(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> StatsAnswer:
    """Counts messages by UTC day of creation, by default of the last 30 days."""
    query = request.wanted
    start, end = validation.statistics_period(
        query.get("from_date"), query.get("to_date"), services.context.clock.now()
    )
    wanted = StatsFilter(start, end, device_id=query.get("device_id") or None)
    return statistics(await services.tracking.stats(caller, wanted))


@get(
    "/sms/export",
    summary="Export",
    tags=["Tracking"],
    opt=documented(
        errors=("INVALID_REQUEST", "INVALID_PHONE_NUMBER"),
        query=(FORMAT, *_FILTERS),
        media=("text/csv", "application/jsonl"),
    ),
)
async def export_messages(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> Stream:
    """Streams all pages of the history as CSV, or as JSON lines."""
    wanted = history_filter(request.wanted, services.context.numbers)
    return await export.stream(
        export.format_of(request.wanted.get("format")),
        services.tracking.export(caller, wanted),
        request.language,
    )


@delete(
    "/sms/{message_id:str}",
    status_code=200,
    summary="Cancel a queued SMS",
    tags=["Tracking"],
    opt=documented(errors=("MESSAGE_NOT_FOUND", "CANNOT_CANCEL_MESSAGE"), path=(MESSAGE_ID,)),
)
async def cancel(
    message_id: FromPath[str], request: ApiRequest, caller: CallerDep, services: ServicesDep
) -> CancelledAnswer:
    """Cancels a queued message, if no part of it was ever submitted to a modem."""
    await services.tracking.cancel(caller, message_id)
    return CancelledAnswer(message=CANCELLED.plain(request.language), message_id=message_id)
