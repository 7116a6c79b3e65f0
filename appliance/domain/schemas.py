"""Request schemas, with their descriptions for the API reference.

A field is `Any` if its errors have codes of their own; msgspec checks the others.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from appliance.core import i18n
from appliance.core.i18n import _
from appliance.domain import validation
from appliance.domain.errors import ApiError, invalid
from appliance.domain.phone_numbers import MOST_CHARACTERS
from appliance.domain.requests import WebhookEvent

Json = dict[str, Any]
Body = TypeVar("Body", bound=msgspec.Struct)

RECIPIENTS = 100
MESSAGES = 1000
SECRET_CHARACTERS = 256
PURPOSE_CHARACTERS = 100
REASON_CHARACTERS = 200
OTP_LENGTH = 6
OTP_EXPIRY_SECONDS = 300

# Descriptions for the reference; `rules` decides what is valid. Constraints of msgspec would answer
# with other codes.


def _told(description: str, example: object, **schema: object) -> Meta:
    return Meta(description=description, examples=[example], extra_json_schema=dict(schema))


# No control characters; in a line no line breaks either. ASCII only and `\x` rather than `\u`: generated
# PHP matches octets, and PCRE has no `\u`.
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
LINE_PATTERN = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"


def _line(description: str, example: object, most: int) -> Meta:
    return _told(description, example, minLength=1, maxLength=most, pattern=LINE_PATTERN)


Recipient = Annotated[
    Any,
    _told(
        "International number: + (or 00), the country code and the rest, 7 to 15 digits. Spaces, "
        "dots, hyphens and other separators are removed, and so is a trunk zero: +33 (0)6 … is "
        "read as +336…, as the country's numbering plan says.",
        "+33612345678",
        type="string",
        minLength=3,
        maxLength=MOST_CHARACTERS,
    ),
]
Text = Annotated[
    str,
    _told(
        "1 to 1,600 characters; no control characters except line feed, carriage return and tab.",
        "Bonjour, votre commande est en cours de livraison",
        minLength=1,
        maxLength=validation.MESSAGE_CHARACTERS,
        pattern=TEXT_PATTERN,
    ),
]
Priority = Annotated[
    Any,
    _told(
        "1 (first) to 5, or the name of the level.",
        "normal",
        oneOf=[
            {"type": "string", "enum": ["urgent", "high", "normal", "low", "bulk"]},
            {"type": "integer", "minimum": 1, "maximum": 5},
            {"type": "null"},
        ],
        default=3,
    ),
]
Metadata = Annotated[
    Json | None,
    _told(
        "Your own JSON object, at most 1,024 bytes and 32 levels; returned by status, history and webhooks.",
        {"order_id": "order_12345"},
    ),
]
Hook = Annotated[
    Any,
    _told(
        "Called for this message instead of the configured webhooks. https anywhere, http on the LAN.",
        "https://example.com/sms",
        type=["string", "null"],
        format="uri",
        maxLength=validation.URL_CHARACTERS,
    ),
]
Schedule = Annotated[
    Any,
    _told(
        "ISO 8601, UTC when it has no offset; in the future, at most 30 days ahead.",
        None,
        type=["string", "null"],
        format="date-time",
    ),
]
Attempts = Annotated[
    int | None,
    _told(
        "Maximum number of attempts if the network refuses temporarily.",
        3,
        minimum=1,
        maximum=5,
        default=3,
    ),
]
Validity = Annotated[
    int | None,
    _told(
        "How long the message is worth delivering, in minutes after it is due.",
        1440,
        minimum=1,
        maximum=validation.VALIDITY_MINUTES,
    ),
]
Flash = Annotated[bool | None, _told("The phone shows it at once and does not store it.", False)]
Uncertain = Annotated[
    str | None,
    _told(
        "What to do when nobody knows whether the message left.",
        "fail",
        enum=["fail", "resend", None],
    ),
]


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one SMS, or of all SMS of a bulk."""

    priority: Priority = None
    webhook_url: Hook = None
    metadata: Metadata = None
    scheduled_at: Schedule = None
    retry_attempts: Attempts = None
    validity_minutes: Validity = None
    flash: Flash = None
    on_uncertain: Uncertain = None


class SendBody(Common, frozen=True, kw_only=True):
    """An SMS to send."""

    to: Recipient
    message: Text


class BulkEntry(msgspec.Struct, frozen=True):
    """A message of a bulk."""

    to: Recipient
    message: Text
    metadata: Metadata = None
    priority: Priority = None


Entries = _told(
    "The messages, at most 1,000. A refused one keeps its place, and the others are sent.",
    [{"to": "+33612345678", "message": "Bonjour Alice"}],
    items={"$ref": "#/components/schemas/BulkEntry"},
    minItems=1,
    maxItems=MESSAGES,
)


