"""Telling: the oldest due event of each message goes to who asked for it."""

from __future__ import annotations

from appliance.box import Box
from appliance.interface import Replayed, WebhookLogPage, WebhookTest, WebhookView
from appliance.orders import PageFilter, WebhookOrder
from appliance.refusals import invalid


class Webhooks:
    """Not built yet: everything is refused, nothing is stored and ignored."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def check_url(self, url: str | None) -> None:
        if url is not None:
            raise invalid("webhook_url", "n'est pas encore disponible", "is not available yet")

    async def configure(self, scope: int, order: WebhookOrder) -> WebhookView:
        raise invalid("url", "n'est pas encore disponible", "is not available yet")

    async def listed(self, scope: int) -> tuple[WebhookView, ...]:
        return ()

    async def delete(self, scope: int, webhook_id: str) -> None:
        raise invalid("url", "n'est pas encore disponible", "is not available yet")

    async def test(self, scope: int, webhook_id: str) -> WebhookTest:
        raise invalid("url", "n'est pas encore disponible", "is not available yet")

    async def logs(self, scope: int, wanted: PageFilter) -> WebhookLogPage:
        return WebhookLogPage((), 0)

    async def replay(self, scope: int, log_id: str) -> Replayed:
        raise invalid("url", "n'est pas encore disponible", "is not available yet")
