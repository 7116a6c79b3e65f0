"""The visitor of a page: language, session, form token."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from litestar import Request, Response
from litestar.datastructures import Cookie, FormMultiDict
from litestar.plugins.htmx import HTMXRequest
from litestar.response import Redirect

from appliance.core.i18n import DEFAULT, Language, _, languages
from appliance.domain.errors import ApiError, invalid
from appliance.services import Services
from web.error_responses import preferred
from web.page.i18n import PageLanguage
from web.page.notices import Notice, Notices

SESSION, FORM, LANGUAGE = "zimbox_session", "zimbox_form", "zimbox_language"
DEVICE = "zimbox_device"  # of a browser that the owner has logged in from
TOKEN_FIELD, TOKEN_HEADER = "form_token", "X-Form-Token"
COOKIE_SECONDS = 400 * 86_400  # the longest lifetime that browsers accept (RFC 6265bis 5.5)
SAFE = {"GET", "HEAD", "OPTIONS"}
NUMBERS = 1 << 31  # no client, key or modem has a larger number


class NotOurs(Exception):
    """A form does not come from this page, or from a page that is too old."""


class Visitor(msgspec.Struct, frozen=True):
    """A browser, identified by its cookies."""

    language: PageLanguage
    admin: bool  # logged in as the owner
    session: str
    form_cookie: str
    form_token: str
    fresh: bool  # the form cookie is new and must be set
    root: str = ""  # the path under which a reverse proxy serves the box, before every link


class Seen(HTMXRequest):
    """A request to the page, with its visitor."""

    @property
    def visitor(self) -> Visitor:
        found: Visitor = self.state.visitor
        return found

    def leave_notice(self, path: str, notice: Notice) -> None:
        """Keep a notice for this browser's next look at a page."""
        notices: Notices = self.state.notices
        notices.put(self.visitor.form_cookie, path.partition("?")[0].partition("#")[0], notice)

    @property
    def notice(self) -> Notice:
        """The notice for this page, taken once."""
        notices: Notices = self.state.notices
        return notices.take(self.visitor.form_cookie, str(self.scope["path"]))

    @property
    def address(self) -> str:
        return self.client.host if self.client else ""

    @property
    def host(self) -> str:
        return self.headers.get("Host", "")

    @property
    def came_from(self) -> str:
        """Return the path of the referring page; "" if the browser does not tell."""
        try:
            path = urlsplit(self.headers.get("Referer", "")).path
        except ValueError:
            return ""
        return path.removeprefix(self.visitor.root)

    @property
    def here(self) -> str:
        """The path for links back: this page without its message, or the page of the form."""
        if self.method not in SAFE:
            return self.came_from or "/"
        asked = parse_qsl(self.scope["query_string"].decode("latin-1"))
        query = [(name, value) for name, value in asked if name not in ("error", "saved")]
        return str(self.scope["path"]) + ("?" + urlencode(query) if query else "")

    async def fields(self) -> dict[str, str]:
        """Return the text fields of a form, the last value of each name."""
        form = await self._form_sent()
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}

    async def values(self, name: str) -> list[str]:
        """Return all values of a field."""
        form = await self._form_sent()
        return [value for value in form.getall(name, []) if isinstance(value, str)]

    async def _form_sent(self) -> FormMultiDict:
        try:
            return await self.form()
        except UnicodeDecodeError:
            raise invalid("body", _("is not valid UTF-8")) from None


def _language(request: Seen, services: Services) -> Language:
    """Return the language: the chosen one, else the browser's, else the box's."""
    chosen = kept(request, LANGUAGE)
    if chosen is not None:
        return chosen if chosen in languages() else DEFAULT
    accepted = request.headers.get("Accept-Language", "")
    if accepted:
        return preferred(accepted)
    return services.admin.preferences.language


