"""The inbox: what came in, with a reply a tap away."""

from __future__ import annotations

from litestar import Response, get

from appliance import rules
from appliance.orders import InboxFilter
from web.page.messages import PAGE_ROWS, wanted_of
from web.page.rendering import page
from web.page.visitor import Host, Seen


@get("/inbox")
async def inbox(request: Seen, owner: Host) -> Response[str]:
    """One page of everything received."""
    wanted = wanted_of(request)
    asked = InboxFilter(
        page=wanted.page,
        limit=PAGE_ROWS,
        sender=wanted.to or None,
        search=rules.fold(wanted.q) or None,
    )
    found = await owner.inbox(asked)
    return page(
        request, "inbox.html", found=found, wanted=wanted, asked=asked, now=owner.box.clock.now()
    )