class BulkBody(Common, frozen=True, kw_only=True):
    """Many SMS: `recipients` with one `message`, or `messages`."""

    recipients: Annotated[
        list[Any] | None,
        _told(
            "The recipients of `message`, at most 100. A number that occurs twice gets one SMS.",
            ["+33612345678", "+33698765432"],
            items={"type": "string"},
            minItems=1,
            maxItems=RECIPIENTS,
        ),
    ] = None
    message: Annotated[
        str | None,
        _told(
            "The text for all `recipients`.",
            "Bonjour",
            minLength=1,
            maxLength=validation.MESSAGE_CHARACTERS,
            pattern=TEXT_PATTERN,
        ),
    ] = None
    messages: Annotated[list[Any] | None, Entries] = None


class PersonalizedBody(Common, frozen=True, kw_only=True):
    """Many SMS with individual texts."""

    messages: Annotated[list[Any], Entries]


class OtpBody(msgspec.Struct, frozen=True):
    """A one-time code to send."""

    to: Recipient
    length: Annotated[
        int | None, _told("Digits of the code (also `code_length`).", 6, minimum=4, maximum=8)
    ] = None
    code_length: Annotated[int | None, _told("The same as `length`.", 6, minimum=4, maximum=8)] = (
        None
    )
    expiry: Annotated[
        int | None,
        _told(
            "Seconds until the code expires (or use `expiry_minutes`).",
            300,
            minimum=60,
            maximum=1800,
        ),
    ] = None
    expiry_minutes: Annotated[
        int | None, _told("Minutes until the code expires.", 5, minimum=1, maximum=30)
    ] = None
    template: Annotated[
        str | None,
        _told(
            "The text, with {{code}} or {code} in place of the code.",
            validation.OTP_TEMPLATE,
            pattern=r"\{code\}",
        ),
    ] = None
    purpose: Annotated[
        str | None,
        _line("What the code is for.", "login", PURPOSE_CHARACTERS),
    ] = None
    metadata: Metadata = None
    webhook_url: Hook = None


class VerifyBody(msgspec.Struct, frozen=True):
    """A one-time code, as typed."""

    otp_id: Annotated[str, _line("The id from the answer of send-otp.", "otp_1234567890ab", 64)]
    code: Annotated[str, _line("The code as typed.", "123456", 64)]
    phone: Annotated[
        Any,
        _told(
            "The number that the code was sent to.",
            "+33612345678",
            type=["string", "null"],
            minLength=3,
            maxLength=MOST_CHARACTERS,
        ),
    ] = None


class WebhookBody(msgspec.Struct, frozen=True):
    """A webhook to configure."""

    url: Annotated[
        Any,
        _told(
            "https anywhere, http on the LAN; never the box itself.",
            "https://example.com/sms",
            type="string",
            format="uri",
            maxLength=validation.URL_CHARACTERS,
        ),
    ]
    events: Annotated[
        list[str],
        _told(
            "The events to be notified of, at least one.",
            ["sms.sent", "sms.delivered", "sms.failed"],
            items={"enum": list(get_args(WebhookEvent))},
            minItems=1,
        ),
    ]
    secret: Annotated[
        str | None,
        _line("Your own signing secret. By default the box creates one.", None, SECRET_CHARACTERS),
    ] = None


class BlockBody(msgspec.Struct, frozen=True):
    """A number to put on the block list."""

    number: Annotated[
        Any,
        _told(
            "International number, or a short code of 3 to 8 digits.",
            "+33612345678",
            type="string",
            minLength=3,
            maxLength=MOST_CHARACTERS,
        ),
    ]
    reason: Annotated[
        str | None,
        _line("A note of your own.", "opt-out", REASON_CHARACTERS),
    ] = None


_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<got>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<place>[^`]*)`$")


def taken(value: object, kind: type[Body]) -> Body:
    """Convert decoded JSON to a request schema. Raises INVALID_REQUEST, which names field and reason."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _ill_typed(str(error)) from None


def _ill_typed(told: str) -> ApiError:
    """Translate an error of msgspec."""
    place = _PLACE.search(told)
    field = place["place"] if place else ""
    if missing := _MISSING.search(told):
        return invalid(f"{field}.{missing['field']}".lstrip("."), _("is required"))
    found = _EXPECTED.search(told)
    if found is None:  # a text of msgspec's that this does not know: still true, only in English
        return invalid(field or "body", i18n.Text(told))
    expected, got = found["expected"].replace(" | null", ""), found["got"]
    return invalid(
        field or "body", _("should be {expected}, got {got}", expected=expected, got=got)
    )
