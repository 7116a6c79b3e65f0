"""Authentication of the API: the two headers of every call under /v1."""

from __future__ import annotations

from typing import Literal

from appliance.domain.errors import ApiError
from appliance.domain.views import Caller
from web.openapi.metadata import Operation
from web.request import ApiRequest, ServicesDep, header


async def prepare(request: ApiRequest) -> None:
    """Authenticate a request under /v1, then decode its body. Raises what the two raise.

    A hook before the request: for each guard, Litestar copies the handler.
    """
    await authenticate(request)
    await request.decode()


async def authenticate(request: ApiRequest) -> None:
    """Set `user` of a request. Raises MISSING_AUTH_HEADERS, authentication errors, RATE_LIMIT_EXCEEDED."""
    scope = request.scope
    method = scope["method"]
    if method == "OPTIONS":  # shows the methods of a route, and nothing else
        return
    key = (header(scope, b"x-api-key") or "").strip()
    client = (header(scope, b"x-client-id") or "").strip()
    if not key:  # for clients that can set no other header (RFC 6750 2.1)
        scheme, _, token = (header(scope, b"authorization") or "").strip().partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else ""
    if not key or not client:
        given = {"X-API-Key": key, "X-Client-ID": client}
        raise ApiError("MISSING_AUTH_HEADERS", {"missing": [n for n, v in given.items() if not v]})
    authenticator = request.app.state.services.authenticator
    device = (header(scope, b"x-device-id") or "").strip() or None
    caller = await authenticator.authenticate(key, client, device)
    scope["user"] = caller
    kind: Literal["read", "write"] = "read" if method == "GET" else "write"
    operation = request.route_handler.opt.get("operation")
    any_key = isinstance(operation, Operation) and operation.any_key
    request.kept["allowance"] = authenticator.admit(caller, kind, any_key=any_key)


def caller_of(request: ApiRequest, services: ServicesDep) -> Caller:
    """Return the authenticated caller.

    The parameter `services` makes Litestar resolve both in sequence, which needs no task group.
    """
    return request.user
