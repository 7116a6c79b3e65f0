"""The services of the box that the web uses; `appliance.assembly` builds them."""

from __future__ import annotations

import msgspec

from appliance.admin.auth import AdminAuth
from appliance.admin.clients import AdminClients
from appliance.admin.maintenance import AdminMaintenance
from appliance.admin.messages import AdminMessages
from appliance.admin.modems import AdminModems
from appliance.admin.preferences import AdminPreferences
from appliance.admin.smpp import AdminSmpp
from appliance.admin.support import SupportFile
from appliance.admin.webhooks import AdminWebhooks
from appliance.clients.authentication import Authenticator
from appliance.context import Context
from appliance.devices.directory import DeviceDirectory
from appliance.messaging.block_list import BlockList
from appliance.messaging.conversations import Conversations
from appliance.messaging.held import HeldMessages
from appliance.messaging.intake import Intake
from appliance.messaging.otp import OneTimePasswords
from appliance.messaging.received import ReceivedMessages
from appliance.messaging.tracking import Tracking
from appliance.monitoring.dashboard import DashboardReader
from appliance.monitoring.health import HealthCheck
from appliance.monitoring.metrics import Metrics
from appliance.webhooks.registry import WebhookRegistry


class AdminServices(msgspec.Struct, frozen=True):
    """What the owner uses on the status page."""

    auth: AdminAuth
    clients: AdminClients
    held: HeldMessages
    maintenance: AdminMaintenance
    messages: AdminMessages
    modems: AdminModems
    preferences: AdminPreferences
    smpp: AdminSmpp
    support: SupportFile
    webhooks: AdminWebhooks


class Services(msgspec.Struct, frozen=True):
    """What the API and the status page use. A service raises `ApiError` for what it refuses."""

    context: Context
    authenticator: Authenticator
    intake: Intake
    otps: OneTimePasswords
    tracking: Tracking
    received: ReceivedMessages
    conversations: Conversations
    block_list: BlockList
    webhooks: WebhookRegistry
    devices: DeviceDirectory
    dashboard: DashboardReader
    health: HealthCheck
    metrics: Metrics
    admin: AdminServices
