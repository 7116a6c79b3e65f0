"""Request bodies: one struct is the JSON Schema of a body and the request that is made of it.

A field has its JSON Schema and its rule in a `Field`; its Python type is that of the value after the rule.
`appliance.domain.parsing` reads bodies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from appliance.core.i18n import _
from appliance.domain import ids, validation
from appliance.domain.errors import invalid
from appliance.domain.phone_numbers import INTERNATIONAL, MOST_CHARACTERS, NumberReader
from appliance.domain.requests import OnUncertain, WebhookEvent
from appliance.domain.validation import SENDER_CHARACTERS

Json = dict[str, Any]

RECIPIENTS = 100
MESSAGES = 1000
SECRET_CHARACTERS = 256
PURPOSE_CHARACTERS = 100
REASON_CHARACTERS = 200
NAME_CHARACTERS = 80  # of a contact
OTP_LENGTH = 6
OTP_EXPIRY_SECONDS = 300


class Reading(msgspec.Struct, frozen=True):
    """What the rules need besides the body."""

    now: int  # epoch milliseconds
    numbers: NumberReader = INTERNATIONAL
    short_codes: bool = False  # whether the key may write to them


# Returns the value of a field, validated and normalised. Raises ApiError, which names the field.
Rule = Callable[[Any, str, Reading], Any]


class Field(msgspec.Struct, frozen=True):
    """How a field of a body is read, and what the API reference says of it."""

    rule: Rule
    schema: Json


def _field(rule: Rule, description: str, example: object, **schema: object) -> Field:
    return Field(rule, {"description": description, "examples": [example], **schema})


# --- rules ---------------------------------------------------------------------------------------


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise invalid(field, _("must be a string"))
    return value


def _integer(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(field, _("must be a whole number"))
    return value


def _list(value: object, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(field, _("must be a list"))
    return value


def _recipient(value: object, field: str, reading: Reading) -> str:
    return reading.numbers.read(value, short_codes=reading.short_codes, field=field)


def _any_number(value: object, field: str, reading: Reading) -> str:
    return reading.numbers.read(value, short_codes=True, field=field)


def _message(value: object, field: str, _reading: Reading) -> str:
    return validation.message(_text(value, field), field)


def _priority(value: object, _field: str, _reading: Reading) -> int:
    return validation.priority(value)


def _metadata(value: object, field: str, _reading: Reading) -> str:
    if not isinstance(value, dict):
        raise invalid(field, _("must be a JSON object"))
    return validation.metadata(value, field)


def _url(value: object, field: str, _reading: Reading) -> str:
    return validation.webhook_url(value, field)


def _scheduled(value: object, _field: str, reading: Reading) -> int:
    return validation.scheduled_at(value, reading.now)


def _whole(least: int, most: int) -> Rule:
    return lambda value, field, _: validation.whole(_integer(value, field), field, least, most)


def _boolean(value: object, field: str, _reading: Reading) -> bool:
    if not isinstance(value, bool):
        raise invalid(field, _("must be true or false"))
    return value


def _on_uncertain(value: object, field: str, _reading: Reading) -> OnUncertain:
    return validation.on_uncertain(_text(value, field))


def _line(most: int) -> Rule:
    return lambda value, field, _: validation.line(_text(value, field), field, most)


def _any_text(value: object, field: str, _reading: Reading) -> str:
    return _text(value, field)


def _any_list(value: object, field: str, _reading: Reading) -> list[Any]:
    return _list(value, field)


def _events(value: object, field: str, _reading: Reading) -> tuple[WebhookEvent, ...]:
    return validation.webhook_events([_text(name, field) for name in _list(value, field)])


# --- fields of more than one body ----------------------------------------------------------------

# No control characters; in a line no line breaks either. ASCII only and `\x` rather than `\u`: generated
# PHP matches octets, and PCRE has no `\u`.
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
LINE_PATTERN = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"


def _line_field(description: str, example: object, most: int, kind: str | list[str]) -> Field:
    return _field(
        _line(most),
        description,
        example,
        minLength=1,
        maxLength=most,
        pattern=LINE_PATTERN,
        type=kind,
    )


_STRING_OR_NULL = ["string", "null"]
_INTEGER_OR_NULL = ["integer", "null"]

_RECIPIENT = _field(
    _recipient,
    "International number: + (or 00), the country code and the rest, 7 to 15 digits. Spaces, "
    "dots, hyphens and other separators are removed, and so is a trunk zero: +33 (0)6 … is "
    "read as +336…, as the country's numbering plan says.",
    "+33612345678",
    type="string",
    minLength=3,
    maxLength=MOST_CHARACTERS,
)
_TEXT = _field(
    _message,
    "1 to 1,600 characters; no control characters except line feed, carriage return and tab.",
    "Bonjour, votre commande est en cours de livraison",
    minLength=1,
    maxLength=validation.MESSAGE_CHARACTERS,
    pattern=TEXT_PATTERN,
    type="string",
)
_METADATA = _field(
    _metadata,
    "Your own JSON object, at most 1,024 bytes and 32 levels; returned by status, history and webhooks.",
    {"order_id": "order_12345"},
    type=["object", "null"],
)
_WEBHOOK_URL = _field(
    _url,
    "Called for this message instead of the configured webhooks. https anywhere, http on the LAN.",
    "https://example.com/sms",
    type=_STRING_OR_NULL,
    format="uri",
    maxLength=validation.URL_CHARACTERS,
)
_PRIORITY = _field(
    _priority,
    "1 (first) to 5, or the name of the level.",
    "normal",
    oneOf=[
        {"type": "string", "enum": ["urgent", "high", "normal", "low", "bulk"]},
        {"type": "integer", "minimum": 1, "maximum": 5},
        {"type": "null"},
    ],
)


# --- bodies --------------------------------------------------------------------------------------


class SendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one SMS, or of all SMS of a bulk."""

    priority: Annotated[int, _PRIORITY] = 3
    webhook_url: Annotated[str | None, _WEBHOOK_URL] = None
    metadata: Annotated[str | None, _METADATA] = None  # compact JSON
    scheduled_at: Annotated[
        int | None,  # epoch milliseconds
        _field(
            _scheduled,
            "ISO 8601, UTC when it has no offset; in the future, at most 30 days ahead.",
            None,
            type=_STRING_OR_NULL,
            format="date-time",
        ),
    ] = None
    retry_attempts: Annotated[
        int,
        _field(
            _whole(1, 5),
            "Maximum number of attempts if the network refuses temporarily.",
            3,
            minimum=1,
            maximum=5,
            type=_INTEGER_OR_NULL,
        ),
    ] = 3
    validity_minutes: Annotated[
        int | None,
        _field(
            _whole(1, validation.VALIDITY_MINUTES),
            "How long the message is worth delivering, in minutes after it is due.",
            1440,
            minimum=1,
            maximum=validation.VALIDITY_MINUTES,
            type=_INTEGER_OR_NULL,
        ),
    ] = None
    flash: Annotated[
        bool,
        _field(
            _boolean,
            "The phone shows it at once and does not store it.",
            False,
            type=["boolean", "null"],
        ),
    ] = False
    on_uncertain: Annotated[
        OnUncertain | None,  # None: the configured default
        _field(
            _on_uncertain,
            "What to do when nobody knows whether the message left.",
            "fail",
            oneOf=[{"type": "string", "enum": ["fail", "resend"]}, {"type": "null"}],
        ),
    ] = None


