"""/schema: the OpenAPI document, and a reference page that needs no internet."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Litestar, MediaType, Response, get

from web.error_responses import wants_page
from web.openapi.document import Json, document
from web.request import ApiRequest

_HERE = Path(__file__).parents[1] / "page"
_CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"

_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
)


def publish(app: Litestar) -> None:
    """Make the document, once: the routes do not change while the box runs."""
    app.state.openapi = msgspec.json.encode(document(app))
    app.state.reference = None  # made when first asked for: no start waits for it, no line either


@get(["/schema/openapi.json"])
async def openapi(request: ApiRequest) -> Response[bytes]:
    """The document."""
    return Response(request.app.state.openapi, media_type=MediaType.JSON)


@get("/schema")
async def schema(request: ApiRequest) -> Response[bytes]:
    """The page for a browser, the document for a program."""
    state = request.app.state
    vary = {"Vary": "Accept, Accept-Encoding"}
    if not wants_page(request.headers.get("Accept", "")):
        return Response(state.openapi, media_type=MediaType.JSON, headers=vary)
    if state.reference is None:
        state.reference = await asyncio.to_thread(_rendered, state.openapi)
    headers = {"Content-Security-Policy": _CSP, **vary}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(state.reference[1], media_type=MediaType.HTML, headers=headers)
    return Response(state.reference[0], media_type=MediaType.HTML, headers=headers)


@get("/schema/reference.css")
async def style() -> Response[bytes]:
    """The page's only other file."""
    return Response((_HERE / "static" / "reference.css").read_bytes(), media_type=MediaType.CSS)


HANDLERS = [openapi, schema, style]


def _rendered(openapi: bytes) -> tuple[bytes, bytes]:
    """The page, plain and packed."""
    plain = page(msgspec.json.decode(openapi)).encode()
    return plain, gzip.compress(plain, 9, mtime=0)


def page(told: Json) -> str:
    """The reference as HTML."""
    groups = [
        (tag, [operation for operation in _operations(told) if tag["name"] in operation["tags"]])
        for tag in told["tags"]
    ]
    return _templates.get_template("reference.html").render(
        info=told["info"], groups=groups, schemas=told["components"]["schemas"], shown=_shown
    )


def _operations(told: Json) -> list[Json]:
    return [
        {
            **operation,
            "path": path,
            "method": method.upper(),
            "curl": _curl(path, method, operation),
        }
        for path, item in told["paths"].items()
        for method, operation in item.items()
    ]


def _curl(path: str, method: str, operation: Json) -> str:
    """A line that can be pasted, once address and key are put in."""
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", parameter["example"])
    lines = [f'curl "$ZIMBOX{path.replace("+", "%2B")}"']
    if method != "get":
        lines.append(f"-X {method.upper()}")
    if any("ApiKey" in scheme for scheme in operation["security"]):
        lines += ['-H "X-API-Key: $ZIMSEND_API_KEY"', '-H "X-Client-ID: $ZIMSEND_CLIENT_ID"']
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        lines += ['-H "Content-Type: application/json"', f"-d '{_compact(example)}'"]
    return " \\\n  ".join(lines)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("'", "'\\''")


def _shown(value: Any) -> str:
    """An example as a person reads JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)
