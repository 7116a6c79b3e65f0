"""Metadata of an operation beyond its types, kept in the `opt` of its handler."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from appliance.domain.errors import Code
from appliance.domain.phone_numbers import MOST_CHARACTERS
from appliance.domain.requests import MessageStatus
from appliance.domain.schemas import LINE_PATTERN, TEXT_PATTERN
from appliance.domain.validation import MESSAGE_CHARACTERS, SENDER_CHARACTERS


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of an operation. `schema` is JSON Schema."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    schema: dict[str, Any]
    required: bool = False
    example: Any = None


class Operation(msgspec.Struct, frozen=True):
    """Body, parameters, errors and example of an operation. `media` is set where the answer is not JSON.

    `any_key`: a restricted key may call it too, whatever its restrictions. `key_only`: the key alone says whose it is.
    `in_address`: a GET sends too, the key may be in the address, and the answer is one line.
    """

    errors: tuple[Code, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ()
    example: Any = None
    any_key: bool = False
    body: type[msgspec.Struct] | None = None
    key_only: bool = False
    in_address: bool = False


def documented(
    *,
    errors: tuple[Code, ...] = (),
    path: tuple[Parameter, ...] = (),
    query: tuple[Parameter, ...] = (),
    headers: tuple[Parameter, ...] = (),
    media: tuple[str, ...] = (),
    example: Any = None,
    any_key: bool = False,
    body: type[msgspec.Struct] | None = None,
    key_only: bool = False,
    in_address: bool = False,
) -> dict[str, Any]:
    """Return the `opt` of a handler."""
    parameters = (*path, *query, *headers)
    return {
        "operation": Operation(
            errors,
            parameters,
            media,
            example,
            any_key,
            body,
            key_only=key_only,
            in_address=in_address,
        )
    }


def _path(name: str, description: str, example: str) -> Parameter:
    return Parameter(name, "path", description, {"type": "string"}, required=True, example=example)


def _query(name: str, description: str, example: Any = None, **schema: Any) -> Parameter:
    return Parameter(name, "query", description, schema, example=example)


MESSAGE_ID = _path("message_id", "The id from the answer of a send.", "msg_1234567890abcdef")
ALERT_KIND = Parameter(
    "kind",
    "path",
    "The program that sends.",
    {
        "type": "string",
        "enum": ["alertmanager", "gatus", "grafana", "healthchecks", "uptime-kuma", "zabbix"],
    },
    required=True,
    example="gatus",
)
WEBHOOK_ID = _path("webhook_id", "The id from the answer of configure.", "wh_1")
LOG_ID = _path("log_id", "The id of an attempt, from the logs.", "log_067a1b2c3d42")
NUMBER = Parameter(
    "number",
    "path",
    "A number, with + encoded as %2B.",
    {"type": "string", "minLength": 3, "maxLength": MOST_CHARACTERS},
    required=True,
    example="+33612345678",
)

PAGE = _query(
    "page", "Page number, from 1.", 1, type="integer", minimum=1, maximum=10**12, default=1
)
LIMIT = _query("limit", "Entries per page.", 20, type="integer", minimum=1, maximum=100, default=50)
STATUS = _query(
    "status",
    "Only with this status.",
    "delivered",
    type="string",
    enum=list(get_args(MessageStatus)),
)
TO = _query(
    "to",
    "Only to this number. Encode + as %2B; a + that arrives as a space is accepted.",
    "+33612345678",
    type="string",
    maxLength=MOST_CHARACTERS,
)
_DAY = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = "(?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,12})?)?)?"
_ZONE = "(?:[Zz]|[-+ ](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_MOMENT = rf"^(?:{_DAY}(?:[Tt ]{_TIME}{_ZONE}?)?)?$"
_DATES = "ISO 8601, a time (UTC if it has no offset) or a plain day. "
FROM_DATE = _query(
    "from_date",
    _DATES + "Start of the period.",
    "2025-01-01T00:00:00Z",
    type="string",
    pattern=_MOMENT,
)
TO_DATE = _query(
    "to_date",
    _DATES + "End of the period, including that second or day.",
    "2025-01-31",
    type="string",
    pattern=_MOMENT,
)
DEVICE_ID = _query("device_id", "Only through this device.", "device_1", type="string")
SEARCH = _query(
    "search",
    "Only with this text, ignoring case and accents.",
    "commande",
    type="string",
    maxLength=MESSAGE_CHARACTERS,
    pattern=TEXT_PATTERN,
)
SENDER = _query(
    "from",
    "Only from this sender: a number, or a name as received.",
    "+33612345678",
    type="string",
    maxLength=SENDER_CHARACTERS,
    pattern=LINE_PATTERN,
)
CONVERSATION = Parameter(
    "number",
    "query",
    "The number, with + encoded as %2B, or the name of the sender as received.",
    {
        "type": "string",
        "minLength": 1,
        "maxLength": SENDER_CHARACTERS,
        "pattern": LINE_PATTERN,
    },
    required=True,
    example="+33612345678",
)
UNREAD = _query(
    "unread", "Only with texts that nobody has read.", True, type="boolean", default=False
)
CONTACT_SEARCH = _query(
    "search",
    "Only names with this text, ignoring case and accents.",
    "martin",
    type="string",
    maxLength=MESSAGE_CHARACTERS,
    pattern=TEXT_PATTERN,
)
FORMAT = _query(
    "format", "csv or jsonl.", "csv", type="string", enum=["csv", "jsonl"], default="csv"
)

IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "The same key and body within 24 hours answers the first answer again and sends nothing.",
    {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
    example="8e03978e-40d5-43dd-bc93-6894a57f9324",
)
