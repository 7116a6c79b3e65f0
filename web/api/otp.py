"""POST /v1/sms/send-otp and verify-otp."""

from __future__ import annotations

from litestar import post
from msgspec import UNSET, UnsetType

from appliance.domain import validation, views
from appliance.domain.errors import OTP_VALID, OTP_WRONG
from appliance.domain.schemas import OtpBody, VerifyBody
from web.openapi.metadata import IDEMPOTENCY_KEY, told
from web.request import ApiRequest, CallerDep, ServicesDep
from web.responses import Moment, SuccessResponse, moment


class OtpAnswer(SuccessResponse, frozen=True, kw_only=True):
    """The code is queued."""

    otp_id: str
    to: str
    expires_at: Moment
    message_id: str
    status: str = "queued"
    phone_masked: str
    code_length: int


class VerifyAnswer(SuccessResponse, frozen=True, kw_only=True):
    """Whether the code is correct: with `verified_at`, or with the attempts left."""

    valid: bool
    message: str
    verified_at: Moment | UnsetType = UNSET
    attempts_remaining: int | UnsetType = UNSET


@post(
    "/sms/send-otp",
    status_code=202,
    summary="Send a one-time code",
    tags=["One-time codes"],
    opt=told(
        body=OtpBody,
        errors=(
            *("INVALID_PHONE_NUMBER", "MESSAGE_TOO_LONG", "INVALID_WEBHOOK_URL", "OTP_RATE_LIMIT"),
            *("IDEMPOTENCY_CONFLICT", "BLOCKED_NUMBER", "QUEUE_FULL", "QUOTA_EXCEEDED"),
            *("DEVICE_OFFLINE", "NO_DEVICE_AVAILABLE"),
        ),
        headers=(IDEMPOTENCY_KEY,),
        example={"to": "+33612345678", "length": 6, "expiry": 300},
    ),
)
async def send_otp(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> OtpAnswer:
    """Creates and sends a code with priority 1. The code leaves the box only by SMS."""
    idempotency = request.idempotency
    if idempotency and (earlier := services.intake.earlier(caller, idempotency)):
        assert isinstance(earlier, views.OtpAccepted)  # the fingerprint has the route in it
        return _accepted(earlier)
    return _accepted(await services.otps.send(caller, request.read(OtpBody), idempotency))


def _accepted(value: views.OtpAccepted) -> OtpAnswer:
    return OtpAnswer(
        otp_id=value.otp_id,
        to=value.to,
        expires_at=moment(value.expires_at),
        message_id=value.message_id,
        phone_masked=validation.mask_phone(value.to),
        code_length=value.code_length,
    )


@post(
    "/sms/verify-otp",
    status_code=200,
    summary="Verify a one-time code",
    tags=["One-time codes"],
    opt=told(
        body=VerifyBody,
        errors=("INVALID_PHONE_NUMBER", "OTP_NOT_FOUND", "OTP_EXPIRED", "OTP_MAX_ATTEMPTS"),
        example={"otp_id": "otp_1234567890ab", "code": "123456"},
    ),
)
async def verify_otp(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> VerifyAnswer:
    """Verifies a code. A correct code is valid once; three wrong ones invalidate it."""
    verdict = await services.otps.verify(caller, request.read(VerifyBody))
    words = OTP_VALID if verdict.valid else OTP_WRONG
    return VerifyAnswer(
        valid=verdict.valid,
        message=words.plain(request.language),
        verified_at=UNSET if verdict.verified_at is None else moment(verdict.verified_at),
        attempts_remaining=(
            UNSET if verdict.attempts_remaining is None else verdict.attempts_remaining
        ),
    )