class AuthMiddleware:
    """Identifies visitors before every page."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._notices = Notices()

    async def meet(self, request: Seen) -> Response[Any] | None:
        """Identify the visitor and check the form token. Raises NotOurs, NOT_FOUND."""
        await self._learn(request)
        numbers = [value for value in request.path_params.values() if isinstance(value, int)]
        if not all(0 <= number < NUMBERS for number in numbers):
            raise ApiError("NOT_FOUND")
        if request.method not in SAFE:
            self._check_site(request)
            await self._check_form(request)
        return None

    async def _learn(self, request: Seen) -> None:
        services = self._services
        session = kept(request, SESSION) or ""
        known = await services.admin.auth.is_admin(session)
        proof = session if known else kept(request, FORM)
        form_cookie = proof or secrets.token_urlsafe(24)
        request.state.notices = self._notices
        request.state.visitor = Visitor(
            language=self._page_language(request),
            admin=known,
            session=session if known else "",
            form_cookie=form_cookie,
            form_token=services.admin.auth.form_token(form_cookie),
            fresh=not proof,
            root=services.context.config.server.root,
        )

    def _page_language(self, request: Seen) -> PageLanguage:
        box = self._services.context
        return PageLanguage(_language(request, self._services), box.zone, box.numbers.region)

    def stranger(self, request: Seen) -> Visitor:
        """Return a visitor without identification."""
        language = self._page_language(request)
        return Visitor(
            language,
            admin=False,
            session="",
            form_cookie="",
            form_token="",
            fresh=False,
            root=self._services.context.config.server.root,
        )

    def _check_site(self, request: Seen) -> None:
        # Browsers send the origin of a form; without one the token decides.
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none"):
            raise NotOurs

    async def _check_form(self, request: Seen) -> None:
        token = request.headers.get(TOKEN_HEADER) or (await request.fields()).get(TOKEN_FIELD, "")
        visitor = request.visitor
        if visitor.fresh or not self._services.admin.auth.form_is_ours(visitor.form_cookie, token):
            raise NotOurs

    async def admit_near(self, request: Seen) -> Response[Any] | None:
        """Guard what everybody on the LAN may see: other visitors have to log in."""
        await self.meet(request)
        near = self._services.admin.auth.near(request.address, request.host)
        return None if near else self._lead(request)

    async def admit(self, request: Seen) -> Response[Any] | None:
        """Guard the owner's pages: redirect to login, or to claiming the box."""
        await self.meet(request)
        return self._lead(request)

    async def admit_file(self, request: Seen) -> Response[Any] | None:
        """Guard a form with a large file, as `admit` does; the reader of the file checks the token first."""
        await self._learn(request)
        self._check_site(request)
        return self._lead(request)

    def _lead(self, request: Seen) -> Response[Any] | None:
        if request.visitor.admin:
            return None
        # Only a page can be returned to, not the target of a form.
        onward = f"?next={quote(request.scope['path'])}" if request.method in SAFE else ""
        where = f"/login{onward}" if self._services.admin.auth.claimed else "/claim"
        if request.htmx:
            return Response(b"", status_code=401, headers={"HX-Redirect": where})
        return Redirect(where, status_code=303)


def _secure(request: Request[Any, Any, Any]) -> bool:
    return bool(request.scope["scheme"] == "https")


def _kept_as(request: Request[Any, Any, Any], name: str) -> str:
    # A browser with a secure cookie accepts none of the same name over HTTP (RFC 6265bis 5.7): with one name,
    # whoever once used HTTPS could not log in over HTTP any more (docs/adr/0023-page-cookies-and-forms.md).
    return f"__Host-{name}" if _secure(request) else name


def kept(request: Request[Any, Any, Any], name: str) -> str | None:
    """Return the value of a cookie set by `cookie`, for the scheme of this request."""
    return request.cookies.get(_kept_as(request, name))


def cookie(request: Seen, name: str, value: str, *, seconds: int | None = COOKIE_SECONDS) -> Cookie:
    """Return a cookie for this page only, unreadable for scripts."""
    return Cookie(
        key=_kept_as(request, name),
        value=value,
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=_secure(request),
    )