class SendBody(SendOptions, frozen=True):
    """An SMS to send."""

    to: Annotated[str, _RECIPIENT]  # E.164, or a short code
    message: Annotated[str, _TEXT]


class BulkEntry(msgspec.Struct, frozen=True):
    """A message of a bulk."""

    to: Annotated[str, _RECIPIENT]
    message: Annotated[str, _TEXT]
    metadata: Annotated[str | None, _METADATA] = None
    priority: Annotated[int | None, _PRIORITY] = None


def _entries(kind: str | list[str]) -> Field:
    return _field(
        _any_list,
        "The messages, at most 1,000. A refused one keeps its place, and the others are sent.",
        [{"to": "+33612345678", "message": "Bonjour Alice"}],
        items={"$ref": "#/components/schemas/BulkEntry"},
        minItems=1,
        maxItems=MESSAGES,
        type=kind,
    )


class BulkBody(SendOptions, frozen=True, kw_only=True):
    """Many SMS: `recipients` with one `message`, or `messages`."""

    recipients: Annotated[
        list[Any] | None,
        _field(
            _any_list,
            "The recipients of `message`, at most 100. A number that occurs twice gets one SMS.",
            ["+33612345678", "+33698765432"],
            items={"type": "string"},
            minItems=1,
            maxItems=RECIPIENTS,
            type=["array", "null"],
        ),
    ] = None
    message: Annotated[
        str | None,
        _field(
            _any_text,
            "The text for all `recipients`.",
            "Bonjour",
            minLength=1,
            maxLength=validation.MESSAGE_CHARACTERS,
            pattern=TEXT_PATTERN,
            type=_STRING_OR_NULL,
        ),
    ] = None
    messages: Annotated[list[Any] | None, _entries(["array", "null"])] = None


class PersonalizedBody(SendOptions, frozen=True, kw_only=True):
    """Many SMS with individual texts."""

    messages: Annotated[list[Any], _entries("array")]


def _digits(description: str) -> Field:
    return _field(_whole(4, 8), description, 6, minimum=4, maximum=8, type=_INTEGER_OR_NULL)


