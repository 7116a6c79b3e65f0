"""Error responses: every failure in one form, and its language."""

from __future__ import annotations

import errno
import functools
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, Meta, UnsetType

from appliance.core.i18n import DEFAULT, Language, languages
from appliance.domain.errors import ApiError, Code, Reason
from appliance.store.database import StorageFull

log = structlog.get_logger(__name__)


class ErrorBody(msgspec.Struct, frozen=True):
    """An error: `code` for programs, `message` for people."""

    code: Annotated[
        str, Meta(description="For programs; never changes.", examples=["INVALID_REQUEST"])
    ]
    message: Annotated[
        str, Meta(description="For people, in French or the language that Accept-Language prefers.")
    ]
    details: Annotated[
        dict[str, Any] | UnsetType, Meta(description="Which part of the request is wrong, and why.")
    ] = UNSET


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A failure."""

    success: Annotated[bool, Meta(extra_json_schema={"const": False})] = False
    error: ErrorBody


def error_body(reason: Reason, language: Language) -> ErrorBody:
    """Return an error in words, for failures and for refused entries of a bulk."""
    details = reason.translated_details(language)
    return ErrorBody(
        code=reason.code,
        message=reason.message(language),
        details=UNSET if details is None else details,
    )


def language(request: Request[Any, Any, Any]) -> Language:
    """Return the language that `Accept-Language` prefers."""
    return preferred(request.headers.get("Accept-Language", ""))


@functools.lru_cache(maxsize=32)  # a client sends the same header with every request
def preferred(header: str) -> Language:
    """Return the language ranked highest, the default one unless another is above it (RFC 9110 12.5.4)."""
    weights = dict.fromkeys(languages(), 0.0)
    for position, item in enumerate(header.split(",")[:20]):
        tag, _, parameter = item.strip().partition(";")
        name = tag.strip().lower().partition("-")[0]
        name = DEFAULT if name == "*" else name
        if name in weights:
            # Of two equal ones the first is preferred.
            weights[name] = max(weights[name], _weight(parameter) - position / 1000)
    return max(weights, key=lambda name: weights[name])


def wants_page(accept: str) -> bool:
    """Return whether `Accept` names HTML and prefers it to JSON, as a browser does."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for item in accept.split(",")[:20]:
        kind, _, parameter = item.strip().partition(";")
        if kind.strip().lower() in weights:
            weights[kind.strip().lower()] = _weight(parameter)
    return weights["text/html"] > 0 and weights["text/html"] >= weights["application/json"]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0


# What passes: no descriptor, no memory, or a card that is full or fails. The same request may succeed later.
SHORT_OF = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS),
}

# Errors of Litestar. Any other 4xx of its own is INVALID_REQUEST.
_CODES: dict[int, Code] = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}


def meant(request: Request[Any, Any, Any], error: Exception) -> ApiError:
    """Convert an exception to an error for the client; log what only the owner should know."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StorageFull):
        # The disk is full: nothing was accepted, so this is no 202.
        log.error("storage_full", reason=str(error))
        return ApiError("STORAGE_FULL")
    if isinstance(error, OSError) and error.errno in SHORT_OF:
        log.error("resources_exhausted", reason=str(error))
        return ApiError("STORAGE_FULL")
    if isinstance(error, HTTPException) and error.status_code < 500:
        code = _CODES.get(error.status_code, "INVALID_REQUEST")
        return ApiError(code, headers=_allowed(error.headers or {}))
    log.error(
        "request_failed",
        method=request.scope["method"],
        route=request.scope.get("path_template", "-"),
        exc_info=error,
    )
    return ApiError("INTERNAL_ERROR")


def refused(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the response for an error."""
    refusal = meant(request, error)
    answer = ErrorAnswer(error=error_body(refusal.reason, language(request)))
    return Response(
        msgspec.json.encode(answer),
        status_code=refusal.status,
        headers=refusal.headers,
        media_type=MediaType.JSON,
    )


def _allowed(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `Allow` for a 405: whatever has GET also has HEAD."""
    if "allow" not in headers:
        return {}
    methods = {method.strip() for method in headers["allow"].split(",")}
    return {"Allow": ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))}
