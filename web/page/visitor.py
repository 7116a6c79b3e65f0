"""Who looks at the page: language, session, and whether a form is one of ours."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response
from litestar.datastructures import Cookie, FormMultiDict
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.plugins.htmx import HTMXRequest
from litestar.response import Redirect

from appliance.owner import Owner
from appliance.refusals import Language
from web.envelope import preferred
from web.page.words import Tongue

SESSION, FORM, LANGUAGE = "zimbox_session", "zimbox_form", "zimbox_language"
TOKEN_FIELD, TOKEN_HEADER = "form_token", "X-Form-Token"
COOKIE_SECONDS = 400 * 86_400  # the longest a browser keeps one (RFC 6265bis 5.5)
SAFE = {"GET", "HEAD", "OPTIONS"}

Host = NamedDependency[SkipValidation[Owner]]


class NotOurs(Exception):
    """A form that did not come from this page, or from a page that is too old."""


class Visitor(msgspec.Struct, frozen=True):
    """One browser, as its cookies prove it."""

    tongue: Tongue
    owner: bool
    session: str
    form_cookie: str
    form_token: str
    fresh: bool  # the form cookie is new and must be set

    @property
    def language(self) -> Language:
        return self.tongue.language


class Seen(HTMXRequest):
    """A request to the page, with its visitor."""

    @property
    def visitor(self) -> Visitor:
        found: Visitor = self.state.visitor
        return found

    @property
    def address(self) -> str:
        return self.client.host if self.client else ""

    @property
    def host(self) -> str:
        return self.headers.get("Host", "")

    async def fields(self) -> dict[str, str]:
        """A form's text fields, the last value of each name."""
        form: FormMultiDict = await self.form()
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}

    async def values(self, name: str) -> list[str]:
        """All values of one field."""
        form = await self.form()
        return [value for value in form.getall(name, []) if isinstance(value, str)]


def _language(request: Seen, owner: Owner) -> Language:
    """The one switched to, else the browser's, else the box's."""
    chosen = request.cookies.get(LANGUAGE)
    if chosen is not None:
        return "en" if chosen == "en" else "fr"
    wish = request.headers.get("Accept-Language", "")
    if wish:
        return preferred(wish)
    return owner.preferences.language or owner.box.config.language


class Doorway:
    """What comes before every page."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def meet(self, request: Seen) -> Response[Any] | None:
        """Learn who it is; refuse a form that is not ours. Raises NotOurs."""
        owner = self._owner
        session = request.cookies.get(SESSION, "")
        known = await owner.access.is_owner(session)
        kept = session if known else request.cookies.get(FORM, "")
        form_cookie = kept or secrets.token_urlsafe(24)
        request.state.visitor = Visitor(
            tongue=Tongue(_language(request, owner), owner.box.zone),
            owner=known,
            session=session if known else "",
            form_cookie=form_cookie,
            form_token=owner.access.form_token(form_cookie),
            fresh=not kept,
        )
        if request.method not in SAFE:
            await self._check_form(request, kept)
        return None

    async def _check_form(self, request: Seen, kept: str) -> None:
        # Browsers say where a form came from; what says nothing is no browser and needs the token.
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none"):
            raise NotOurs
        token = request.headers.get(TOKEN_HEADER) or (await request.fields()).get(TOKEN_FIELD, "")
        if not self._owner.access.form_is_ours(kept, token):
            raise NotOurs

    async def admit(self, request: Seen) -> Response[Any] | None:
        """Before the owner's pages: log in first, or claim the box."""
        await self.meet(request)
        if request.visitor.owner:
            return None
        path = request.scope["path"]
        where = "/login?next=" + quote(path) if self._owner.access.claimed else "/claim"
        if request.htmx:
            return Response(b"", status_code=401, headers={"HX-Redirect": where})
        return Redirect(where, status_code=303)


def cookie(request: Seen, name: str, value: str, *, seconds: int | None = COOKIE_SECONDS) -> Cookie:
    """A cookie that only this page gets, and no script reads."""
    return Cookie(
        key=name,
        value=value,
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=request.scope["scheme"] == "https",
    )
