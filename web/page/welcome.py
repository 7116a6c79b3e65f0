"""The guided first run: SIM and network, own number, a test SMS watched live, the key."""

from __future__ import annotations

from zoneinfo import available_timezones

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.core.i18n import _
from appliance.domain.errors import ApiError
from appliance.domain.views import Permissions
from web.page.messages import new_form
from web.page.rendering import page, sentence
from web.page.settings import back, base, chosen, said
from web.page.status import Watch
from web.page.visitor import LANGUAGE, Seen, cookie
from web.request import ServicesDep


@get("/welcome")
async def welcome(request: Seen, services: ServicesDep, live: Watch) -> Response[str]:
    """Show the first run; each step opens after the previous one."""
    sent = request.query_params.get("sent", "")
    return await _welcome(request, services, live, sent=sent, **said(request))


async def _welcome(
    request: Seen,
    services: ServicesDep,
    live: Watch,
    *,
    made: str = "",
    made_client: int = 0,
    sent: str = "",
    error: object = "",
    saved: object = False,
) -> Response[str]:
    timeline = None
    if sent:
        timeline = await services.admin.messages.timeline(sent)
    seen = await live.read()
    return page(
        request,
        "welcome.html",
        seen=seen,
        timeline=timeline,
        form=new_form(),
        preferences=services.admin.preferences.current,
        zone=str(services.context.zone),
        zones=sorted(available_timezones()),
        made=made,
        made_client=made_client,
        base=base(request),
        now=services.context.clock.now(),
        error=error,
        saved=saved,
    )


@post("/welcome/basics", status_code=SEE_OTHER)
async def basics(request: Seen, services: ServicesDep) -> Redirect:
    """Save own number, time zone and language."""
    wanted = chosen(await request.fields())
    try:
        await services.admin.preferences.change(**wanted)
    except ApiError as refusal:
        return back("/welcome", error=sentence(request, refusal))
    answer = back("/welcome")
    if "language" in wanted:
        answer.cookies = [cookie(request, LANGUAGE, str(wanted["language"]))]
    return answer


@post("/welcome/test", status_code=SEE_OTHER)
async def test_message(request: Seen, services: ServicesDep) -> Redirect:
    """Send a test SMS to the owner's number."""
    text = request.visitor.tongue.say(_("ZimBox works: this SMS comes from your box."))
    try:
        form = (await request.fields()).get("form", "")
        to = services.admin.preferences.current.own_number
        sent = await services.admin.messages.send(to, text, priority=1, form=form)
    except ApiError as refusal:
        return back("/welcome", error=sentence(request, refusal))
    return back("/welcome", sent=sent)


@post("/welcome/key", status_code=200)
async def key(request: Seen, services: ServicesDep, live: Watch) -> Response[str]:
    """Create the first key, shown in this answer only."""
    client = await services.admin.clients.first()
    name = request.visitor.tongue.say(_("First key"))
    made = await services.admin.clients.add_key(client, name, test=False, permissions=Permissions())
    sent = (await request.fields()).get("sent", "")
    return await _welcome(
        request, services, live, made=made.key, made_client=made.client, sent=sent
    )


@post("/welcome/done", status_code=SEE_OTHER)
async def done(services: ServicesDep) -> Redirect:
    """End the first run."""
    await services.admin.preferences.change(welcomed=True)
    return back("/")
