"""Messages to send that come by MQTT: what they mean, which of them are the same, and what is answered."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
import structlog

from appliance.core.i18n import _
from appliance.domain import parsing
from appliance.domain.errors import ApiError, Reason, invalid
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import BulkBody, Reading, SendBody
from appliance.domain.validation import timestamp
from appliance.domain.views import AcceptedAnswer, BulkAccepted, Caller, Permissions
from appliance.mqtt.packets import Publish
from appliance.services import Services
from appliance.store.database import StorageFull

log = structlog.get_logger(__name__)

Json = dict[str, Any]
_ID = re.compile(r"[!-~]{1,200}", re.ASCII)


class MqttCommands:
    """Queues what is published to BASE/send and BASE/notify; the answer says what became of it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._box = services.context
        self._settings = services.context.config.mqtt

    async def client(self) -> int:
        """Return the number of the client that the messages are of."""
        if self._settings.client:
            return int(self._settings.client.removeprefix("client_"))
        return await self._services.admin.clients.first()

    async def answer(self, message: Publish, session: int) -> Json:
        """Queue the message of a command in one commit; return the answer, which says so or why not.

        `session` numbers the sessions of the broker: a packet id means nothing in another one.
        """
        given: Json = {}
        try:
            body = self._body(message, given)
            if message.retain:
                raise invalid(
                    "retain", _("must not be set: a retained command would be sent again")
                )
            return {**given, **await self._accept(body, given.get("id"), message, session)}
        except ApiError as refusal:
            return {**given, **self._refusal(refusal.reason)}
        except StorageFull:
            return {**given, **self._refusal(Reason("STORAGE_FULL"))}
        except Exception:
            # Whatever it is, the broker must not repeat it for ever.
            log.exception("mqtt_command_failed")
            return {**given, **self._refusal(Reason("INTERNAL_ERROR"))}

    def _body(self, message: Publish, given: Json) -> Json:
        """Return the fields of a command; put into `given` what the answer repeats."""
        notify = message.topic == f"{self._settings.base_topic}/notify"
        given["topic"] = "notify" if notify else "send"
        if message.payload is None:
            raise ApiError("PAYLOAD_TOO_LARGE")
        if notify:
            return self._notification(message.payload)
        try:
            body = msgspec.json.decode(message.payload)
        except (ValueError, RecursionError) as error:
            raise invalid("body", _("is not valid JSON ({error})", error=str(error))) from None
        if not isinstance(body, dict):
            raise invalid("body", _("must be a JSON object"))
        if (mark := body.pop("id", None)) is not None:
            if (
                isinstance(mark, bool)
                or not isinstance(mark, str | int)
                or not _ID.fullmatch(str(mark))
            ):
                raise invalid("id", _("must be 1 to 200 visible ASCII characters"))
            given["id"] = mark
        return body

    def _notification(self, payload: bytes) -> Json:
        if not self._settings.notify_to:
            raise invalid("to", _("is required: mqtt.notify_to has no number"))
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            raise invalid("message", _("must be UTF-8")) from None
        return {"to": list(self._settings.notify_to), "message": text}

    async def _accept(self, body: Json, mark: object, message: Publish, session: int) -> Json:
        services = self._services
        number = await self.client()
        await services.admin.clients.check_enabled(number)
        permissions = Permissions(
            prefixes=self._settings.prefixes, daily_cap=self._settings.daily_cap or None
        )
        caller = Caller(0, number, f"client_{number}", "live", number * 2, None, permissions)
        once = self._once(body, caller, mark, message, session)
        # Before the rules: a time that was in the future when it was accepted may have passed.
        accepted = services.intake.earlier(caller, once)
        if accepted is None:
            accepted = await self._send(body, caller, once)
        if isinstance(accepted, BulkAccepted):
            return self._accepted_bulk(accepted)
        assert isinstance(accepted, AcceptedAnswer)  # the fingerprint has "mqtt" in it
        return {
            "success": True,
            "message_id": accepted.message_id,
            "status": "queued",
            "to": accepted.to,
            "queued_at": accepted.queued_at,
            "scheduled_at": accepted.scheduled_at,
            "parts": accepted.parts,
        }

    async def _send(
        self, body: Json, caller: Caller, once: Idempotency
    ) -> AcceptedAnswer | BulkAccepted:
        reading = Reading(self._box.clock.now(), self._box.numbers.with_national())
        to = body.get("to")
        if not isinstance(to, list) or len(to) == 1:
            one = {**body, "to": to[0]} if isinstance(to, list) else body
            order = parsing.read(SendBody, one, reading)
            return await self._services.intake.send(caller, order, once)
        fields = {name: value for name, value in body.items() if name not in ("to", "messages")}
        many = parsing.read(BulkBody, {**fields, "recipients": to}, reading)
        return await self._services.intake.send_bulk(caller, parsing.bulk(many, reading), once)

    def _accepted_bulk(self, accepted: BulkAccepted) -> Json:
        return {
            "success": True,
            "queued_at": timestamp(accepted.queued_at),
            "messages": [
                {"message_id": one.message_id, "to": one.to, "status": "queued"}
                if one.error is None
                else {"to": one.to, "status": "failed", "error": self._error(one.error)}
                for one in accepted.messages
            ],
        }

    def _once(
        self, body: Json, caller: Caller, mark: object, message: Publish, session: int
    ) -> Idempotency:
        """Return what makes a repeated command one message (docs/mqtt.md, "The same command twice").

        With an id: that id within 24 hours. Without: the packet that the broker repeats (DUP, MQTT 3.1.1 4.4),
        and an equal command within a short time, because a publisher repeats without a mark.
        """
        written = msgspec.json.encode(["mqtt", caller.client_id, body], order="deterministic")
        fingerprint = hashlib.sha256(written).digest()
        if mark is not None:
            return Idempotency(f"mqtt:{mark}", fingerprint)
        digits = fingerprint.hex()
        equal = Idempotency(
            f"mqtt-text:{digits}", fingerprint, round(self._settings.repeat_seconds * 1000)
        )
        if not message.packet_id:
            return equal
        packet = f"mqtt-packet:{session}:{message.packet_id}:{digits}"
        if message.dup:
            return Idempotency(packet, fingerprint, otherwise=equal)
        return Idempotency(packet, fingerprint, 0, otherwise=equal)  # a packet id is used again

    def _refusal(self, reason: Reason) -> Json:
        return {"success": False, "error": self._error(reason)}

    def _error(self, reason: Reason) -> Json:
        language = self._services.admin.preferences.language
        error: Json = {"code": reason.code, "message": reason.message(language)}
        details = reason.translated_details(language)
        return error if details is None else {**error, "details": details}
