"""Authentication of the API: the two headers of every call under /v1."""

from __future__ import annotations

from typing import Any, Literal

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from appliance.domain.errors import ApiError
from appliance.domain.views import Caller
from appliance.services import Services
from web.openapi.metadata import Operation
from web.request import ApiRequest, ServicesDep

_HEADERS = ("X-API-Key", "X-Client-ID")


async def authenticated(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Authenticate a request under /v1. Raises MISSING_AUTH_HEADERS, authentication errors, RATE_LIMIT_EXCEEDED."""
    method = connection.scope.get("method")
    if method == "OPTIONS":  # shows the methods of a route, and nothing else
        return
    key, client = (connection.headers.get(name, "").strip() for name in _HEADERS)
    scheme, _, token = connection.headers.get("Authorization", "").strip().partition(" ")
    if (
        not key and scheme.lower() == "bearer"
    ):  # for clients that can set no other header (RFC 6750 2.1)
        key = token.strip()
    if not key or not client:
        missing = [name for name, value in zip(_HEADERS, (key, client), strict=True) if not value]
        raise ApiError("MISSING_AUTH_HEADERS", {"missing": missing})
    services: Services = connection.app.state.services
    device = connection.headers.get("X-Device-ID", "").strip() or None
    caller = await services.authenticator.authenticate(key, client, device)
    connection.scope["user"] = caller
    kind: Literal["read", "write"] = "read" if method in ("GET", "HEAD") else "write"
    operation = handler.opt.get("operation")
    any_key = isinstance(operation, Operation) and operation.any_key
    connection.state.allowance = services.authenticator.admit(caller, kind, any_key=any_key)


def caller_of(request: ApiRequest, services: ServicesDep) -> Caller:
    """Return the authenticated caller.

    The parameter `services` makes Litestar resolve both in sequence, which needs no task group.
    """
    return request.user
