"""The inbox: received messages, with a reply form."""

from __future__ import annotations

from litestar import Response, get

from appliance.core.folding import fold
from appliance.domain.requests import InboxFilter
from appliance.services import Services
from web.page.messages import PAGE_ROWS, number_sought, wanted_of
from web.page.rendering import page
from web.page.visitor import Seen
from web.request import ServicesDep


@get("/inbox")
async def inbox(request: Seen, services: ServicesDep) -> Response[str]:
    """Show a page of received messages."""
    wanted = wanted_of(request)
    asked = InboxFilter(
        page=wanted.page,
        limit=PAGE_ROWS,
        senders=senders_sought(wanted.to, services),
        search=fold(wanted.q) or wanted.q or None,  # accents alone are in no folded text
    )
    found = await services.admin.messages.inbox(asked)
    return page(
        request,
        "inbox.html",
        found=found,
        wanted=wanted,
        asked=asked,
        now=services.context.clock.now(),
    )


def senders_sought(text: str, services: Services) -> tuple[str, ...] | None:
    """Return the forms of a sender to look for: a name, or a number in E.164 and national form."""
    if any(c.isalpha() for c in text):
        return (text,)
    digits = "".join(c for c in text if c in "0123456789")
    found = number_sought(services.context.numbers.with_national().read_or_keep(text))
    if found is None:
        return None
    return (found, digits) if digits.startswith("0") else (found,)
