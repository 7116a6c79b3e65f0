"""Events and their deliveries, stored in the transaction of the change that they describe."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

import msgspec

from appliance.core.i18n import DEFAULT
from appliance.domain import ids
from appliance.domain.errors import FAILURES
from appliance.domain.validation import timestamp
from appliance.store import deliveries, mqtt
from appliance.store.failure_causes import stored_cause
from appliance.store.rows import MessageRow, columns


def emit(
    db: Connection,
    new_ids: ids.Ids,
    tenant: int,
    name: str,
    data: Callable[[], dict[str, Any]],
    now: int,
    *,
    stream: str,
    message: int | None = None,
    own_url: str | None = None,
) -> bool:
    """Store an event with a delivery per receiver; return whether there is a receiver, MQTT included.

    `data` is called only then, because most boxes have no webhooks and this runs for every status change. A
    message's own `webhook_url` replaces the client's webhooks. Events of one `stream` (a message, a device, a
    sender) reach each receiver in the order of these calls.
    """
    if own_url is not None:
        targets: list[tuple[int | None, str]] = [(None, own_url)]
    else:
        rows = db.execute(
            "SELECT id, url, events FROM webhook WHERE tenant = ? AND deleted_at IS NULL", (tenant,)
        )
        targets = [(webhook, url) for webhook, url, names in rows if name in names.split(",")]
    if not targets and not mqtt.wanted(db, tenant):
        return False
    event = store(db, new_ids, tenant, name, data(), now)
    for webhook, url in targets:
        deliveries.add(
            db, new_ids, event, tenant, webhook, url, now, stream=stream, message=message
        )
    return True


def store(
    db: Connection, new_ids: ids.Ids, tenant: int, name: str, data: dict[str, Any], now: int
) -> int:
    """Store the body that every attempt sends. Return the event's number."""
    event = new_ids.other(now)
    body = {
        "event": name,
        "event_id": ids.short_id("evt", event),
        "timestamp": timestamp(now),
        "data": data,
    }
    db.execute(
        "INSERT INTO event (id, tenant, name, body, created_at) VALUES (?, ?, ?, ?, ?)",
        (event, tenant, name, msgspec.json.encode(body).decode(), now),
    )
    return event


_MESSAGE = f"SELECT {columns(MessageRow)} FROM message WHERE id = ?"


def of_message(db: Connection, new_ids: ids.Ids, message: MessageRow, name: str, now: int) -> bool:
    """Store a `sms.*` event of a message, with its state after the change."""
    number = message.id

    def data() -> dict[str, Any]:
        changed = db.execute(_MESSAGE, (number,)).fetchone()
        return _data_of(MessageRow._make(changed), name)

    return emit(
        db,
        new_ids,
        message.tenant,
        name,
        data,
        now,
        stream=ids.message_id(number),
        message=number,
        own_url=message.webhook_url,
    )


def _data_of(message: MessageRow, name: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "message_id": ids.message_id(message.id),
        "status": message.status,
        "to": message.recipient,
        "message": message.body,
        "device_id": f"device_{message.device}" if message.device else None,
        "metadata": msgspec.json.decode(message.metadata) if message.metadata else None,
        "sent_at": timestamp(message.sent_at),
    }
    if name == "sms.delivered":
        data["delivered_at"] = timestamp(message.delivered_at)
    elif name == "sms.failed":
        data["failed_at"] = timestamp(message.failed_at)
        data["error"] = error_of(message)
        data["uncertain"] = bool(message.uncertain)
    elif name == "sms.cancelled":
        data["cancelled_at"] = timestamp(message.cancelled_at)
    return data


def error_of(message: MessageRow) -> dict[str, Any] | None:
    """Return the `error` of an event, in the default language; `SMS_SEND_TIMEOUT` is written `TIMEOUT`."""
    code = message.error_code
    if code is None:
        return None
    found = stored_cause(message.error_detail)
    cause = found.text.plain(DEFAULT) if found.text else None
    if found.source and found.number is not None:
        cause = f"{cause or ''} ({found.source} {found.number})".strip()
    return {
        "code": "TIMEOUT" if code == "SMS_SEND_TIMEOUT" else code,
        "message": FAILURES[code].plain(DEFAULT),
        "details": cause,
    }
