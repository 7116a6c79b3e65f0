"""The page's routes: what everybody may see, what only the owner may."""

from __future__ import annotations

from typing import Any

from litestar import Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from appliance.owner import Owner
from appliance.refusals import Refusal
from web.page import account, assets, messages, receiving, settings, sim, status, welcome
from web.page.live import Live
from web.page.rendering import not_ours, refused
from web.page.visitor import Doorway, NotOurs, Seen

OPEN: list[ControllerRouterHandler] = [
    *(status.status, status.stream, status.language),
    *(account.claim_page, account.claim, account.login_page, account.login),
]
OWNED: list[ControllerRouterHandler] = [
    *(account.logout, account.password),
    *(welcome.welcome, welcome.basics, welcome.test_message, welcome.key, welcome.done),
    *(messages.listed, messages.export, messages.one, messages.resend, messages.cancel),
    *(messages.compose, messages.measure, messages.send),
    receiving.inbox,
    *(settings.overview, settings.keys, settings.add_key, settings.revoke, settings.add_client),
    *(settings.webhooks, settings.add_webhook, settings.change_webhook, settings.webhook_log),
    *(settings.replay, settings.block_list, settings.block, settings.unblock),
    *(settings.box, settings.prefer, settings.backup, settings.support),
    settings.power,
    *(sim.sim, sim.pin, sim.puk, sim.limits, sim.ask, sim.restart),
]


class Page:
    """The page over this owner: `handlers` for the application, `close` when the box stops."""

    def __init__(self, owner: Owner) -> None:
        self._live = Live(owner)
        doorway = Doorway(owner)

        # Functions, because Litestar copies methods with all they hold on to.
        async def meet(request: Any) -> Any:
            return await doorway.meet(request)

        async def admit(request: Any) -> Any:
            return await doorway.admit(request)

        common: dict[str, Any] = {
            "path": "/",
            "dependencies": {
                "owner": Provide(lambda: owner, sync_to_thread=False),
                "live": Provide(lambda: self._live, sync_to_thread=False),
            },
            "exception_handlers": {Refusal: refused, NotOurs: not_ours},
            "request_class": Seen,
        }
        self.handlers: list[ControllerRouterHandler] = [
            assets.static,
            Router(route_handlers=OPEN, before_request=meet, **common),
            Router(route_handlers=OWNED, before_request=admit, **common),
        ]

    def close(self) -> None:
        """End every open stream."""
        self._live.close()
