"""API errors: complete, in both languages, and storable."""

from typing import get_args

import msgspec
import pytest

from appliance.core.i18n import Text
from appliance.domain import errors
from appliance.domain.errors import ERROR_SPECS, FAILURES, ApiError, Code, FailureCode, Reason

STATUSES = {
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "INVALID_REQUEST": 400,
    "INTERNAL_ERROR": 500,
    "STORAGE_FULL": 503,
    "MISSING_AUTH_HEADERS": 400,
    "INVALID_API_KEY": 401,
    "INVALID_CLIENT_ID": 401,
    "INVALID_DEVICE_ID": 404,
    "KEY_NOT_ALLOWED": 403,
    "INVALID_PHONE_NUMBER": 400,
    "MESSAGE_TOO_LONG": 400,
    "INVALID_PRIORITY": 400,
    "INVALID_SCHEDULED_DATE": 400,
    "INVALID_WEBHOOK_URL": 400,
    "TOO_MANY_RECIPIENTS": 400,
    "IDEMPOTENCY_CONFLICT": 409,
    "BLOCKED_NUMBER": 403,
    "RATE_LIMIT_EXCEEDED": 429,
    "QUEUE_FULL": 429,
    "QUOTA_EXCEEDED": 429,
    "DEVICE_OFFLINE": 503,
    "NO_DEVICE_AVAILABLE": 503,
    "MESSAGE_NOT_FOUND": 404,
    "CANNOT_CANCEL_MESSAGE": 400,
    "CANNOT_RESEND_MESSAGE": 400,
    "OTP_RATE_LIMIT": 429,
    "OTP_NOT_FOUND": 404,
    "OTP_EXPIRED": 400,
    "OTP_MAX_ATTEMPTS": 429,
    "WEBHOOK_NOT_FOUND": 404,
}


def test_every_code_of_the_contract_has_its_status_and_no_other_code_exists() -> None:
    assert {code: kind.status for code, kind in ERROR_SPECS.items()} == STATUSES
    assert set(get_args(Code)) == set(STATUSES)
    assert set(get_args(FailureCode)) == set(FAILURES)


def test_errors_are_french_unless_english_is_requested() -> None:
    refusal = ApiError("MESSAGE_NOT_FOUND")
    assert refusal.message() == refusal.message("fr") == "Ce message n'existe pas."
    assert refusal.message("en") == "This message does not exist."


def test_documented_error_texts_are_unchanged() -> None:
    assert errors.AUTHENTICATED.plain("fr") == "Authentification réussie"
    assert errors.CANCELLED.plain("fr") == "SMS annulé avec succès"


def test_an_invalid_request_says_in_its_message_which_field_and_why() -> None:
    refusal = errors.invalid("limit", Text("holds more than {most} values", (("most", 9),)))
    assert (refusal.code, refusal.status) == ("INVALID_REQUEST", 400)
    assert refusal.message("fr") == "La requête est invalide : limit, contient plus de 9 valeurs"
    assert refusal.message("en") == "The request is invalid: limit, holds more than 9 values"
    assert refusal.reason.translated_details("fr") == {
        "field": "limit",
        "reason": "contient plus de 9 valeurs",
    }
    assert refusal.reason.translated_details("en") == {
        "field": "limit",
        "reason": "holds more than 9 values",
    }


def test_a_specific_code_keeps_its_sentence_and_names_the_field_in_details() -> None:
    refusal = errors.invalid("to", Text("too short"), "INVALID_PHONE_NUMBER")
    assert refusal.message("en").startswith("The phone number is invalid")
    assert refusal.reason.translated_details("en") == {"field": "to", "reason": "too short"}


def test_a_temporary_error_has_retry_after() -> None:
    refusal = errors.later("RATE_LIMIT_EXCEEDED", 12)
    assert refusal.headers == {"Retry-After": "12"}
    assert refusal.details == {"retry_after": 12}
    assert errors.later("QUEUE_FULL", 0).headers == {"Retry-After": "1"}


def test_a_reason_comes_back_from_storage_in_either_language() -> None:
    reason = errors.invalid("message", Text("must not be empty")).reason
    stored = msgspec.json.decode(msgspec.json.encode(reason), type=Reason)
    assert stored.translated_details("fr") == {
        "field": "message",
        "reason": "ne doit pas être vide",
    }
    assert stored.translated_details("en") == {"field": "message", "reason": "must not be empty"}
    assert stored.message("en") == reason.message("en")


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="no such refusal"):
        ApiError("TEAPOT")  # type: ignore[arg-type]


def test_the_log_names_the_code_and_the_field() -> None:
    assert str(errors.invalid("page", Text("is below 1"))) == (
        "INVALID_REQUEST {'field': 'page', 'reason': 'is below 1'}"
    )
    assert str(ApiError("QUEUE_FULL")) == "QUEUE_FULL"
