"""The inbox: received messages, with a reply form."""

from __future__ import annotations

from litestar import Response, get

from appliance.admin.preferences import Admin
from appliance.domain import validation
from appliance.domain.requests import InboxFilter
from web.page.messages import PAGE_ROWS, number_sought, wanted_of
from web.page.rendering import page
from web.page.visitor import Host, Seen


@get("/inbox")
async def inbox(request: Seen, owner: Host) -> Response[str]:
    """Show a page of received messages."""
    wanted = wanted_of(request)
    asked = InboxFilter(
        page=wanted.page,
        limit=PAGE_ROWS,
        senders=senders_sought(wanted.to, owner),
        search=validation.fold(wanted.q) or wanted.q or None,  # accents alone are in no folded text
    )
    found = await owner.inbox(asked)
    return page(
        request, "inbox.html", found=found, wanted=wanted, asked=asked, now=owner.box.clock.now()
    )


def senders_sought(text: str, owner: Admin) -> tuple[str, ...] | None:
    """Return the forms of a sender to look for: a name, or a number in E.164 and national form."""
    if any(c.isalpha() for c in text):
        return (text,)
    digits = "".join(c for c in text if c in "0123456789")
    found = number_sought(owner.number(text))
    if found is None:
        return None
    return (found, digits) if digits.startswith("0") else (found,)
