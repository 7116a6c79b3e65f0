"""Templates to responses: one environment, one set of headers."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import MediaType, Request, Response

from appliance import __version__
from appliance.core.i18n import _
from appliance.domain.errors import ApiError
from web.page import assets
from web.page.i18n import characters, languages, standing
from web.page.qr import qr
from web.page.visitor import FORM, NotOurs, Seen, Visitor, cookie

if TYPE_CHECKING:
    from jinja2 import Environment

# Only resources of the box and nothing inline, so that injected markup would do nothing.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Vary": "Cookie, Accept-Language",
}


def mark(shown: object) -> str:
    """Return a digest of the settings that a form shows, to detect later changes."""
    return hashlib.sha256(msgspec.json.encode(shown)).hexdigest()[:16]


# Bidirectional embeddings, overrides and isolates reorder the letters around them (Unicode TR 36, 3.1), so that a
# number or a name reads as another one. The marks LRM, RLM and ALM, which right-to-left writing needs, cannot.
_REORDERING = {
    code: f"\u27e8U+{code:04X}\u27e9" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def visible(shown: object) -> object:
    """Return an expression of a template with reordering characters shown by their code.

    Markup stays as it is: `|e` keeps the value of a field as it was typed.
    """
    return shown.translate(_REORDERING) if type(shown) is str else shown


@functools.cache
def templates() -> Environment:
    """Return the templates. The first call loads jinja2: 2 MiB that a box without visitors does not need."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "asset": assets.address,
        "mark": mark,
        "qr": qr,
        "characters": characters,
        "languages": languages,
        "standing": standing,
        "version": __version__,
    }
    for name in (
        "macros.html",
        "base.html",
        "error.html",
    ):  # must not need a descriptor when there is none
        found.get_template(name)
    return found


async def load() -> None:
    """Make `templates` ready beside the event loop, which the import would hold for a second on a small board."""
    if not templates.cache_info().currsize:
        await asyncio.to_thread(templates)


def fragment(name: str, visitor: Visitor, **context: Any) -> str:
    """Render a template with the common variables."""
    language = visitor.language
    return (
        templates()
        .get_template(name)
        .render(
            _=language.gettext,
            ngettext=language.ngettext,
            pgettext=language.pgettext,
            language=language,
            visitor=visitor,
            root=visitor.root,
            **context,
        )
    )


def page(request: Seen, name: str, *, status: int = 200, **context: Any) -> Response[str]:
    """Answer a request with a template."""
    visitor = request.visitor
    text = fragment(name, visitor, path=request.scope["path"], here=request.here, **context)
    fresh = [cookie(request, FORM, visitor.form_cookie)] if visitor.fresh else []
    return Response(
        text, status_code=status, media_type=MediaType.HTML, headers=HEADERS, cookies=fresh
    )


def sentence(request: Seen, refusal: ApiError) -> str:
    """Show an error of the API as a page."""
    return request.visitor.language.refusal(refusal.reason)


def refused(request: Seen, refusal: ApiError) -> Response[str]:
    """Show an unexpected error as a page."""
    return page(request, "error.html", status=refusal.status, sentence=sentence(request, refusal))


def not_ours(request: Request[Any, Any, Any], _error: NotOurs) -> Response[str]:
    """Show that a form had no valid token and was ignored."""
    words = _("This page was too old: nothing was done. Reload it and try again.")
    # Litestar calls exception handlers with the application's request class.
    seen = Seen(request.scope, request.receive, request.send)
    result = seen.visitor.language.say(words)
    return page(seen, "error.html", status=403, sentence=result)
