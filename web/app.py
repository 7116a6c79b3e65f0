"""The application: every route, and what all responses have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any, cast

import msgspec
import structlog
from litestar import Litestar, Request, Response, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.routes import HTTPRoute
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT
from litestar.types import (
    BeforeRequestHookHandler,
    ControllerRouterHandler,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
)

from appliance.domain.views import RateLimitState, SuccessResponse
from appliance.services import Services
from web.api import (
    account,
    alerts,
    conversations,
    otp,
    receiving,
    sending,
    service,
    simple,
    tracking,
    webhooks,
)
from web.auth import caller_of, prepare
from web.body import BODY_BYTES, BodyBudget, Reservation
from web.error_responses import refused, wants_page
from web.openapi import page
from web.proxy import with_root, without_root
from web.request import ApiRequest

log = structlog.get_logger(__name__)

STATIC = "/static/{name}"  # `path_template` of the static files of the page

API: list[HTTPRouteHandler] = [
    *(sending.send, sending.send_bulk, sending.send_bulk_personalized, sending.resend),
    *(tracking.status, tracking.history, tracking.stats, tracking.export_messages),
    *(tracking.cancel, otp.send_otp, otp.verify_otp),
    *(webhooks.configure, webhooks.webhooks, webhooks.remove, webhooks.test),
    *(webhooks.logs, webhooks.replay),
    *(receiving.inbox, receiving.blocklist, receiving.block, receiving.unblock),
    *(conversations.conversations, conversations.thread, conversations.read),
    *(conversations.contacts, conversations.name_contact, conversations.remove_contact),
    *(account.auth_test, account.devices, alerts.receive_alerts),
]


class JsonAnswer:
    """An ASGI application that sends one JSON body."""

    def __init__(self, status: int, body: bytes) -> None:
        self._status = status
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = []
        if self._status != HTTP_204_NO_CONTENT:
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(self._body)),
            ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


class ApiResponse(Response[Any]):
    """An answer under /v1, with warnings about fields of the body."""

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **options: Any
    ) -> ASGIResponse:
        """Return what sends the answer: status and body, as no handler under /v1 sets headers or cookies."""
        content = self.content
        warnings = request.scope["state"].get("warnings")
        if warnings and isinstance(content, SuccessResponse):
            content = msgspec.structs.replace(content, warnings=warnings)
        status = self.status_code or HTTP_200_OK
        body = b"" if status == HTTP_204_NO_CONTENT else msgspec.json.encode(content)
        return cast("ASGIResponse", JsonAnswer(status, body))


class Web(Litestar):
    """The application behind what concerns every request: HEAD, common headers, the access log."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        if scope["type"] != ScopeType.HTTP:
            await super().__call__(scope, receive, send)
            return
        begun = time.perf_counter()
        root: str = self.state["root"]
        routed = without_root(scope, root)
        method = routed["method"]
        if method == "HEAD":  # as GET, without the body (RFC 9110 9.3.2)
            routed = cast("HTTPScope", {**routed, "method": "GET"})
        status, ended = 0, False
        state = routed.setdefault("state", {})
        state["head"] = method == "HEAD"
        reservation = state["reservation"] = Reservation(self.state["bodies"])

        async def answer(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *with_root(message["headers"], root),
                    *_common_headers(routed),
                ]
                if method == "OPTIONS":
                    message["headers"] = self._with_all_methods(routed, message["headers"])
            elif message["type"] == "http.response.body" and method == "HEAD":
                if ended:
                    return
                # A stream may have no end; after the last of an answer the server tells it to stop.
                ended, message["body"], message["more_body"] = True, b"", False
            await send(message)

        try:
            await super().__call__(routed, receive, answer)
        finally:
            # Requests are parts of cycles: the collector would free them later, and the next body comes now.
            state.pop("raw", None)
            state.pop("body", None)
            reservation.end()
            seconds = time.perf_counter() - begun
            route = routed.get("path_template", "-")
            self.state["services"].metrics.observe(method, route, status, seconds)
            _log(routed, method, status, seconds)

    def _with_all_methods(
        self, scope: Scope, headers: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """`Allow` of an OPTIONS answer. Litestar's own forgets handlers registered after the first."""
        template = scope.get("path_template")
        methods = {
            str(method)
            for route in self.routes
            if isinstance(route, HTTPRoute) and route.path_format == template
            for method in route.methods
        }
        allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        kept = [(name, value) for name, value in headers if name.lower() != b"allow"]
        return [*kept, (b"allow", allow.encode())] if methods else kept


def _common_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-content-type-options", b"nosniff")]
    if scope["path"].startswith("/v1"):
        headers.append((b"cache-control", b"no-store"))
    allowance = _state(scope).get("allowance")
    if isinstance(allowance, RateLimitState):
        # draft-ietf-httpapi-ratelimit-headers-05
        headers += [
            (b"ratelimit-limit", b"%d" % allowance.limit),
            (b"ratelimit-remaining", b"%d" % allowance.remaining),
            (b"ratelimit-reset", b"%d" % allowance.reset_seconds),
        ]
    return headers


def _state(scope: Scope) -> MutableMapping[str, Any]:
    return scope.get("state") or {}


def _log(scope: Scope, method: str, status: int, seconds: float) -> None:
    """Log one line: the route's template, never a number, a text, a query or a key.

    A page loads a handful of static files; they are of interest only when one fails.
    """
    caller = scope.get("user")
    route = scope.get("path_template", "-")
    say = log.debug if route == STATIC and status < 400 else log.info
    say(
        "request",
        method=method,
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 1),
        client=getattr(caller, "client", None),
        key=getattr(caller, "key_id", None),
    )


