"""POST /v1/sms/send-otp and verify-otp."""

from __future__ import annotations

from litestar import post
from msgspec import UNSET, UnsetType

from appliance.domain import parsing, validation
from appliance.domain.errors import OTP_VALID, OTP_WRONG
from appliance.domain.schemas import OtpBody, VerifyBody
from appliance.domain.views import Moment, OtpAnswer, SuccessResponse
from web.openapi.metadata import IDEMPOTENCY_KEY, documented
from web.request import ApiRequest, CallerDep, ServicesDep


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
    opt=documented(
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
        assert isinstance(earlier, OtpAnswer)  # the fingerprint has the route in it
        return earlier
    return await services.otps.send(
        caller, parsing.read(OtpBody, request.fields, request.reading), idempotency
    )


@post(
    "/sms/verify-otp",
    status_code=200,
    summary="Verify a one-time code",
    tags=["One-time codes"],
    opt=documented(
        body=VerifyBody,
        errors=("INVALID_PHONE_NUMBER", "OTP_NOT_FOUND", "OTP_EXPIRED", "OTP_MAX_ATTEMPTS"),
        example={"otp_id": "otp_1234567890ab", "code": "123456"},
    ),
)
async def verify_otp(request: ApiRequest, caller: CallerDep, services: ServicesDep) -> VerifyAnswer:
    """Verifies a code. A correct code is valid once; three wrong ones invalidate it."""
    verdict = await services.otps.verify(
        caller, parsing.read(VerifyBody, request.fields, request.reading)
    )
    words = OTP_VALID if verdict.valid else OTP_WRONG
    return VerifyAnswer(
        valid=verdict.valid,
        message=words.plain(request.language),
        verified_at=UNSET if verdict.verified_at is None else validation.utc(verdict.verified_at),
        attempts_remaining=(
            UNSET if verdict.attempts_remaining is None else verdict.attempts_remaining
        ),
    )
