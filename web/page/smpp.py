"""Settings: the SMPP server, on or off, and passwords for engines."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER as SEE_OTHER

from appliance.domain.errors import ApiError
from appliance.domain.views import Permissions
from web.page.notices import Notice
from web.page.rendering import page, sentence
from web.page.settings import KEY_FIELDS, back, refused_field, whole
from web.page.visitor import Seen
from web.request import ServicesDep


@get("/settings/smpp")
async def smpp(request: Seen, services: ServicesDep) -> Response[str]:
    """Show whether the server runs, and how an engine connects."""
    return await _smpp(request, services, request.notice)


async def _smpp(
    request: Seen, services: ServicesDep, notice: Notice, *, made: str = "", made_client: int = 0
) -> Response[str]:
    return page(
        request,
        "smpp.html",
        status=400 if notice.typed else 200,
        notice=notice,
        on=services.admin.smpp.on,
        public=services.context.config.smpp.public,
        state=services.admin.smpp.status,
        clients=await services.admin.clients.listed(),
        made=made,
        made_client=made_client,
    )


@post("/settings/smpp", status_code=SEE_OTHER)
async def switch_smpp(request: Seen, services: ServicesDep) -> Redirect:
    """Switch the server on or off."""
    await services.admin.smpp.switch((await request.fields()).get("on") == "1")
    return back(request, "/settings/smpp", saved=True)


@post("/settings/smpp/password", status_code=200)
async def add_smpp_password(request: Seen, services: ServicesDep) -> Response[str]:
    """Create a password, shown in this answer only."""
    fields = await request.fields()
    try:
        client = whole(fields.get("client", "")) or await services.admin.clients.first()
        made = await services.admin.clients.add_key(
            client,
            fields.get("name", ""),
            test=fields.get("mode") == "test",
            permissions=Permissions(),
            smpp=True,
        )
    except ApiError as refusal:
        field = refused_field(refusal, KEY_FIELDS)
        return await _smpp(request, services, Notice(sentence(request, refusal), field, "", fields))
    return await _smpp(request, services, request.notice, made=made.key, made_client=made.client)