Lost = Callable[[Request[Any, Any, Any], int], Response[Any]]


def _lost(request: Request[Any, Any, Any], error: HTTPException) -> bool:
    """Whether this is a browser that went to an address of ours where nothing is."""
    path = request.scope["path"]
    return (
        error.status_code in (404, 405)
        and request.method in ("GET", "HEAD")
        and path != "/v1"
        and not path.startswith("/v1/")
        and wants_page(request.headers.get("Accept", ""))
    )


def _cors(origins: Sequence[str]) -> CORSConfig:
    """Let pages of these origins call the API with a key; never with a cookie of the status page."""
    return CORSConfig(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[
            *("Authorization", "X-API-Key", "X-Client-ID", "X-Device-ID"),
            *("Content-Type", "Accept-Language", "Idempotency-Key"),
        ],
        expose_headers=["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
    )


def create(
    services: Services,
    pages: Sequence[ControllerRouterHandler] = (),
    lost: Lost | None = None,
    *,
    cors_origins: Sequence[str] = (),
) -> Litestar:
    """The application over these services, with the status page's handlers beside the API's.

    `lost` answers a browser at an address where nothing is; everybody else gets the envelope.
    """

    def by_server(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        if lost is not None and _lost(request, error):
            return lost(request, error.status_code)
        return refused(request, error)

    api = Router(
        "/v1",
        route_handlers=API,
        before_request=cast("BeforeRequestHookHandler", prepare),
        dependencies={"caller": Provide(caller_of, sync_to_thread=False)},
        response_class=ApiResponse,
    )
    app = Web(
        route_handlers=[
            api,
            Router("/v1", route_handlers=simple.SIMPLE),
            service.health,
            service.metrics,
            *page.HANDLERS,
            *pages,
        ],
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        exception_handlers={
            HTTPException: by_server,
            Exception: refused,
        },
        request_class=ApiRequest,
        cors_config=_cors(cors_origins) if cors_origins else None,
        request_max_body_size=BODY_BYTES,
        state=State(
            {
                "services": services,
                "bodies": BodyBudget(),
                "root": services.context.config.server.root,
            }
        ),
        openapi_config=None,  # web.openapi says why
        logging_config=None,  # structlog is configured once, for the whole box
        debug=False,
    )
    page.publish(app)
    return app
