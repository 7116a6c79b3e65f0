"""The inbox: what came in, with a reply a tap away."""

from __future__ import annotations

from litestar import Response, get

from appliance import rules
from appliance.orders import InboxFilter
from web.page.messages import PAGE_ROWS, number_sought, wanted_of
from web.page.rendering import page
from web.page.visitor import Host, Seen


@get("/inbox")
async def inbox(request: Seen, owner: Host) -> Response[str]:
    """One page of everything received."""
    wanted = wanted_of(request)
    asked = InboxFilter(
        page=wanted.page,
        limit=PAGE_ROWS,
        sender=sender_sought(wanted.to),
        search=rules.fold(wanted.q) or None,
    )
    found = await owner.inbox(asked)
    return page(
        request, "inbox.html", found=found, wanted=wanted, asked=asked, now=owner.box.clock.now()
    )


def sender_sought(text: str) -> str | None:
    """A sender as the network told it: a name as it is, a number whatever stands between its digits."""
    if any(c.isalpha() for c in text):
        return text
    digits = "".join(c for c in text if c in "0123456789")
    return digits if digits.startswith("0") else number_sought(text)
