"""The owner reads the log of webhook attempts on the page."""

from pathlib import Path

import httpx
import pytest

from appliance.core.config import WebhookSettings
from appliance.domain.schemas import WebhookBody
from tests.receiver import Receiver
from tests.web.box import WebBox
from web.page.routes import StatusPage


@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")  # Litestar's, of the page's paths
async def test_an_attempt_is_shown_with_its_time_in_the_zone_of_the_box(tmp_path: Path) -> None:
    box = await WebBox.start(tmp_path, webhook=WebhookSettings(allow_loopback=True))
    receiver = await Receiver().start()
    admin = box.services.admin
    made = await admin.webhooks.add(1, WebhookBody(receiver.url(), ("sms.sent",)))
    await box.services.webhooks.test(2, made.webhook_id)
    page = StatusPage(box.services)
    hashed = await admin.auth.claim("une phrase bien longue", "", "127.0.0.1", "localhost")
    session = await admin.auth.open_session("a browser", hashed)
    async with httpx.AsyncClient(
        transport=box.transport(pages=page.handlers),
        base_url="http://localhost",
        cookies={"zimbox_session": session},
    ) as browser:
        shown = await browser.get("/settings/webhooks/2/log")
    page.close()
    await receiver.stop()
    await box.stop()
    assert shown.status_code == 200
    assert receiver.url() in shown.text
    assert "2025-01-15T11:30:00+01:00" in shown.text
