"""The guided first run: SIM and network, own number, a test SMS watched live, the key."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.core.i18n import _
from appliance.domain.errors import ApiError
from appliance.domain.views import Permissions
from appliance.store.clients import NewKey
from web.page.messages import new_form
from web.page.rendering import page, sentence
from web.page.settings import PREFERENCE_FIELDS, back, base, chosen, refused_field, zones
from web.page.status import Watch
from web.page.visitor import LANGUAGE, Seen, cookie
from web.request import ServicesDep

STEPS = ("sim", "you", "test", "key")


@get("/welcome")
async def welcome(request: Seen, services: ServicesDep, live: Watch) -> Response[str]:
    """Show one step of the first run: the one asked for, else the first that is not done."""
    sent = request.query_params.get("sent", "")
    return await _welcome(request, services, live, request.query_params.get("step", ""), sent=sent)


async def _welcome(
    request: Seen,
    services: ServicesDep,
    live: Watch,
    step: str,
    *,
    made: NewKey | None = None,
    sent: str = "",
) -> Response[str]:
    timeline = await services.admin.messages.timeline(sent) if sent else None
    seen = await live.read()
    preferences = services.admin.preferences.current
    if step not in STEPS:
        done = {
            "sim": seen.ready,
            "you": preferences.own_number != "",
            "test": timeline is not None,
        }
        step = next((name for name in STEPS if not done.get(name)), "key")
    return page(
        request,
        "welcome.html",
        steps=STEPS,
        step=step,
        seen=seen,
        timeline=timeline,
        form=new_form(),
        preferences=preferences,
        zone=str(services.context.zone),
        zones=zones(),
        made=made.key if made else "",
        made_client=made.client if made else 0,
        base=base(request, services),
        now=services.context.clock.now(),
        notice=request.notice,
    )


@post("/welcome/basics", status_code=SEE_OTHER)
async def basics(request: Seen, services: ServicesDep) -> Redirect:
    """Save own number, time zone and language."""
    fields = await request.fields()
    wanted = chosen(fields)
    try:
        await services.admin.preferences.change(**wanted)
    except ApiError as refusal:
        error, field = sentence(request, refusal), refused_field(refusal, PREFERENCE_FIELDS)
        return back(request, "/welcome?step=you", error=error, field=field, typed=fields)
    answer = back(request, "/welcome?step=test")
    if "language" in wanted:
        answer.cookies = [cookie(request, LANGUAGE, str(wanted["language"]))]
    return answer


@post("/welcome/test", status_code=SEE_OTHER)
async def test_message(request: Seen, services: ServicesDep) -> Redirect:
    """Send a test SMS to the owner's number."""
    text = request.visitor.language.say(_("ZimBox works: this SMS comes from your box."))
    try:
        form = (await request.fields()).get("form", "")
        to = services.admin.preferences.current.own_number
        sent = await services.admin.messages.send(to, text, priority=1, form=form)
    except ApiError as refusal:
        return back(request, "/welcome?step=test", error=sentence(request, refusal))
    return back(request, f"/welcome?step=test&sent={sent}")


@post("/welcome/key", status_code=200)
async def key(request: Seen, services: ServicesDep, live: Watch) -> Response[str]:
    """Create the first key, shown in this answer only."""
    client = await services.admin.clients.first()
    name = request.visitor.language.say(_("First key"))
    made = await services.admin.clients.add_key(client, name, test=False, permissions=Permissions())
    sent = (await request.fields()).get("sent", "")
    return await _welcome(request, services, live, "key", made=made, sent=sent)


@post("/welcome/done", status_code=SEE_OTHER)
async def done(request: Seen, services: ServicesDep) -> Redirect:
    """End the first run."""
    await services.admin.preferences.change(welcomed=True)
    return back(request, "/")
