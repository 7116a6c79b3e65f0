"""Messages held after a restore: the owner decides whether they are sent or dropped."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from appliance.domain import ids
from appliance.domain.errors import ApiError
from web.page.rendering import page
from web.page.settings import whole
from web.page.visitor import Seen
from web.request import ServicesDep

PAGE_ROWS = 50
PAGES_MOST = 100_000


@get("/held")
async def held(request: Seen, services: ServicesDep) -> Response[str]:
    """List what waits for a decision, a page at a time; past the last page, the last."""
    listed = services.admin.held.listed
    number = min(whole(request.query_params.get("page", "")) or 1, PAGES_MOST)
    total, rows = await listed(PAGE_ROWS, (number - 1) * PAGE_ROWS)
    if total and not rows:
        number = -(-total // PAGE_ROWS)
        total, rows = await listed(PAGE_ROWS, (number - 1) * PAGE_ROWS)
    return page(
        request,
        "held.html",
        found={"total": total, "exact": True},
        wanted={"page": number, "limit": PAGE_ROWS},
        rows=[(ids.message_id(row.id), row) for row in rows],
        now=services.context.clock.now(),
    )


@post("/held/{decision:str}", status_code=HTTP_303_SEE_OTHER)
async def decide_all(request: Seen, services: ServicesDep, decision: str) -> Redirect:
    """Send or drop every held message."""
    await _decide(services, decision, None)
    return Redirect("/held", status_code=HTTP_303_SEE_OTHER)


@post("/held/{message_id:str}/{decision:str}", status_code=HTTP_303_SEE_OTHER)
async def decide_one(
    request: Seen, services: ServicesDep, message_id: str, decision: str
) -> Redirect:
    """Send or drop one held message; a second tap finds nothing to decide."""
    number = ids.parse("msg", message_id)
    if number is None:
        raise ApiError("MESSAGE_NOT_FOUND")
    await _decide(services, decision, number)
    return Redirect("/held", status_code=HTTP_303_SEE_OTHER)


async def _decide(services: ServicesDep, decision: str, number: int | None) -> None:
    match decision:
        case "send" | "drop":
            await services.admin.held.decide(decision, number)
        case _:
            raise ApiError("NOT_FOUND")