class OtpBody(msgspec.Struct, frozen=True):
    """A one-time code to send."""

    to: Annotated[str, _RECIPIENT]
    length: Annotated[int | None, _digits("Digits of the code (also `code_length`).")] = None
    code_length: Annotated[int | None, _digits("The same as `length`.")] = None
    expiry: Annotated[
        int | None,
        _field(
            _whole(60, 1800),
            "Seconds until the code expires (or use `expiry_minutes`).",
            300,
            minimum=60,
            maximum=1800,
            type=_INTEGER_OR_NULL,
        ),
    ] = None
    expiry_minutes: Annotated[
        int | None,
        _field(
            _whole(1, 30),
            "Minutes until the code expires.",
            5,
            minimum=1,
            maximum=30,
            type=_INTEGER_OR_NULL,
        ),
    ] = None
    template: Annotated[
        str,
        _field(
            _any_text,
            "The text, with {{code}} or {code} in place of the code.",
            validation.OTP_TEMPLATE,
            pattern=r"\{code\}",
            type=_STRING_OR_NULL,
        ),
    ] = validation.OTP_TEMPLATE
    purpose: Annotated[
        str | None,
        _line_field("What the code is for.", "login", PURPOSE_CHARACTERS, _STRING_OR_NULL),
    ] = None
    metadata: Annotated[str | None, _METADATA] = None
    webhook_url: Annotated[str | None, _WEBHOOK_URL] = None

    def __post_init__(self) -> None:
        """Check what fields say together. Raises INVALID_REQUEST, MESSAGE_TOO_LONG."""
        validation.otp_template(self.template, self.digits)
        self.lifetime_seconds  # noqa: B018 - raises

    @property
    def digits(self) -> int:
        """The number of digits of the code."""
        given = validation.one_of_two(("length", self.length), ("code_length", self.code_length))
        return OTP_LENGTH if given is None else given

    @property
    def lifetime_seconds(self) -> int:
        """How long the code is valid."""
        minutes = None if self.expiry_minutes is None else self.expiry_minutes * 60
        given = validation.one_of_two(("expiry", self.expiry), ("expiry_minutes", minutes))
        return OTP_EXPIRY_SECONDS if given is None else given


class VerifyBody(msgspec.Struct, frozen=True):
    """A one-time code, as typed."""

    otp_id: Annotated[
        str, _line_field("The id from the answer of send-otp.", "otp_1234567890ab", 64, "string")
    ]
    code: Annotated[str, _line_field("The code as typed.", "123456", 64, "string")]
    phone: Annotated[
        str | None,
        _field(
            _any_number,
            "The number that the code was sent to.",
            "+33612345678",
            type=_STRING_OR_NULL,
            minLength=3,
            maxLength=MOST_CHARACTERS,
        ),
    ] = None


class WebhookBody(msgspec.Struct, frozen=True):
    """A webhook to configure."""

    url: Annotated[
        str,
        _field(
            _url,
            "https anywhere, http on the LAN; never the box itself.",
            "https://example.com/sms",
            type="string",
            format="uri",
            maxLength=validation.URL_CHARACTERS,
        ),
    ]
    events: Annotated[
        tuple[WebhookEvent, ...],
        _field(
            _events,
            "The events to be notified of, at least one.",
            ["sms.sent", "sms.delivered", "sms.failed"],
            items={"type": "string"},
            minItems=1,
            type="array",
        ),
    ]
    secret: Annotated[
        str | None,  # None: the box creates one
        _line_field(
            "Your own signing secret. By default the box creates one.",
            None,
            SECRET_CHARACTERS,
            _STRING_OR_NULL,
        ),
    ] = None


class AlertsBody(msgspec.Struct, frozen=True):
    """The body that the monitoring program sends: Alertmanager's and Grafana's webhook, Uptime Kuma's as JSON, or
    the one of docs/alerts.md for Zabbix, Healthchecks and Gatus."""


def _sender(value: object, field: str, reading: Reading) -> str:
    found = validation.sender_filter(_text(value, field), reading.numbers, field)
    if found is None:
        raise invalid(field, _("must not be empty"))
    return found


def _inbox_id(value: object, field: str, _reading: Reading) -> int:
    number = ids.parse("inbox", _text(value, field))
    if number is None:
        raise invalid(field, _("must be an id such as {example}", example="inbox_067a1b2c3d42"))
    return number


class ReadBody(msgspec.Struct, frozen=True):
    """A conversation whose received texts were read."""

    number: Annotated[
        str,
        _field(
            _sender,
            "The number, or the name of the sender as received.",
            "+33612345678",
            type="string",
            minLength=1,
            maxLength=SENDER_CHARACTERS,
            pattern=LINE_PATTERN,
        ),
    ]
    up_to: Annotated[
        int | None,
        _field(
            _inbox_id,
            "The last text that was read. Later ones stay unread; without it all are read.",
            "inbox_067a1b2c3d42",
            type=_STRING_OR_NULL,
            pattern="^inbox_[0-9a-f]{12}$",
        ),
    ] = None


class ContactBody(msgspec.Struct, frozen=True):
    """A name for a number."""

    name: Annotated[
        str,
        _line_field(
            "The name of the person or firm.", "Boulangerie Martin", NAME_CHARACTERS, "string"
        ),
    ]


class BlockBody(msgspec.Struct, frozen=True):
    """A number to put on the block list."""

    number: Annotated[
        str,
        _field(
            _any_number,
            "International number, or a short code of 3 to 8 digits.",
            "+33612345678",
            type="string",
            minLength=3,
            maxLength=MOST_CHARACTERS,
        ),
    ]
    reason: Annotated[
        str | None,
        _line_field("A note of your own.", "opt-out", REASON_CHARACTERS, _STRING_OR_NULL),
    ] = None
