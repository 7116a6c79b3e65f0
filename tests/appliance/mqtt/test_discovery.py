"""What Home Assistant discovers: the documented keys of each platform, and templates that fit what is published."""

from __future__ import annotations

import json
from typing import Any

import jinja2
import pytest

from appliance.mqtt.discovery import ModemReport, Topics, discovery

TOPICS = Topics("home/zimbox")
MODEM = ModemReport(
    number=3,
    name="HAT",
    online=True,
    state="ready",
    operator="Orange F",
    technology="LTE",
    signal_dbm=-71,
    balance=4.2,
    phone_number="+33600000000",
)
# www.home-assistant.io/integrations: sensor.mqtt, binary_sensor.mqtt, event.mqtt, notify.mqtt, and what
# "Discovery messages" of the integration MQTT says of all.
COMMON = {"platform", "unique_id", "name", "icon", "entity_category", "json_attributes_topic"}
PLATFORMS: dict[str, tuple[set[str], set[str]]] = {  # what is required, and what else is used
    "sensor": (
        {"state_topic"},
        {"value_template", "device_class", "unit_of_measurement", "state_class"},
    ),
    "binary_sensor": ({"state_topic"}, {"value_template", "device_class"}),
    "event": ({"state_topic", "event_types"}, {"value_template"}),
    "notify": ({"command_topic"}, set()),
}
CLASSES: dict[str, dict[str, str | None]] = {
    "sensor": {"signal_strength": "dBm"},
    "binary_sensor": {"connectivity": None, "problem": None},
}
RECEIVED: dict[str, Any] = {
    "event": "sms.received",
    "event_id": "evt_067a1b2c3d40",
    "timestamp": "2030-01-15T10:30:08Z",
    "data": {
        "inbox_id": "inbox_067a1b2c3d40",
        "from": "+33612345678",
        "message": 'Il a dit "oui" 😀' + "x" * 300,
        "received_at": "2030-01-15T10:30:07Z",
        "device_id": "device_3",
        "incomplete": False,
    },
}
STATE = {"queue": 4, "problems": ["searching"], "problem": "No network yet: wait."}


def discovered(*modems: ModemReport, notify: bool = True) -> dict[str, Any]:
    found = discovery(
        TOPICS, "zimbox-1f", modems, notify=notify, language="en", url="https://home.example/sms"
    )
    decoded: dict[str, Any] = json.loads(json.dumps(found))
    return decoded


def rendered(component: dict[str, Any], body: object) -> str:
    template = jinja2.Environment(autoescape=False).from_string(component["value_template"])
    return template.render(value_json=json.loads(json.dumps(body)))


def test_the_message_has_what_device_discovery_requires() -> None:
    found = discovered(MODEM)
    assert found["device"]["identifiers"] == ["zimbox-1f"]
    assert found["device"]["configuration_url"] == "https://home.example/sms"
    assert found["origin"]["name"] == "ZimBox"
    assert found["availability_topic"] == "home/zimbox/availability"
    assert found["qos"] == 1
    ids = [component["unique_id"] for component in found["components"].values()]
    assert len(ids) == len(set(ids)) == 9


def test_each_entity_has_only_documented_keys() -> None:
    for name, component in discovered(MODEM)["components"].items():
        required, more = PLATFORMS[component["platform"]]
        assert required <= component.keys() <= COMMON | required | more, name
        if kind := component.get("device_class"):
            allowed = CLASSES[component["platform"]]
            assert allowed[kind] == component.get("unit_of_measurement"), name


def test_the_templates_read_what_is_published() -> None:
    found = discovered(MODEM)["components"]
    modem = json.loads(MODEM.payload())
    assert rendered(found["modem_3"], modem) == "ON"
    assert rendered(found["signal_3"], modem) == "-71"
    assert rendered(found["operator_3"], modem) == "Orange F"
    assert rendered(found["balance_3"], modem) == "4.2"
    assert rendered(found["queue"], STATE) == "4"
    assert rendered(found["problem"], STATE) == "ON"
    assert rendered(found["problem"], {**STATE, "problems": []}) == "OFF"
    assert len(rendered(found["last_sms"], RECEIVED["data"])) == 255
    event = json.loads(rendered(found["received"], RECEIVED))
    assert event == {
        **RECEIVED["data"],
        "event_type": "received",
        "event_id": RECEIVED["event_id"],
    }
    assert found["received"]["event_types"] == [event["event_type"]]


def test_entities_of_several_modems_have_their_names() -> None:
    other = ModemReport(4, "USB", False, "offline", "", "", None, None, "")
    found = discovered(MODEM, other)["components"]
    assert found["signal_3"]["name"] == "HAT Signal"
    assert found["modem_4"]["name"] == "USB Modem"
    assert "balance_4" not in found


@pytest.mark.parametrize("notify", [True, False])
def test_a_notify_entity_needs_numbers(notify: bool) -> None:
    assert ("notify" in discovered(notify=notify)["components"]) == notify
