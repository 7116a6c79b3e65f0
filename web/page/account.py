"""Claiming the box, logging in and out, the password."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.response import Redirect

from appliance.admin.auth import PASSWORD_CHARACTERS, Denied
from appliance.core.i18n import _
from web.page.rendering import page
from web.page.settings import back
from web.page.status import local
from web.page.visitor import DEVICE, SESSION, Seen, cookie, kept
from web.request import ServicesDep

_DENIED = {
    "claimed": _("This box has a password already: log in."),
    "code": _("This is not the setup code of this box."),
    "short": _("Choose at least {least} characters.", least=PASSWORD_CHARACTERS[0]),
    "long": _("Choose at most {most} characters.", most=PASSWORD_CHARACTERS[1]),
    "password": _("This is not the right password."),
    "different": _("The two passwords are not the same."),
}
# The field of the first form that a refusal is about.
_CLAIM_FIELDS = {"code": "code", "different": "again", "short": "password", "long": "password"}


def denial_text(request: Seen, denied: Denied) -> str:
    """Return why access was denied, in the visitor's language."""
    if denied.reason == "wait":
        wait = denied.seconds
        return request.visitor.language.say(_("Too many tries: wait {wait} seconds.", wait=wait))
    return request.visitor.language.say(_DENIED[denied.reason])


@get("/claim")
async def claim_page(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Show the form for the first password: the box has no owner yet."""
    if services.admin.auth.claimed:
        return Redirect("/login", status_code=303)
    return page(
        request,
        "claim.html",
        code_needed=services.admin.auth.code_needed(request.address, request.host),
        error="",
        wrong={},
    )


@post("/claim", status_code=200)
async def claim(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Set the first password, log in and continue with the first run."""
    fields = await request.fields()
    try:
        if fields.get("password", "") != fields.get("again", ""):
            raise Denied("different")
        hashed = await services.admin.auth.claim(
            fields.get("password", ""), fields.get("code", ""), request.address, request.host
        )
        return await _let_in(request, services, "/welcome", hashed)
    except Denied as denied:
        if services.admin.auth.claimed:  # by somebody else, or by the same form a moment ago
            error = denial_text(request, denied)
            return page(request, "login.html", status=400, onward="/welcome", error=error)
        needed = services.admin.auth.code_needed(request.address, request.host)
        return page(
            request,
            "claim.html",
            status=400,
            code_needed=needed,
            error="" if denied.reason in _CLAIM_FIELDS else denial_text(request, denied),
            wrong={_CLAIM_FIELDS.get(denied.reason, ""): denial_text(request, denied)},
        )


@get("/login")
async def login_page(
    request: Seen,
    services: ServicesDep,
    next: str = "/",  # noqa: A002
) -> Response[str] | Redirect:
    """Show the login form."""
    if not services.admin.auth.claimed:
        return Redirect("/claim", status_code=303)
    if request.visitor.admin:
        return Redirect(local(next), status_code=303)
    return page(request, "login.html", onward=local(next), error="")


@post("/login", status_code=200)
async def login(request: Seen, services: ServicesDep) -> Response[str] | Redirect:
    """Check the password; wrong ones wait longer and longer."""
    fields = await request.fields()
    onward = local(fields.get("next", "/"))
    try:
        hashed = await services.admin.auth.login(
            fields.get("password", ""), request.address, kept(request, DEVICE) or ""
        )
        return await _let_in(request, services, onward, hashed)
    except Denied as denied:
        status = 429 if denied.reason == "wait" else 401
        error = denial_text(request, denied)
        return page(request, "login.html", status=status, onward=onward, error=error)


async def _let_in(request: Seen, services: ServicesDep, onward: str, hashed: str) -> Redirect:
    """Check the password and log in. Raises Denied."""
    token = await services.admin.auth.open_session(request.headers.get("User-Agent", ""), hashed)
    device = services.admin.auth.device_cookie(hashed)
    cookies = [cookie(request, SESSION, token), cookie(request, DEVICE, device)]
    return Redirect(onward, status_code=303, cookies=cookies)


@post("/logout", status_code=303)
async def logout(request: Seen, services: ServicesDep) -> Redirect:
    """End the session of this browser."""
    await services.admin.auth.end_session(request.visitor.session)
    return Redirect("/", status_code=303, cookies=[cookie(request, SESSION, "", seconds=0)])


@post("/settings/password", status_code=303)
async def password(request: Seen, services: ServicesDep) -> Redirect:
    """Change the password and end all other sessions."""
    fields = await request.fields()
    try:
        if fields.get("new", "") != fields.get("again", ""):
            raise Denied("different")
        hashed = await services.admin.auth.change_password(
            fields.get("old", ""),
            fields.get("new", ""),
            request.visitor.session,
            request.address,
            kept(request, DEVICE) or "",
        )
    except Denied as denied:
        field = {"password": "old", "different": "again", "short": "new", "long": "new"}.get(
            denied.reason, ""
        )
        return back(
            request,
            "/settings/box",
            error=denial_text(request, denied),
            field=field,
            form="password",
        )
    answer = back(request, "/settings/box", saved=True)
    answer.cookies = [cookie(request, DEVICE, services.admin.auth.device_cookie(hashed))]
    return answer
