"""The routes of the page: public ones and the owner's."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from appliance.services import Services
from web.error_responses import meant
from web.page import (
    account,
    assets,
    conversations,
    held,
    maintenance,
    manual,
    messages,
    receiving,
    settings,
    sim,
    smpp,
    status,
    welcome,
)
from web.page.live import Live
from web.page.rendering import load, not_ours, page, refused
from web.page.visitor import AuthMiddleware, NotOurs, Seen

NEAR: list[ControllerRouterHandler] = [status.status, status.stream]
OPEN: list[ControllerRouterHandler] = [
    status.language,
    manual.manual,
    *(account.claim_page, account.claim, account.login_page, account.login),
]
OWNED: list[ControllerRouterHandler] = [
    *(account.logout, account.password),
    *(welcome.welcome, welcome.basics, welcome.test_message, welcome.key, welcome.done),
    *(messages.listed, messages.export, messages.one, messages.resend, messages.cancel),
    *(messages.compose, messages.measure, messages.send),
    receiving.inbox,
    *(conversations.listed, conversations.one, conversations.reply, conversations.name),
    *(held.held, held.decide_all, held.decide_one),
    *(settings.overview, settings.keys, settings.add_key, settings.restrict, settings.revoke),
    settings.add_client,
    *(settings.webhooks, settings.add_webhook, settings.change_webhook, settings.webhook_log),
    *(settings.replay, settings.block_list, settings.block, settings.unblock),
    *(smpp.smpp, smpp.switch_smpp, smpp.add_smpp_password),
    *(settings.box, settings.prefer, settings.support),
    *(
        maintenance.show,
        maintenance.progress,
        maintenance.share,
        maintenance.backup,
        maintenance.drop,
        maintenance.restore_now,
    ),
    *(maintenance.forget, maintenance.wait, maintenance.power),
    *(sim.sim, sim.pin, sim.puk, sim.limits, sim.ask, sim.balance, sim.restart, sim.remove),
]
SENT: list[ControllerRouterHandler] = [maintenance.update, maintenance.restore]


class StatusPage:
    """The status page. Register `handlers`; call `close` when the box stops."""

    def __init__(self, services: Services) -> None:
        self._live = Live(services)
        self._doorway = doorway = AuthMiddleware(services)

        # Functions, because Litestar copies methods with everything that they reference.
        async def meet(request: Any) -> Any:
            await load()
            return await doorway.meet(request)

        async def admit_near(request: Any) -> Any:
            await load()
            return await doorway.admit_near(request)

        async def admit(request: Any) -> Any:
            await load()
            return await doorway.admit(request)

        async def admit_file(request: Any) -> Any:
            await load()
            return await doorway.admit_file(request)

        def failed(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
            seen = Seen(request.scope, request.receive, request.send)
            if "visitor" not in seen.state:  # it failed before the visitor was known
                seen.state.visitor = doorway.stranger(seen)
            return refused(seen, meant(request, error))

        common: dict[str, Any] = {
            "path": "/",
            "dependencies": {
                "live": Provide(lambda: self._live, sync_to_thread=False),
            },
            "exception_handlers": {NotOurs: not_ours, HTTPException: failed, Exception: failed},
            "request_class": Seen,
        }
        self.handlers: list[ControllerRouterHandler] = [
            assets.static,
            Router(route_handlers=NEAR, before_request=admit_near, **common),
            Router(route_handlers=OPEN, before_request=meet, **common),
            Router(route_handlers=OWNED, before_request=admit, **common),
            Router(route_handlers=SENT, before_request=admit_file, **common),
        ]

    def lost(self, request: Request[Any, Any, Any], status: int) -> Response[str]:
        """Show a page to a browser at an unknown URL."""
        seen = Seen(request.scope, request.receive, request.send)
        seen.state.visitor = self._doorway.stranger(seen)
        return page(seen, "lost.html", status=status)

    def close(self) -> None:
        """End every open stream."""
        self._live.close()
