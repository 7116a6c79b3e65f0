"""GET and POST /v1/simple/send: one line in, one line out, for devices that can only fetch an address."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.exceptions import HTTPException

from appliance.core.i18n import Language, _
from appliance.domain import parsing, validation, views
from appliance.domain.errors import ApiError, Code, invalid
from appliance.domain.requests import Idempotency
from appliance.domain.schemas import BulkBody, SendBody
from web.auth import authenticate, caller_of, key_of
from web.error_responses import error_body, language, meant
from web.openapi.metadata import Parameter, documented
from web.request import ApiRequest, ServicesDep, header

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 300
# Texts of old devices that are no UTF-8 are read as this.
OLD_ENCODING = "cp1252"
SHORT_CODE_DIGITS = 8  # of the longest
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_BETWEEN_NUMBERS = re.compile("[,;\r\n]")


async def prepare(request: ApiRequest) -> None:
    """Read the fields of the query and the form, and authenticate. Raises what both raise."""
    kept = request.kept
    if kept.get("head"):  # link checkers and previews ask with HEAD
        raise ApiError("METHOD_NOT_ALLOWED", headers={"Allow": "GET, POST"})
    if "prefetch" in (header(request.scope, b"sec-purpose") or ""):
        raise invalid("Sec-Purpose", _("a browser that fetches in advance sends nothing"))
    fields = [*_fields(request.scope["query_string"], "query")]
    if request.method == "POST" and (raw := await request.body()):
        kept["raw"] = b""
        kind = (header(request.scope, b"content-type") or FORM).partition(";")[0].strip().lower()
        if kind != FORM:
            raise ApiError(
                "UNSUPPORTED_MEDIA_TYPE", {"reason": _("send a form: {kind}", kind=FORM)}
            )
        fields += _fields(bytes(raw), "body")
    given = {name: value for name, value in fields if value}
    given["to"] = ",".join(value for name, value in fields if name == "to" and value)
    key = key_of(request.scope)
    if key and given.get("key", key) != key:
        raise invalid("key", _("is another key than that of the headers; send one of the two"))
    key = key or given.pop("key", "").strip()
    if not key:
        raise ApiError("MISSING_AUTH_HEADERS", {"reason": _("or give the key as key=zs_live_…")})
    await authenticate(request, key)
    kept["fields"] = given
    may = request.user.permissions
    if not (may.simple and may.prefixes and may.daily_cap):
        raise ApiError("KEY_NOT_ALLOWED", {"reason": "simple"})


def _fields(raw: bytes, place: str) -> list[tuple[str, str]]:
    """Return the fields of a query or a form. Raises INVALID_REQUEST for too many."""
    text = _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")
    for encoding, errors in (("utf-8", "strict"), (OLD_ENCODING, "replace")):
        try:
            return parse_qsl(
                text, True, encoding=encoding, errors=errors, max_num_fields=MOST_FIELDS
            )
        except UnicodeDecodeError:
            continue
        except ValueError:
            break
    raise invalid(place, _("has too many fields"))


def numbers_of(text: str) -> list[str]:
    """Return the numbers of a field: separated by comma, semicolon or line end.

    A `+` that was not encoded has arrived as a space. Where the first number shows that, a space before another
    one is a `+` too.
    """
    numbers = [number for number in _BETWEEN_NUMBERS.split(text) if number.strip()]
    if numbers and _lost_plus(numbers[0]):
        return ["+" + number.strip() if _lost_plus(number) else number for number in numbers]
    return numbers


def _lost_plus(number: str) -> bool:
    digits = sum(character.isdigit() for character in number)
    return (
        number[0] == " " and number.lstrip()[:1] in set("123456789") and digits > SHORT_CODE_DIGITS
    )


async def _send(request: ApiRequest, services: ServicesDep) -> Response[bytes]:
    caller = caller_of(request, services)
    fields = request.kept["fields"]
    to = numbers_of(fields["to"])
    if not to:
        raise invalid("to", _("is required"))
    text = fields.get("text") or fields.get("message")
    if text is None:
        raise invalid("text", _("is required"))
    reading = msgspec.structs.replace(
        request.reading, numbers=services.context.numbers.with_national()
    )
    accepted: list[str]
    refused: list[str] = []
    try:
        # Read first: two spellings of a number are the same request.
        if len(to) == 1:
            order = parsing.read(SendBody, {"to": to[0], "message": text}, reading)
            once = _once(request, services, caller, [order.to], text)
            accepted = [(await services.intake.send(caller, order, once)).message_id]
        else:
            bulk = parsing.bulk(
                parsing.read(BulkBody, {"recipients": to, "message": text}, reading), reading
            )
            written = [str(entry.to) for entry in bulk.entries]
            once = _once(request, services, caller, written, text)
            answer = await services.intake.send_bulk(caller, bulk, once)
            accepted = list(dict.fromkeys(m.message_id for m in answer.messages if m.message_id))
            refused = [f"{m.to} {m.error.code}" for m in answer.messages if m.error]
    except ApiError as refusal:
        raise _named(refusal) from None
    return _line("; ".join([" ".join(["OK", *accepted]), *refused]), 202)


def _once(
    request: ApiRequest,
    services: ServicesDep,
    caller: views.Caller,
    to: list[str],
    text: str,
) -> Idempotency:
    """Return what makes a repeated request one: its `id` for 24 hours, else all of it for a short time.

    Devices ask again when an answer is late, and proxies may repeat a GET.
    """
    fingerprint = hashlib.sha256(msgspec.json.encode(["simple", caller.key_id, to, text])).digest()
    given = request.kept["fields"].get("id") or header(request.scope, b"idempotency-key")
    if given:
        return Idempotency(validation.idempotency_key(given), fingerprint)
    seconds = services.context.config.sending.simple_repeat_seconds
    return Idempotency(f"simple:{fingerprint.hex()}", fingerprint, round(seconds * 1000))


def _named(refusal: ApiError) -> ApiError:
    """Return the error with this route's names of the fields."""
    details = dict(refusal.details or {})
    names = {"message": "text", "recipients": "to", "Idempotency-Key": "id"}
    if details.get("field") in names:
        details["field"] = names[str(details["field"])]
    return ApiError(refusal.code, details or None, refusal.headers)


