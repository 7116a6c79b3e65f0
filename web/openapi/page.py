"""/schema: the OpenAPI document, and a reference page in both languages that needs no internet."""

from __future__ import annotations

import asyncio
import gettext
import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Litestar, MediaType, Response, get

from appliance.core.catalogue import read_catalogue
from appliance.core.i18n import DEFAULT, LOCALE, SOURCE, Language, languages
from appliance.domain.errors import Reason
from web.error_responses import error_body, preferred, wants_page
from web.openapi.document import Json, document
from web.page import assets, i18n, markdown
from web.page.visitor import LANGUAGE, kept
from web.request import ApiRequest

_HERE = Path(__file__).parents[1] / "page"
_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def publish(app: Litestar) -> None:
    """Prepare for the document and the page, which are made when first asked for: no start waits for them."""
    app.state.openapi = b""
    app.state.reference = {}  # by language


def _document(app: Litestar) -> bytes:
    """Return the document, made once: the routes do not change while the box runs."""
    if not app.state.openapi:
        app.state.openapi = msgspec.json.encode(document(app))
    made: bytes = app.state.openapi
    return made


@get(["/schema/openapi.json"])
async def openapi(request: ApiRequest) -> Response[bytes]:
    """The document."""
    made = await asyncio.to_thread(_document, request.app)
    return Response(made, media_type=MediaType.JSON)


@get("/schema")
async def schema(request: ApiRequest) -> Response[bytes]:
    """The page for a browser, the document for a program."""
    state = request.app.state
    made = await asyncio.to_thread(_document, request.app)
    if not wants_page(request.headers.get("Accept", "")):
        headers = {"Vary": "Accept, Accept-Encoding"}
        return Response(made, media_type=MediaType.JSON, headers=headers)
    language = _language(request)
    if language not in state.reference:
        state.reference[language] = await asyncio.to_thread(_rendered, made, language, state.root)
    plain, packed = state.reference[language]
    headers = {
        "Content-Security-Policy": _CSP,
        "Vary": "Accept, Accept-Encoding, Accept-Language, Cookie",
    }
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(packed, media_type=MediaType.HTML, headers=headers)
    return Response(plain, media_type=MediaType.HTML, headers=headers)


HANDLERS = [openapi, schema]


def _language(request: ApiRequest) -> Language:
    """Return the language chosen on the page, else the browser's."""
    chosen = kept(request, LANGUAGE)
    if chosen is not None:
        return chosen if chosen in languages() else DEFAULT
    return preferred(request.headers.get("Accept-Language", ""))


def _rendered(openapi: bytes, language: Language, root: str) -> tuple[bytes, bytes]:
    """The page, plain and packed."""
    plain = page(msgspec.json.decode(openapi), language, root).encode()
    return plain, gzip.compress(plain, 9, mtime=0)


def page(document: Json, language: Language = SOURCE, root: str = "") -> str:
    """The reference as HTML."""
    groups = [
        (
            tag,
            [operation for operation in _operations(document) if tag["name"] in operation["tags"]],
        )
        for tag in document["tags"]
    ]
    say = translator(language)
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # as in web.page.rendering

    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template("reference.html").render(
        info=document["info"],
        groups=groups,
        schemas=document["components"]["schemas"],
        shown=_shown,
        say=lambda text: say(text).replace("'", "’"),
        marked=lambda text: markdown.inline(say(text)),
        message=lambda code: error_body(Reason(code), language).message,
        language=language,
        languages=i18n.languages,
        asset=assets.address,
        root=root,
    )


@cache
def translator(language: Language) -> Callable[[str], str]:
    """Return what translates the texts of the document, and of the page around it."""
    file = LOCALE / language / "LC_MESSAGES" / "reference.po"
    found = read_catalogue(file) if file.exists() else gettext.NullTranslations()
    return lambda text: found.gettext(text) if text else ""


def _operations(document: Json) -> list[Json]:
    return [
        {
            **operation,
            "path": path,
            "method": method.upper(),
            "curl": _curl(path, method, operation),
        }
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def _curl(path: str, method: str, operation: Json) -> str:
    """A line that can be pasted, once address and key are put in."""
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", parameter["example"])
    asked = {
        p["name"]: p["example"]
        for p in operation["parameters"]
        if p["in"] == "query" and p["required"]
    }
    if asked:
        path += "?" + urlencode(asked)
    lines = [f'curl "$ZIMBOX{path.replace("+", "%2B")}"']
    if method != "get":
        lines.append(f"-X {method.upper()}")
    if any("ApiKey" in scheme for scheme in operation["security"]):
        lines.append('-H "X-API-Key: $ZIMSEND_API_KEY"')
    if any(p["name"] == "X-Client-ID" for p in operation["parameters"]):
        lines.append('-H "X-Client-ID: $ZIMSEND_CLIENT_ID"')
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        lines += ['-H "Content-Type: application/json"', f"-d '{_compact(example)}'"]
    return " \\\n  ".join(lines)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("'", "'\\''")


def _shown(value: Any) -> str:
    """An example as a person reads JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)
