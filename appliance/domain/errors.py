"""Every error of the API: code, status and text; and the texts of successes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from appliance.core.i18n import DEFAULT, Language, Text, _

Code = Literal[
    # of the server
    "INVALID_REQUEST",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "INTERNAL_ERROR",
    "STORAGE_FULL",
    # authentication
    "MISSING_AUTH_HEADERS",
    "INVALID_API_KEY",
    "INVALID_CLIENT_ID",
    "INVALID_DEVICE_ID",
    "KEY_NOT_ALLOWED",
    # sending
    "INVALID_PHONE_NUMBER",
    "MESSAGE_TOO_LONG",
    "INVALID_PRIORITY",
    "INVALID_SCHEDULED_DATE",
    "INVALID_WEBHOOK_URL",
    "TOO_MANY_RECIPIENTS",
    "IDEMPOTENCY_CONFLICT",
    "BLOCKED_NUMBER",
    "RATE_LIMIT_EXCEEDED",
    "QUEUE_FULL",
    "QUOTA_EXCEEDED",
    "DEVICE_OFFLINE",
    "NO_DEVICE_AVAILABLE",
    # tracking
    "MESSAGE_NOT_FOUND",
    "CANNOT_CANCEL_MESSAGE",
    "CANNOT_RESEND_MESSAGE",
    # one-time codes
    "OTP_RATE_LIMIT",
    "OTP_NOT_FOUND",
    "OTP_EXPIRED",
    "OTP_MAX_ATTEMPTS",
    # webhooks
    "WEBHOOK_NOT_FOUND",
]

FailureCode = Literal[
    "NETWORK_ERROR",
    "NO_CREDIT",
    "BLOCKED_NUMBER",
    "INVALID_NUMBER",
    "SMS_SEND_TIMEOUT",
    "DEVICE_ERROR",
]


class ErrorSpec(msgspec.Struct, frozen=True):
    """The specification of an error code: its HTTP status and its text."""

    status: int
    text: Text


ERROR_SPECS: dict[Code, ErrorSpec] = {
    "INVALID_REQUEST": ErrorSpec(400, _("The request is invalid.")),
    "NOT_FOUND": ErrorSpec(404, _("There is nothing at this address.")),
    "METHOD_NOT_ALLOWED": ErrorSpec(
        405,
        _("This HTTP method is not allowed at this address."),
    ),
    "PAYLOAD_TOO_LARGE": ErrorSpec(
        413,
        _("The body of the request is too large."),
    ),
    "UNSUPPORTED_MEDIA_TYPE": ErrorSpec(
        415,
        _("The body of the request must be JSON (Content-Type: application/json)."),
    ),
    "INTERNAL_ERROR": ErrorSpec(
        500,
        _("An internal error occurred. It was recorded in the log of the box."),
    ),
    "STORAGE_FULL": ErrorSpec(
        503,
        _("The storage of the box is full or failing: nothing was kept."),
    ),
    "MISSING_AUTH_HEADERS": ErrorSpec(
        400,
        _("The authentication headers X-API-Key and X-Client-ID are required."),
    ),
    "INVALID_API_KEY": ErrorSpec(
        401,
        _("The API key is unknown, revoked or expired."),
    ),
    "INVALID_CLIENT_ID": ErrorSpec(
        401,
        _("The client id is unknown or does not match this API key."),
    ),
    "INVALID_DEVICE_ID": ErrorSpec(
        404,
        _("This device does not exist or is not assigned to you."),
    ),
    "KEY_NOT_ALLOWED": ErrorSpec(
        403,
        _("This API key is not allowed to do this."),
    ),
    "INVALID_PHONE_NUMBER": ErrorSpec(
        400,
        _(
            "The phone number is invalid: it must be in international format, for example "
            "+33612345678."
        ),
    ),
    "MESSAGE_TOO_LONG": ErrorSpec(
        400,
        _("The message is longer than 1600 characters."),
    ),
    "INVALID_PRIORITY": ErrorSpec(
        400,
        _("The priority is invalid: use 1 to 5, or urgent, high, normal, low, bulk."),
    ),
    "INVALID_SCHEDULED_DATE": ErrorSpec(
        400,
        _(
            "The scheduled date is invalid: it must be ISO 8601, in the future and at most 30 "
            "days ahead."
        ),
    ),
    "INVALID_WEBHOOK_URL": ErrorSpec(
        400,
        _("The webhook URL is invalid or not allowed."),
    ),
    "TOO_MANY_RECIPIENTS": ErrorSpec(
        400,
        _("The bulk request has too many recipients."),
    ),
    "IDEMPOTENCY_CONFLICT": ErrorSpec(
        409,
        _("This idempotency key was already used for a different request."),
    ),
    "BLOCKED_NUMBER": ErrorSpec(
        403,
        _("This number is blocked or has opted out: no SMS is sent to it."),
    ),
    "RATE_LIMIT_EXCEEDED": ErrorSpec(
        429,
        _("Too many requests. Try again in a moment."),
    ),
    "QUEUE_FULL": ErrorSpec(
        429,
        _("The queue is full. Try again when some messages have left."),
    ),
    "QUOTA_EXCEEDED": ErrorSpec(
        429,
        _("The sending limit is reached: this message could not leave in time."),
    ),
    "DEVICE_OFFLINE": ErrorSpec(
        503,
        _("The requested device has been offline for too long."),
    ),
    "NO_DEVICE_AVAILABLE": ErrorSpec(
        503,
        _("No device is available to send this message."),
    ),
    "MESSAGE_NOT_FOUND": ErrorSpec(404, _("This message does not exist.")),
    "CANNOT_CANCEL_MESSAGE": ErrorSpec(
        400,
        _("This message can no longer be cancelled: its sending has begun or it is already over."),
    ),
    "CANNOT_RESEND_MESSAGE": ErrorSpec(
        400,
        _(
            "This message cannot be resent: only a failed message can, and never a verification "
            "code."
        ),
    ),
    "OTP_RATE_LIMIT": ErrorSpec(
        429,
        _("Too many verification codes were requested for this number. Try again later."),
    ),
    "OTP_NOT_FOUND": ErrorSpec(
        404,
        _("This verification code does not exist or was already used."),
    ),
    "OTP_EXPIRED": ErrorSpec(
        400,
        _("The verification code has expired. Request a new one."),
    ),
    "OTP_MAX_ATTEMPTS": ErrorSpec(
        429,
        _("The maximum number of attempts is reached. Request a new code."),
    ),
    "WEBHOOK_NOT_FOUND": ErrorSpec(404, _("This webhook does not exist.")),
}

# `error.code` of a failed message (docs/api-contract.md, "Errors while sending").
FAILURES: dict[FailureCode, Text] = {
    "NETWORK_ERROR": _("The mobile network refused the message or could not deliver it."),
    "NO_CREDIT": _("The credit of the SIM card is used up."),
    "BLOCKED_NUMBER": _("This number is blocked or has opted out."),
    "INVALID_NUMBER": _("This number is not in use."),
    "SMS_SEND_TIMEOUT": _("The message could not be sent or confirmed in time."),
    "DEVICE_ERROR": _("The modem or its SIM card could not send the message."),
}

# The texts of successes.
AUTHENTICATED = _("Authentication successful")
CANCELLED = _("SMS cancelled successfully")
OTP_VALID = _("Code verified successfully")
OTP_WRONG = _("Incorrect code")
WEBHOOK_ANSWERED = _("The webhook answered successfully")


class Reason(msgspec.Struct, frozen=True):
    """An error as a value, which can be stored and shown in any language."""

    code: Code
    details: Mapping[str, object] | None = None

    @property
    def status(self) -> int:
        """The HTTP status of this code."""
        return ERROR_SPECS[self.code].status

    @property
    def text(self) -> Text:
        """The text of this code; for INVALID_REQUEST with the field and the reason."""
        details = _loaded(self.details or {})
        reason, field = details.get("reason"), details.get("field")
        if self.code != "INVALID_REQUEST" or not isinstance(reason, str | Text):
            return ERROR_SPECS[self.code].text
        if field is None:
            return _("The request is invalid: {reason}", reason=reason)
        return _("The request is invalid: {field}, {reason}", field=str(field), reason=reason)

    def message(self, language: Language = DEFAULT) -> str:
        """Return the text in `language`."""
        return self.text.plain(language)

    def translated_details(self, language: Language = DEFAULT) -> dict[str, object] | None:
        """Return the details with their texts in `language`."""
        if self.details is None:
            return None
        return {
            name: value.plain(language) if isinstance(value, Text) else value
            for name, value in _loaded(self.details).items()
        }


def _loaded(details: Mapping[str, object]) -> dict[str, object]:
    """Return the details of a reason, also of a stored one, such as of an idempotent answer."""
    return {
        name: msgspec.convert(value, Text)
        if isinstance(value, Mapping) and "msgid" in value
        else value
        for name, value in details.items()
    }


class ApiError(Exception):
    """An error of the API, answered with its code, status and text."""

    def __init__(
        self,
        code: Code,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if code not in ERROR_SPECS:
            raise ValueError(f"no such refusal: {code}")
        super().__init__(code)
        self.reason = Reason(code, details)
        self.headers: dict[str, str] = dict(headers or {})

    @property
    def code(self) -> Code:
        return self.reason.code

    @property
    def status(self) -> int:
        return self.reason.status

    @property
    def details(self) -> Mapping[str, object] | None:
        return self.reason.details

    def message(self, language: Language = DEFAULT) -> str:
        """Return the text for people."""
        return self.reason.message(language)

    def __str__(self) -> str:
        return f"{self.code} {self.reason.translated_details('en') or ''}".rstrip()


def invalid(field: str, reason: Text, code: Code = "INVALID_REQUEST") -> ApiError:
    """Return an error of one field; `details` has its name and the reason."""
    return ApiError(code, {"field": field, "reason": reason})


def later(code: Code, seconds: int, details: Mapping[str, object] | None = None) -> ApiError:
    """Return a temporary error; `Retry-After` says when to retry, in seconds."""
    wait = max(1, seconds)
    return ApiError(code, {**(details or {}), "retry_after": wait}, {"Retry-After": str(wait)})
