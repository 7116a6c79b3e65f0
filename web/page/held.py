"""Messages held after a restore: the owner decides whether they are sent or dropped."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from appliance.domain import ids
from appliance.domain.errors import ApiError
from web.page.rendering import page
from web.page.visitor import Host, Seen

ROWS_MOST = 100


@get("/held")
async def held(request: Seen, owner: Host) -> Response[str]:
    """List what waits for a decision."""
    total, rows = await owner.held.listed(ROWS_MOST)
    shown = [(ids.message_id(row["id"]), row) for row in rows]
    return page(request, "held.html", total=total, rows=shown, now=owner.box.clock.now())


@post("/held/{decision:str}", status_code=HTTP_303_SEE_OTHER)
async def decide_all(request: Seen, owner: Host, decision: str) -> Redirect:
    """Send or drop every held message."""
    await _decide(owner, decision, None)
    return Redirect("/held", status_code=HTTP_303_SEE_OTHER)


@post("/held/{message_id:str}/{decision:str}", status_code=HTTP_303_SEE_OTHER)
async def decide_one(request: Seen, owner: Host, message_id: str, decision: str) -> Redirect:
    """Send or drop one held message; a second tap finds nothing to decide."""
    number = ids.parse("msg", message_id)
    if number is None:
        raise ApiError("MESSAGE_NOT_FOUND")
    await _decide(owner, decision, number)
    return Redirect("/held", status_code=HTTP_303_SEE_OTHER)


async def _decide(owner: Host, decision: str, number: int | None) -> None:
    match decision:
        case "send" | "drop":
            await owner.held.decide(decision, number)
        case _:
            raise ApiError("NOT_FOUND")
