"""Authentication of the API: the two headers of every call under /v1."""

from __future__ import annotations

from typing import Literal

from litestar.types import Scope

from appliance.core.i18n import _
from appliance.domain.errors import ApiError, invalid
from appliance.domain.views import Caller
from web.openapi.metadata import Operation
from web.request import ApiRequest, ServicesDep, header


async def prepare(request: ApiRequest) -> None:
    """Authenticate a request under /v1, then decode its body. Raises what the two raise.

    A hook before the request: for each guard, Litestar copies the handler.
    """
    await authenticate(request)
    await request.decode()


async def authenticate(request: ApiRequest, key: str | None = None) -> None:
    """Set `user` of a request; without `key` its headers have the key.

    Raises INVALID_REQUEST for two keys, MISSING_AUTH_HEADERS, authentication errors, RATE_LIMIT_EXCEEDED.
    """
    scope = request.scope
    method = scope["method"]
    if method == "OPTIONS":  # shows the methods of a route, and nothing else
        return
    operation = request.route_handler.opt.get("operation") or Operation()
    key = key_of(scope) if key is None else key
    client = (header(scope, b"x-client-id") or "").strip()
    if not key or not (client or operation.key_only):
        given = {"X-API-Key": key, "X-Client-ID": client or operation.key_only}
        raise ApiError("MISSING_AUTH_HEADERS", {"missing": [n for n, v in given.items() if not v]})
    authenticator = request.app.state.services.authenticator
    device = (header(scope, b"x-device-id") or "").strip() or None
    caller = await authenticator.authenticate(key, client or None, device)
    scope["user"] = caller
    reads = method == "GET" and not operation.in_address
    kind: Literal["read", "write"] = "read" if reads else "write"
    request.kept["allowance"] = authenticator.admit(caller, kind, any_key=operation.any_key)


def key_of(scope: Scope) -> str:
    """Return the API key of `X-API-Key`, else of `Authorization: Bearer`; empty without one.

    Raises INVALID_REQUEST if both have a key and they differ. A Bearer token that is no key of a box is
    ignored beside `X-API-Key`: it is for a proxy on the way.
    """
    key = (header(scope, b"x-api-key") or "").strip()
    scheme, _space, token = (header(scope, b"authorization") or "").strip().partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""  # RFC 6750 2.1
    if not key:
        return token
    if token != key and token.startswith("zs_"):
        raise invalid("Authorization", _("holds another key than X-API-Key; send one of the two"))
    return key


def caller_of(request: ApiRequest, services: ServicesDep) -> Caller:
    """Return the authenticated caller.

    The parameter `services` makes Litestar resolve both in sequence, which needs no task group.
    """
    return request.user
