"""Alerts of monitoring programs, read from the bodies that each of them documents. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from appliance.core.i18n import _
from appliance.domain.errors import ApiError, invalid

MOST_CHARACTERS = 450  # three SMS in GSM-7
LINE_CHARACTERS = 200
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

Json = Mapping[str, Any]


class Alert(msgspec.Struct, frozen=True):
    """One alert. `identity` is the same in its repetitions and its end; empty for a notice that has neither."""

    identity: str
    firing: bool
    name: str
    summary: str = ""
    target: str = ""
    severity: str = ""


def read(kind: str, body: Json) -> list[Alert]:
    """Return the alerts of a body. Raises NOT_FOUND for an unknown kind, INVALID_REQUEST."""
    if kind not in READERS:
        raise ApiError("NOT_FOUND")
    return READERS[kind](body)


def _text(body: Json, *names: str) -> str:
    """Return the first of these fields that says something, as one line."""
    for name in names:
        value = body.get(name)
        if (
            isinstance(value, str | int | float)
            and not isinstance(value, bool)
            and str(value).strip()
        ):
            return " ".join(str(value).split())
    return ""


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _needed(body: Json, *names: str) -> str:
    found = _text(body, *names)
    if not found:
        raise invalid(names[0], _("is required"))
    return found


def _state(body: Json, field: str, firing: set[str], resolved: set[str]) -> bool:
    """Return whether a field says that the alert fires. Raises INVALID_REQUEST for another word."""
    word = _needed(body, field).casefold()
    if word not in firing | resolved:
        raise invalid(
            field, _("must be one of {words}", words=", ".join(sorted(firing | resolved)))
        )
    return word in firing


def _alertmanager(body: Json) -> list[Alert]:
    """Alertmanager's webhook, version 4. Grafana's has the same fields and more."""
    entries = body.get("alerts")
    if not isinstance(entries, list):
        raise invalid("alerts", _("must be a list"))
    return [_of_alertmanager(_object(entry)) for entry in entries]


def _of_alertmanager(entry: Json) -> Alert:
    labels, annotations = _object(entry.get("labels")), _object(entry.get("annotations"))
    named = sorted(f"{name}={value}" for name, value in labels.items())
    return Alert(
        identity=_text(entry, "fingerprint") or " ".join(named),
        firing=_state(entry, "status", {"firing"}, {"resolved"}),
        name=_text(labels, "alertname") or " ".join(named),
        summary=_text(annotations, "summary", "description", "message"),
        target=_text(labels, "instance", "host", "job"),
        severity=_text(labels, "severity"),
    )


# Of Uptime Kuma's heartbeat; 2 is pending and 3 maintenance.
_DOWN, _UP = 0, 1


def _uptime_kuma(body: Json) -> list[Alert]:
    """Its webhook as application/json. Without a heartbeat it is a test, or a certificate that expires."""
    beat, monitor = _object(body.get("heartbeat")), _object(body.get("monitor"))
    if not beat:
        return [Alert("", True, _needed(body, "msg"))]
    status = beat.get("status")
    if status not in (_DOWN, _UP):
        return []
    return [
        Alert(
            identity=_text(beat, "monitorID") or _needed(monitor, "id", "name"),
            firing=status == _DOWN,
            name=_text(monitor, "name") or _needed(body, "msg"),
            summary=_text(beat, "msg"),
            target=_text(monitor, "hostname", "url"),
        )
    ]


def _zabbix(body: Json) -> list[Alert]:
    """The parameters of the media type in docs/alerts.md, each a macro of Zabbix."""
    value = _text(body, "value")
    name = _needed(body, "name", "subject")
    if value not in ("0", "1"):  # a test of the media type: macros stay as they are written
        return [Alert("", True, name, _text(body, "message"))]
    return [
        Alert(
            identity=_needed(body, "event_id"),
            firing=value == "1",
            name=name,
            summary=_text(body, "message"),
            target=_text(body, "host"),
            severity=_text(body, "severity"),
        )
    ]


def _healthchecks(body: Json) -> list[Alert]:
    """The body in docs/alerts.md, or the check itself (`$JSON`)."""
    return [
        Alert(
            identity=_needed(body, "code", "uuid", "unique_key", "slug", "name"),
            firing=_state(body, "status", {"down"}, {"up"}),
            name=_needed(body, "name", "slug", "code"),
            summary=_text(body, "desc"),
            target=_text(body, "tags"),
        )
    ]


def _gatus(body: Json) -> list[Alert]:
    """The body in docs/alerts.md, each field a placeholder of Gatus."""
    name, group = _needed(body, "endpoint"), _text(body, "group")
    return [
        Alert(
            identity=f"{group}/{name}/{_text(body, 'description')}",
            firing=_state(body, "status", {"triggered"}, {"resolved"}),
            name=f"{group}/{name}" if group else name,
            summary=_text(body, "errors", "description"),
            target=_text(body, "url"),
        )
    ]


READERS: dict[str, Callable[[Json], list[Alert]]] = {
    "alertmanager": _alertmanager,
    "grafana": _alertmanager,
    "uptime-kuma": _uptime_kuma,
    "zabbix": _zabbix,
    "healthchecks": _healthchecks,
    "gatus": _gatus,
}


# --- the text ------------------------------------------------------------------------------------


def compose(alerts: list[Alert], template: str, firing: str, resolved: str) -> str:
    """Return one text for several alerts: a line for each, and how many more there are."""
    lines = [line(alert, template, firing if alert.firing else resolved) for alert in alerts]
    kept: list[str] = []
    for index, one in enumerate(lines):
        rest = len(lines) - index - 1
        more = f"\n+ {rest}" if rest else ""
        if kept and len("\n".join([*kept, one])) + len(more) > MOST_CHARACTERS:
            return "\n".join([*kept, f"+ {rest + 1}"])
        kept.append(one)
    return "\n".join(kept)


def line(alert: Alert, template: str, state: str) -> str:
    """Return one alert in a line. A placeholder without a value leaves no separator behind."""
    values = {
        "state": state,
        "name": alert.name,
        "summary": alert.summary,
        "target": alert.target,
        "severity": alert.severity,
    }
    text = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split()).strip(" :-,") or alert.name
    return text if len(text) <= LINE_CHARACTERS else text[: LINE_CHARACTERS - 3] + "..."
