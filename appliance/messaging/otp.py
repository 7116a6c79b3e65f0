"""One-time passwords: created from a secure random source, masked everywhere except in the SMS."""

from __future__ import annotations

import hmac
import math
import secrets
from sqlite3 import Connection

from appliance.context import Context
from appliance.domain import ids, validation
from appliance.domain.errors import ApiError, later
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import OtpBody, SendBody, VerifyBody
from appliance.domain.views import Caller, OtpAnswer, OtpVerdict
from appliance.messaging.admission import Route
from appliance.messaging.intake import Intake
from appliance.store import otp

ATTEMPTS = 3
MASK = "•"


def new_code(length: int, *, test: bool) -> str:
    """Return random digits; for test keys always `123456…`, cut to the length."""
    if test:
        return "12345678"[:length]
    return "".join(secrets.choice("0123456789") for _ in range(length))


class OneTimePasswords:
    """Creates, sends and verifies one-time passwords."""

    def __init__(self, box: Context, intake: Intake) -> None:
        self._box = box
        self._intake = intake

    async def send(
        self, caller: Caller, order: OtpBody, idempotency: Idempotency | None
    ) -> OtpAnswer:
        """Create and queue a code with priority 1. Raises OTP_RATE_LIMIT and what a send raises."""
        self._intake.check_webhook(order.webhook_url)
        self._intake.check_storage()
        sms = SendBody(
            to=order.to,
            message=validation.otp_text(order.template, MASK * order.digits),
            priority=1,
            metadata=order.metadata,
            webhook_url=order.webhook_url,
        )
        self._intake.check_permission(caller, sms.to)
        route = await self._intake.route(caller, scheduled=False)
        accepted = await self._intake.once(
            caller, idempotency, lambda db: self._send(db, caller, order, sms, route), due=True
        )
        self._box.wakeups.work()
        return accepted

    def _send(
        self,
        db: Connection,
        caller: Caller,
        order: OtpBody,
        sms: SendBody,
        route: Route,
    ) -> OtpAnswer:
        now = self._box.clock.now()
        test = caller.mode == "test"
        if wait := otp.wait(db, test, order.to, self._box.config.otp.per_hour, now):
            raise later("OTP_RATE_LIMIT", math.ceil(wait / 1000))
        number = self._box.ids.other(now)
        code = new_code(order.digits, test=test)
        expires_at = now + order.lifetime_seconds * 1000
        taken = self._intake.take(
            db,
            caller,
            sms,
            route,
            now,
            kind="otp",
            expires_at=expires_at,
            secret_text=validation.otp_text(order.template, code),
        )
        message = ids.parse("msg", taken.message_id)
        assert message is not None
        code_hash = self._box.encryption.code_hash(number, code)
        otp.add(
            db,
            number,
            caller.tenant,
            message,
            order.to,
            code_hash,
            ATTEMPTS,
            expires_at,
            order.purpose,
            now,
        )
        return OtpAnswer(
            otp_id=ids.short_id("otp", number),
            message_id=taken.message_id,
            to=order.to,
            expires_at=validation.utc(expires_at),
            phone_masked=validation.mask_phone(order.to),
            code_length=order.digits,
        )

    async def verify(self, caller: Caller, order: VerifyBody) -> OtpVerdict:
        """Verify a code, valid once, with three attempts. Raises OTP_NOT_FOUND, OTP_EXPIRED, OTP_MAX_ATTEMPTS."""
        await self._box.clock_jumps.adjust()
        # The attempt must be committed, so an error is returned as a value and raised here.
        found = await self._box.db.write(self._verify, caller, order)
        if isinstance(found, ApiError):
            raise found
        return found

    def _verify(self, db: Connection, caller: Caller, order: VerifyBody) -> OtpVerdict | ApiError:
        now = self._box.clock.now()
        number = ids.parse("otp", order.otp_id)
        row = otp.get(db, caller.tenant, number) if number is not None else None
        if row is None or row.verified_at is not None:
            return ApiError("OTP_NOT_FOUND")
        if order.phone is not None and order.phone != row.recipient:
            return ApiError("OTP_NOT_FOUND")
        if now >= row.expires_at:
            return ApiError("OTP_EXPIRED")
        if row.attempts_left <= 0:
            return ApiError("OTP_MAX_ATTEMPTS")
        if hmac.compare_digest(row.code_hash, self._box.encryption.code_hash(row.id, order.code)):
            otp.verified(db, row.id, now)
            return OtpVerdict(True, verified_at=now)
        otp.spend_attempt(db, row.id)
        return OtpVerdict(False, attempts_remaining=row.attempts_left - 1)