def _line(text: str, status: int, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(
        " ".join(text.split()).encode() + b"\n",
        status_code=status,
        media_type=MediaType.TEXT,
        # The address has the key in it: no page that the answer leads to may learn it.
        headers={"Referrer-Policy": "no-referrer", **(headers or {})},
    )


def refused(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return an error in one line."""
    refusal = meant(request, error)
    return _line(error_line(refusal, language(request)), refusal.status, refusal.headers)


def error_line(refusal: ApiError, language: Language) -> str:
    """Return `ERROR CODE: text`, with the reason where the text does not have it."""
    body = error_body(refusal.reason, language)
    details = refusal.reason.translated_details(language) or {}
    reason = details.get("reason")
    more = f" ({reason})" if reason and str(reason) not in body.message else ""
    return f"ERROR {body.code}: {body.message}{more}"


def _field(name: str, description: str, example: str, *, required: bool = False) -> Parameter:
    return Parameter(
        name, "query", description, {"type": "string"}, required=required, example=example
    )


_KEY = _field("key", "The API key, where no header can be set.", "zs_live_…")
_TO = _field(
    "to",
    "One number or several, separated by commas, as they are dialled in the box's country or international.",
    "0612345678",
    required=True,
)
_TEXT = _field("text", "The text, 1 to 1,600 characters.", "Alarme zone 3", required=True)
_ID = _field("id", "The same id within 24 hours is the same message.", "alarm-4711")
_FIELDS = (_KEY, _TO, _TEXT, _ID)
_REFUSED: tuple[Code, ...] = (
    *("INVALID_PHONE_NUMBER", "MESSAGE_TOO_LONG", "TOO_MANY_RECIPIENTS", "IDEMPOTENCY_CONFLICT"),
    *("BLOCKED_NUMBER", "QUEUE_FULL", "QUOTA_EXCEEDED", "DEVICE_OFFLINE", "NO_DEVICE_AVAILABLE"),
)


def _route(*errors: Code) -> dict[str, Any]:
    """Return the options of both routes; `errors` are those of one alone."""
    return {
        "status_code": 202,
        "tags": ["Sending"],
        "before_request": prepare,
        "exception_handlers": {HTTPException: refused, Exception: refused},
        "opt": documented(
            query=_FIELDS,
            errors=(*errors, *_REFUSED),
            media=("text/plain",),
            key_only=True,
            in_address=True,
        ),
    }


@get("/simple/send", summary="Send from a simple device", **_route())
async def simple_send(request: ApiRequest, services: ServicesDep) -> Response[bytes]:
    """Queues an SMS, for devices that can only fetch an address. The answer is one line: `OK` and the ids of the
    messages, or `ERROR`, the code and the text. Only for keys that the owner has opened for it. The same request
    again within a minute sends nothing and gets the same answer."""
    return await _send(request, services)


@post(
    "/simple/send",
    summary="Send from a simple device, as a form",
    **_route("UNSUPPORTED_MEDIA_TYPE"),
)
async def simple_send_form(request: ApiRequest, services: ServicesDep) -> Response[bytes]:
    """The same with the fields in a form (`application/x-www-form-urlencoded`), so that the key is in no address."""
    return await _send(request, services)


SIMPLE = [simple_send, simple_send_form]
