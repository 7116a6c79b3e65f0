"""The webhooks of all clients in the owner's hands."""

from __future__ import annotations

from appliance.admin.clients import no_client
from appliance.context import Context
from appliance.domain.schemas import WebhookBody
from appliance.domain.views import ConfiguredAnswer, Webhook
from appliance.store import clients, dashboard
from appliance.webhooks.registry import WebhookRegistry


class AdminWebhooks:
    """Lists and creates webhooks of any client."""

    def __init__(self, box: Context, registry: WebhookRegistry) -> None:
        self._box = box
        self._registry = registry

    async def listed(self) -> list[tuple[int, Webhook]]:
        """Return the webhooks of every client, each with its tenant."""
        found = await self._box.db.read(dashboard.tenants, test=False)
        return [(tenant, hook) for tenant in found for hook in await self._registry.listed(tenant)]

    async def add(self, client: int, order: WebhookBody) -> ConfiguredAnswer:
        """Create a webhook; only this answer has its secret. Raises INVALID_REQUEST, INVALID_WEBHOOK_URL."""
        if await self._box.db.read(clients.client, client) is None:
            raise no_client()
        return await self._registry.configure(client * 2, order)
