"""What is published about the box and its modems, and how Home Assistant finds it. Pure.

Home Assistant's device discovery (since 2024.11): one retained message describes all entities.
"""

from __future__ import annotations

from typing import Any

import msgspec

from appliance import __version__
from appliance.core.i18n import Language, Text, _

Json = dict[str, Any]
ONLINE, OFFLINE = b"online", b"offline"
STATE_CHARACTERS = 255  # the longest state of an entity; the whole text is in the event


class Topics(msgspec.Struct, frozen=True):
    """The topics below `base`."""

    base: str

    @property
    def availability(self) -> str:
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def received(self) -> str:
        return f"{self.base}/received"

    @property
    def send(self) -> str:
        return f"{self.base}/send"

    @property
    def notify(self) -> str:
        return f"{self.base}/notify"

    @property
    def result(self) -> str:
        return f"{self.base}/result"

    def event(self, name: str) -> str:
        return f"{self.base}/events/{name}"

    def modem(self, number: int) -> str:
        return f"{self.base}/modems/device_{number}"


class ModemReport(msgspec.Struct, frozen=True):
    """What is published about a modem, retained."""

    number: int
    name: str
    online: bool
    state: str
    operator: str
    technology: str
    signal_dbm: int | None
    balance: float | None
    phone_number: str

    def payload(self) -> bytes:
        return msgspec.json.encode(
            {
                "device_id": f"device_{self.number}",
                **{
                    name: getattr(self, name) for name in self.__struct_fields__ if name != "number"
                },
            }
        )


def discovery(
    topics: Topics,
    identity: str,
    modems: tuple[ModemReport, ...],
    *,
    notify: bool,
    language: Language,
    url: str,
) -> Json:
    """Return the payload for PREFIX/device/IDENTITY/config."""
    device: Json = {
        "identifiers": [identity],
        "name": "ZimBox" if topics.base == "zimbox" else f"ZimBox {topics.base}",
        "manufacturer": "ZimBox",
        "model": "SMS gateway",
        "sw_version": __version__,
    }
    if url:
        device["configuration_url"] = url
    components = {**_box(topics, language, notify=notify)}
    for modem in modems:
        components |= _modem(topics, modem, language, alone=len(modems) == 1)
    return {
        "device": device,
        "origin": {"name": "ZimBox", "sw_version": __version__},
        "availability_topic": topics.availability,
        "qos": 1,
        "components": {
            name: {**component, "unique_id": f"{identity}_{name}"}
            for name, component in components.items()
        },
    }


def _box(topics: Topics, language: Language, *, notify: bool) -> dict[str, Json]:
    found: dict[str, Json] = {
        "queue": {
            "platform": "sensor",
            "name": _("Waiting SMS").plain(language),
            "state_topic": topics.state,
            "value_template": "{{ value_json.queue }}",
            "state_class": "measurement",
            "icon": "mdi:tray-full",
        },
        "last_sms": {
            "platform": "sensor",
            "name": _("Last SMS").plain(language),
            "state_topic": topics.received,
            "value_template": f"{{{{ value_json.message[:{STATE_CHARACTERS}] }}}}",
            "json_attributes_topic": topics.received,
            "icon": "mdi:message-text",
        },
        "received": {
            "platform": "event",
            "name": _("SMS received").plain(language),
            "state_topic": topics.event("sms.received"),
            "event_types": ["received"],
            "value_template": (
                "{{ dict(value_json.data, event_type='received', event_id=value_json.event_id)"
                " | tojson }}"
            ),
            "icon": "mdi:message-arrow-left",
        },
        "problem": {
            "platform": "binary_sensor",
            "name": _("Problem").plain(language),
            "state_topic": topics.state,
            "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "json_attributes_topic": topics.state,
        },
    }
    if notify:
        found["notify"] = {
            "platform": "notify",
            "name": _("SMS").plain(language),
            "command_topic": topics.notify,
            "icon": "mdi:message-arrow-right",
        }
    return found


def _modem(
    topics: Topics, modem: ModemReport, language: Language, *, alone: bool
) -> dict[str, Json]:
    """Return the entities of a modem, named after it unless it is the only one."""

    def named(text: Text) -> str:
        name = text.plain(language)
        return name if alone else f"{modem.name} {name}"

    topic, number = topics.modem(modem.number), modem.number
    found: dict[str, Json] = {
        f"modem_{number}": {
            "platform": "binary_sensor",
            "name": named(_("Modem")),
            "state_topic": topic,
            "value_template": "{{ 'ON' if value_json.online else 'OFF' }}",
            "device_class": "connectivity",
            "json_attributes_topic": topic,
        },
        f"signal_{number}": {
            "platform": "sensor",
            "name": named(_("Signal")),
            "state_topic": topic,
            "value_template": "{{ value_json.signal_dbm }}",
            "device_class": "signal_strength",
            "unit_of_measurement": "dBm",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
        f"operator_{number}": {
            "platform": "sensor",
            "name": named(_("Operator")),
            "state_topic": topic,
            "value_template": "{{ value_json.operator }}",
            "entity_category": "diagnostic",
            "icon": "mdi:radio-tower",
        },
    }
    if modem.balance is not None:
        found[f"balance_{number}"] = {
            "platform": "sensor",
            "name": named(_("Credit")),
            "state_topic": topic,
            "value_template": "{{ value_json.balance }}",
            "state_class": "measurement",
            "icon": "mdi:cash",
        }
    return found
