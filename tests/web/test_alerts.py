"""POST /v1/alerts/{kind}: the bodies that monitoring programs send, sent once by SMS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import httpx
import pytest

from appliance.core.config import AlertSettings
from appliance.domain import alerts
from appliance.domain.alerts import Alert
from appliance.domain.views import Permissions
from appliance.store import clients
from tests.web.box import NOW, WebBox

BODIES = Path(__file__).parent / "alerts"
ONE, TWO = "+33611110001", "+33611110002"
HOUR_SECONDS = 3600


def body_of(kind: str) -> dict[str, Any]:
    """A body as that program documents it."""
    found: dict[str, Any] = json.loads((BODIES / f"{kind}.json").read_text("utf-8"))
    return found


def resolved(kind: str) -> dict[str, Any]:
    """The body of the end of the same alerts."""
    body = body_of(kind)
    if kind in ("alertmanager", "grafana"):
        body["alerts"] = [{**alert, "status": "resolved"} for alert in body["alerts"]]
    elif kind == "uptime-kuma":
        body["heartbeat"] |= {"status": 1, "msg": "200 - OK"}
    else:
        body |= {
            "zabbix": {"value": "0", "message": "Resolved in 5m"},
            "healthchecks": {"status": "up"},
            "gatus": {"status": "RESOLVED", "errors": ""},
        }[kind]
    return body


async def program(box: WebBox, may: Permissions) -> httpx.AsyncClient:
    """A monitoring program with a key of its own, in the one header that all of them can set."""
    number = int(box.client.removeprefix("client_"))
    made = await box.db.write(clients.add_key, number, NOW, permissions=may)
    headers = {"Authorization": f"Bearer {made.key}", "Accept-Language": "en"}
    return httpx.AsyncClient(transport=box.transport(), base_url="http://box", headers=headers)


@pytest.fixture
async def monitor(box: WebBox) -> AsyncIterator[httpx.AsyncClient]:
    async with await program(box, Permissions(alert_to=(ONE, TWO), read=False)) as client:
        yield client


async def texts(box: WebBox, to: str = ONE) -> list[str]:
    """What is queued for a number, oldest first."""

    def read(db: Connection) -> list[str]:
        rows = db.execute("SELECT body FROM message WHERE recipient = ? ORDER BY id", (to,))
        return [row[0] for row in rows]

    return await box.db.read(read)


@pytest.mark.parametrize(
    ("kind", "fires", "ends"),
    [
        (
            "alertmanager",
            "ALERTE InstanceDown: web1 has been down for 5 minutes\nALERTE DiskFull: Only 2 % left on /var",
            "RÉSOLU InstanceDown: web1 has been down for 5 minutes\nRÉSOLU DiskFull: Only 2 % left on /var",
        ),
        (
            "grafana",
            "ALERTE High memory usage: Triggered for zone eu-1",
            "RÉSOLU High memory usage: Triggered for zone eu-1",
        ),
        (
            "uptime-kuma",
            "ALERTE NAS: connect ECONNREFUSED 192.168.1.20:443",
            "RÉSOLU NAS: 200 - OK",
        ),
        (
            "zabbix",
            "ALERTE Zabbix agent is not available: Problem started at 10:25:00 on 2025.01.15",
            "RÉSOLU Zabbix agent is not available: Resolved in 5m",
        ),
        ("healthchecks", "ALERTE Filesystem Backup", "RÉSOLU Filesystem Backup"),
        (
            "gatus",
            'ALERTE web/shop: Get "https://shop.example.com": dial tcp: no route to host',
            "RÉSOLU web/shop: health check failed",
        ),
    ],
)
async def test_an_alert_is_sent_once_and_so_is_its_end(
    box: WebBox, monitor: httpx.AsyncClient, kind: str, fires: str, ends: str
) -> None:
    first = await monitor.post(f"/v1/alerts/{kind}", json=body_of(kind))
    assert first.status_code == 202, first.text
    answer = first.json()
    assert (answer["success"], answer["repeated"], len(answer["message_ids"])) == (True, 0, 2)
    assert "warnings" not in answer
    again = (await monitor.post(f"/v1/alerts/{kind}", json=body_of(kind))).json()
    assert (again["repeated"], again["message_ids"]) == (again["received"], [])
    for _ in range(2):
        assert (await monitor.post(f"/v1/alerts/{kind}", json=resolved(kind))).status_code == 202
    assert await texts(box, ONE) == [fires, ends]
    assert await texts(box, TWO) == [fires, ends]
    await monitor.post(f"/v1/alerts/{kind}", json=body_of(kind))
    assert await texts(box) == [fires, ends, fires], "a new beginning is news"


@pytest.mark.parametrize("kind", list(alerts.READERS))
async def test_an_end_whose_beginning_was_not_sent_is_not_sent(
    box: WebBox, monitor: httpx.AsyncClient, kind: str
) -> None:
    answer = (await monitor.post(f"/v1/alerts/{kind}", json=resolved(kind))).json()
    assert (answer["message_ids"], await texts(box)) == ([], [])


async def test_an_alert_that_still_fires_is_sent_again_after_the_window(
    box: WebBox, monitor: httpx.AsyncClient
) -> None:
    for seconds in (0, HOUR_SECONDS - 0.001, 0.001):
        box.clock.advance(seconds)
        await monitor.post("/v1/alerts/zabbix", json=body_of("zabbix"))
    assert len(await texts(box)) == 2


async def test_what_was_sent_is_known_after_a_restart(tmp_path: Path) -> None:
    box = await WebBox.start(tmp_path)
    async with await program(box, Permissions(alert_to=(ONE,))) as client:
        await client.post("/v1/alerts/gatus", json=body_of("gatus"))
        key = client.headers["Authorization"]
    await box.stop()
    box = await WebBox.start(tmp_path)
    try:
        async with httpx.AsyncClient(
            transport=box.transport(), base_url="http://box", headers={"Authorization": key}
        ) as client:
            again = await client.post("/v1/alerts/gatus", json=body_of("gatus"))
            assert (again.status_code, again.json()["repeated"]) == (202, 1)
            await client.post("/v1/alerts/gatus", json=resolved("gatus"))
        assert len(await texts(box)) == 2
    finally:
        await box.stop()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("uptime-kuma", {"heartbeat": None, "monitor": None, "msg": "My alert Testing"}),
        (
            "zabbix",
            {"event_id": "{EVENT.ID}", "value": "{EVENT.VALUE}", "subject": "My alert Testing"},
        ),
    ],
)
async def test_a_test_of_the_program_is_sent_each_time(
    box: WebBox, monitor: httpx.AsyncClient, kind: str, body: dict[str, Any]
) -> None:
    for _ in range(2):
        assert (await monitor.post(f"/v1/alerts/{kind}", json=body)).status_code == 202
    assert await texts(box) == ["ALERTE My alert Testing"] * 2


async def test_a_check_as_healthchecks_describes_it_is_read_too(
    box: WebBox, monitor: httpx.AsyncClient
) -> None:
    check = {
        "name": "Backup",
        "slug": "backup",
        "tags": "",
        "desc": "Each hour",
        "status": "down",
        "uuid": "31365bce",
    }
    assert (await monitor.post("/v1/alerts/healthchecks", json=check)).status_code == 202
    assert await texts(box) == ["ALERTE Backup: Each hour"]


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("alertmanager", {}, "alerts"),
        ("grafana", {"alerts": [{"status": "strange"}]}, "status"),
        ("alertmanager", {"alerts": ["x"]}, "status"),
        ("uptime-kuma", {}, "msg"),
        ("zabbix", {"value": "1", "event_id": "1"}, "name"),
        ("zabbix", {"value": "1", "name": "x"}, "event_id"),
        ("healthchecks", {"name": "x", "status": "new"}, "status"),
        ("gatus", {"status": "TRIGGERED"}, "endpoint"),
    ],
)
async def test_a_wrong_body_is_an_error_that_names_the_field(
    box: WebBox, monitor: httpx.AsyncClient, kind: str, body: dict[str, Any], field: str
) -> None:
    answer = await monitor.post(f"/v1/alerts/{kind}", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["details"]["field"]) == ("INVALID_REQUEST", field)
    assert await texts(box) == []


@pytest.mark.parametrize(
    "raw",
    ["[]", "1", '"x"', '{"alerts": "\\ud800"}', '{"alerts": ' + "[" * 5000 + "]" * 5000 + "}"],
)
async def test_a_body_that_is_no_object_of_json_is_400(
    box: WebBox, monitor: httpx.AsyncClient, raw: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await monitor.post("/v1/alerts/gatus", content=raw, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "INVALID_REQUEST"


async def test_an_unknown_program_is_404(monitor: httpx.AsyncClient) -> None:
    answer = await monitor.post("/v1/alerts/nagios", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("may", "reason"),
    [
        (Permissions(), "alerts"),
        (Permissions(alert_to=(ONE,), send=False), "send"),
        (Permissions(alert_to=(ONE,), prefixes=("+41",)), "prefixes"),
    ],
)
async def test_a_key_that_may_not_is_refused(box: WebBox, may: Permissions, reason: str) -> None:
    async with await program(box, may) as client:
        answer = await client.post("/v1/alerts/gatus", json=body_of("gatus"))
    assert answer.status_code == 403
    assert answer.json()["error"]["details"]["reason"] == reason


async def test_an_alert_that_could_not_be_queued_does_not_count_as_sent(box: WebBox) -> None:
    """The program asks again, and by then it can be."""
    async with await program(box, Permissions(alert_to=(ONE,))) as client:
        await box.services.block_list.block_for_all(ONE, "for now")
        refused = await client.post("/v1/alerts/gatus", json=body_of("gatus"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "BLOCKED_NUMBER")
        await box.services.block_list.take_off(0, ONE)
        assert (await client.post("/v1/alerts/gatus", json=body_of("gatus"))).json()[
            "repeated"
        ] == 0
    assert len(await texts(box)) == 1


async def test_a_blocked_number_does_not_keep_the_others_from_being_notified(
    box: WebBox, monitor: httpx.AsyncClient
) -> None:
    await box.services.block_list.block_for_all(ONE, "left")
    answer = await monitor.post("/v1/alerts/gatus", json=body_of("gatus"))
    assert (answer.status_code, len(answer.json()["message_ids"])) == (202, 1)
    assert (await texts(box, ONE), len(await texts(box, TWO))) == ([], 1)


async def test_the_template_is_a_setting(tmp_path: Path) -> None:
    settings = AlertSettings(template="{name} @ {target} [{severity}] {unknown} {state}")
    box = await WebBox.start(tmp_path, alerts=settings)
    try:
        async with await program(box, Permissions(alert_to=(ONE,))) as client:
            await client.post("/v1/alerts/zabbix", json=body_of("zabbix"))
        assert await texts(box) == [
            "Zabbix agent is not available @ web1 [Average] {unknown} ALERTE"
        ]
    finally:
        await box.stop()


def test_the_bodies_that_the_guide_gives_are_read() -> None:
    """With their placeholders replaced as Gatus and Healthchecks do it."""
    guide = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
    (body,) = re.findall(r'^ +(\{"endpoint": .*?\})$', guide, re.MULTILINE | re.DOTALL)
    for place, value in {
        "[ENDPOINT_NAME]": "shop",
        "[ENDPOINT_GROUP]": "web",
        "[ENDPOINT_URL]": "https://shop.lan",
        "[ALERT_TRIGGERED_OR_RESOLVED]": "TRIGGERED",
        "[ALERT_DESCRIPTION]": "down",
        "[RESULT_ERRORS]": 'Get \\"x\\": no route',
    }.items():
        assert place in body
        body = body.replace(place, value)
    assert alerts.read("gatus", json.loads(body)) == [
        Alert("web/shop/down", True, "web/shop", 'Get "x": no route', "https://shop.lan")
    ]
    (body,) = re.findall(r'^\{"code": .*\}$', guide, re.MULTILINE)
    body = body.replace("$NAME_JSON", '"a \\"b\\""').replace("$CODE", "c0de")
    body = body.replace("$STATUS", "down").replace("$TAGS", "")
    assert alerts.read("healthchecks", json.loads(body)) == [Alert("c0de", True, 'a "b"')]
    for field in body_of("zabbix"):
        assert f"| `{field}` | `{{" in guide


def test_a_box_without_alerts_does_not_load_their_code() -> None:
    look = "import sys, web.server; print([n for n in sys.modules if n.endswith('.alerts')])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "['web.api.alerts']\n"


def test_a_storm_is_one_message_of_a_bounded_length() -> None:
    storm = [Alert(str(n), True, f"Host{n}", "x" * 500) for n in range(40)]
    text = alerts.compose(storm, "{state} {name}: {summary}", "ALERT", "RESOLVED")
    assert len(text) <= alerts.MOST_CHARACTERS
    lines = text.split("\n")
    assert lines[0].startswith("ALERT Host0: xxx") and lines[0].endswith("...")
    assert lines[-1] == f"+ {40 - (len(lines) - 1)}"
