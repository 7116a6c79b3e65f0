"""The status page, for everybody on the LAN, and its live stream."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.response import Redirect, Stream

from appliance.core.i18n import DEFAULT, languages
from web.page.chart import draw
from web.page.live import Live
from web.page.rendering import page
from web.page.settings import whole
from web.page.visitor import LANGUAGE, Seen, cookie
from web.request import ServicesDep

Watch = NamedDependency[SkipValidation[Live]]

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get("/")
async def status(request: Seen, services: ServicesDep, live: Watch) -> Response[str]:
    """Show the status page; without an services, with a link to claim the box."""
    seen = await live.read()
    return page(
        request,
        "status.html",
        seen=seen,
        chart=draw(seen.days),
        claimed=services.admin.auth.claimed,
    )


@get("/live")
async def stream(
    request: Seen, live: Watch, message: str | None = None, client: str = ""
) -> Stream:
    """Stream the events of the status page; for the owner also of a message or a conversation."""
    number, client_number = request.query_params.get("number", ""), whole(client)
    conversation = (client_number, number) if client_number and number else None
    owner = request.visitor.admin
    return Stream(
        live.stream(request.visitor, message if owner else None, conversation if owner else None),
        media_type="text/event-stream",
        headers=_STREAM_HEADERS,
    )


@get("/language")
async def language(request: Seen, to: str = DEFAULT, back: str = "/") -> Redirect:
    """Switch the language and return to the page."""
    chosen = to if to in languages() else DEFAULT
    return Redirect(local(back), status_code=303, cookies=[cookie(request, LANGUAGE, chosen)])


def local(path: str) -> str:
    """Return a path on this box; the status page for anything else."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if plain and path.isprintable() else "/"
