"""The rules of the API for single values: each validates, normalises and returns, or raises ApiError."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args, overload
from urllib.parse import urlsplit

from msgspec import structs

from appliance.core.folding import fold
from appliance.core.i18n import DEFAULT, _
from appliance.domain.errors import ApiError, invalid
from appliance.domain.phone_numbers import INTERNATIONAL, NumberReader
from appliance.domain.requests import MessageStatus, OnUncertain, Period, WebhookEvent
from appliance.domain.views import Permissions

MESSAGE_CHARACTERS = 1600
METADATA_BYTES = 1024
METADATA_LEVELS = 32  # readers in PHP stop at 512, others sooner
SCHEDULE_AHEAD = timedelta(days=30)
VALIDITY_MINUTES = 635_040  # 63 weeks, the longest TP-VP (23.040 9.2.3.12.1)
STATISTICS_DAYS = 30  # the default period of the statistics
URL_CHARACTERS = 2048
ALERT_NUMBERS = 10
SENDER_CHARACTERS = 40  # an alphanumeric address has 11 (23.040 9.1.2.5)
DAY_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The range that RFC 3339 can represent, with four digits for the year.
_FIRST = -62_135_596_800_000  # 0001-01-01T00:00:00Z
_LAST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

# --- numbers and texts -------------------------------------------------------------------------

_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")


def prefix(text: str) -> str:
    """Validate a prefix of allowed numbers. It must begin with +, or it would match no number."""
    if not _PREFIX.fullmatch(text):
        raise invalid("prefixes", _("begin with +, like +33"))
    return text


def permissions(may: Permissions, numbers: NumberReader = INTERNATIONAL) -> Permissions:
    """Validate the permissions of a key; return them with its numbers in E.164.

    Only a key that can do little may come in an address. Alerts must not fail for a prefix when they come.
    """
    for one in may.prefixes:
        prefix(one)
    if may.simple and not (may.prefixes and may.daily_cap):
        raise invalid("simple", _("need a key with prefixes and a number of messages a day"))
    if len(may.alert_to) > ALERT_NUMBERS:
        raise invalid("alert_to", _("have at most {most} numbers", most=ALERT_NUMBERS))
    to = tuple(dict.fromkeys(numbers.read(number, field="alert_to") for number in may.alert_to))
    for number in to:
        if may.prefixes and not number.startswith(may.prefixes):
            raise invalid("alert_to", _("have {number}, which the prefixes forbid", number=number))
    return structs.replace(may, alert_to=to)


def message(text: str, field: str = "message") -> str:
    """Validate a text: 1 to 1,600 characters, no control characters except LF, CR and tab. Raises MESSAGE_TOO_LONG."""
    if len(text) > MESSAGE_CHARACTERS:
        raise ApiError("MESSAGE_TOO_LONG", {"field": field, "length": len(text), "maximum": 1600})
    if not text:
        raise invalid(field, _("must not be empty"))
    return _clean(text, field)


def _clean(text: str, field: str) -> str:
    for character in text:
        category = unicodedata.category(character)
        if category == "Cs":
            raise invalid(field, _("is not valid Unicode"))
        if category == "Cc" and character not in "\n\r\t":
            point = f"U+{ord(character):04X}"
            raise invalid(
                field,
                _("contains the control character {point}", point=point),
            )
    return text


def line(text: str, field: str, most: int) -> str:
    """Validate a text of one line, 1 to `most` characters."""
    if not 1 <= len(text) <= most or "\n" in text or "\r" in text:
        raise invalid(
            field,
            _("must be one line of 1 to {most} characters", most=most),
        )
    return _clean(text, field)


def mask_phone(number: str) -> str:
    """Return `+33612345678` as `+336****5678`; less of a short number, nothing of a short code."""
    if not number.startswith("+"):
        return "****"
    digits = number[1:]
    tail = min(4, max(0, len(digits) - 7))
    return f"+{digits[:3]}****{digits[len(digits) - tail :]}"


# --- how a message is to be sent ---------------------------------------------------------------

_PRIORITIES = ("urgent", "high", "normal", "low", "bulk")


def priority(value: object) -> int:
    """Return a priority, 1 (first) to 5, from a number or a name. Raises INVALID_PRIORITY."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5:
        return value
    if isinstance(value, str) and value in _PRIORITIES:
        return _PRIORITIES.index(value) + 1
    raise ApiError("INVALID_PRIORITY", {"field": "priority"})


def priority_name(level: int) -> str:
    """Return the name of a priority of 1 to 5."""
    return _PRIORITIES[level - 1]


def _deeper(value: object, levels: int) -> bool:
    """Return whether objects and lists are nested more than `levels` deep."""
    if not isinstance(value, Mapping | list):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)


def metadata(value: Mapping[str, object], field: str = "metadata") -> str:
    """Return a JSON object of at most 1,024 bytes and 32 levels as compact JSON."""
    if _deeper(value, METADATA_LEVELS):
        raise invalid(
            field,
            _("is nested more than {most} levels deep", most=METADATA_LEVELS),
        )
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        size = len(text.encode())
    except (ValueError, RecursionError):  # a lone surrogate, or nested too deeply
        raise invalid(field, _("is not a valid JSON object")) from None
    if size > METADATA_BYTES:
        raise invalid(
            field,
            _("is larger than {most} bytes ({size} as JSON)", most=METADATA_BYTES, size=size),
        )
    return text


def whole(value: int, field: str, least: int, most: int) -> int:
    """Validate a whole number between `least` and `most`."""
    if not least <= value <= most:
        raise invalid(
            field,
            _("must be a whole number from {least} to {most}", least=least, most=most),
        )
    return value


def retry_attempts(value: int) -> int:
    """Validate the number of attempts, 1 to 5."""
    return whole(value, "retry_attempts", 1, 5)


def validity_minutes(value: int) -> int:
    """Validate a validity period in minutes, one minute to 63 weeks."""
    return whole(value, "validity_minutes", 1, VALIDITY_MINUTES)


def on_uncertain(value: str) -> OnUncertain:
    """Validate `fail` or `resend`."""
    for known in get_args(OnUncertain):
        if value == known:
            return known  # type: ignore[no-any-return]  # get_args loses the types of the names
    raise invalid("on_uncertain", _("must be fail or resend"))


_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(text: str) -> str:
    """Validate a key of 1 to 255 visible ASCII characters."""
    if not _KEY.fullmatch(text):
        raise invalid(
            "Idempotency-Key",
            _("must be 1 to 255 visible ASCII characters"),
        )
    return text


# --- times -------------------------------------------------------------------------------------

_MOMENT = re.compile(
    r"(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,12}))?)?)?"
    # A + in a query string arrives as a space.
    r"(?P<zone>[Zz]|(?P<sign>[+\- ])(?P<zh>\d\d):?(?P<zm>[0-5]\d)?)?)?",
    re.ASCII,
)


def moment(text: str) -> tuple[int, bool] | None:
    """Parse ISO 8601 to (epoch milliseconds, whether it is a plain day); no offset means UTC."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict()
    year, month, day, hour, minute, second = (
        int(part[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    try:
        wall = datetime(year, month, day, hour, minute, second, tzinfo=_zone(part))
    except ValueError:  # 31 February, 25 o'clock
        return None
    # By subtraction: with an offset, the ends of the calendar have no UTC datetime.
    seconds = (wall.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
    offset = wall.utcoffset() or timedelta()
    milliseconds = int((part["fraction"] or "0")[:3].ljust(3, "0"))
    instant = (seconds - offset // timedelta(seconds=1)) * 1000 + milliseconds
    return min(max(instant, _FIRST), _LAST), part["hour"] is None


def lacks_offset(text: str) -> bool:
    """Return whether a time says nothing about its time zone, so that it is read as UTC."""
    found = _MOMENT.fullmatch(text)
    return found is not None and found["zone"] is None


def _zone(part: Mapping[str, str | None]) -> timezone:
    if part["sign"] is None:
        return UTC
    offset = timedelta(hours=int(part["zh"] or 0), minutes=int(part["zm"] or 0))
    return timezone(-offset if part["sign"] == "-" else offset)


def scheduled_at(value: object, now: int) -> int:
    """Return a time after `now`, at most 30 days ahead, in epoch milliseconds. Raises INVALID_SCHEDULED_DATE."""
    found = moment(value) if isinstance(value, str) else None
    if found is None:
        raise invalid(
            "scheduled_at",
            _("is not an ISO 8601 date"),
            "INVALID_SCHEDULED_DATE",
        )
    when = found[0]
    if when <= now:
        raise invalid("scheduled_at", _("is in the past"), "INVALID_SCHEDULED_DATE")
    if when > now + SCHEDULE_AHEAD // timedelta(milliseconds=1):
        raise invalid(
            "scheduled_at",
            _("is more than 30 days ahead"),
            "INVALID_SCHEDULED_DATE",
        )
    return when


@overload
def utc(milliseconds: int) -> datetime: ...
@overload
def utc(milliseconds: int | None) -> datetime | None: ...
def utc(milliseconds: int | None) -> datetime | None:
    """Return a time in UTC to the second; None for a time that was not reached."""
    if milliseconds is None:
        return None
    return _EPOCH + timedelta(seconds=milliseconds // 1000)


def timestamp(milliseconds: int | None) -> str | None:
    """Return RFC 3339 in UTC to the second; None for a time that was not reached."""
    reached = utc(milliseconds)
    return None if reached is None else reached.replace(tzinfo=None).isoformat() + "Z"


# --- filters -----------------------------------------------------------------------------------

_WHOLE = re.compile(r"-?[0-9]{1,15}")


def _query_number(text: str | None, field: str, default: int, least: int, most: int) -> int:
    if not text:
        return default
    value = int(text) if _WHOLE.fullmatch(text) else least - 1
    return whole(value, field, least, most)


def page(text: str | None) -> int:
    """Return a page number from 1; 1 if absent."""
    return _query_number(text, "page", 1, 1, 10**12)


def limit(text: str | None) -> int:
    """Return a page size, 1 to 100; 50 if absent."""
    return _query_number(text, "limit", 50, 1, 100)


def status(text: str | None) -> MessageStatus | None:
    """Return one of the five statuses; None if absent."""
    if not text:
        return None
    known: Sequence[MessageStatus] = get_args(MessageStatus)
    for name in known:
        if text == name:
            return name
    names = ", ".join(known)
    raise invalid("status", _("must be one of: {names}", names=names))


def period(from_date: str | None, to_date: str | None) -> Period:
    """Return a half-open period; a plain `to_date` includes its day, any other its second."""
    start = _query_moment(from_date, "from_date")
    last = _query_moment(to_date, "to_date")
    if last is None:
        return Period(start[0] if start else None, None)
    end = last[0] + DAY_MS if last[1] else last[0] // 1000 * 1000 + 1000
    if start is not None and start[0] > (end - 1 if last[1] else last[0]):
        raise invalid("from_date", _("is after to_date"))
    return Period(start[0] if start else None, end)


def _query_moment(text: str | None, field: str) -> tuple[int, bool] | None:
    if not text:
        return None
    found = moment(text)
    if found is None:
        raise invalid(field, _("is not an ISO 8601 date"))
    return found


def statistics_period(from_date: str | None, to_date: str | None, now: int) -> tuple[int, int]:
    """Return a period with both ends: by default today (UTC) and the 29 days before, until `now`."""
    wanted = period(from_date, to_date)
    end = wanted.end if wanted.end is not None else now // 1000 * 1000 + 1000
    if wanted.start is not None:
        return wanted.start, max(end, wanted.start)
    start = (end - 1) // DAY_MS * DAY_MS - (STATISTICS_DAYS - 1) * DAY_MS
    return max(start, _FIRST), end


def sender_filter(
    text: str | None, numbers: NumberReader = INTERNATIONAL, field: str = "from"
) -> str | None:
    """Return a sender to look for: a number as people write it, or a name."""
    if not text:
        return None
    try:
        return numbers.read_filter(text)
    except ApiError:
        return line(text, field, SENDER_CHARACTERS)


def flag(text: str | None, field: str) -> bool:
    """Return a yes or no of a query; absent means no."""
    if not text or text == "false":
        return False
    if text == "true":
        return True
    raise invalid(field, _("must be true or false"))


def search(text: str | None) -> str | None:
    """Return the folded search text; None if absent. Raises INVALID_REQUEST if nothing is left of it."""
    if not text:
        return None
    if len(text) > MESSAGE_CHARACTERS:
        raise invalid(
            "search",
            _("is longer than {most} characters", most=MESSAGE_CHARACTERS),
        )
    folded = fold(_clean(text, "search"))  # no text can contain what `message` refuses
    if not folded:
        raise invalid("search", _("consists of accents only"))
    return folded


# --- one-time codes and webhooks ---------------------------------------------------------------

OTP_TEMPLATE = _("Your verification code is: {{code}}").plain(DEFAULT)


def otp_text(template: str, code: str) -> str:
    """Return the template with the code in place of {{code}} or {code}."""
    return template.replace("{{code}}", code).replace("{code}", code)


def otp_template(text: str, length: int) -> str:
    """Validate a template: it has a place for the code, and is a valid message with it."""
    if "{code}" not in text:  # also part of {{code}}
        raise invalid("template", _("must contain {{code}}"))
    message(otp_text(text, "0" * length), "template")
    return text


def one_of_two(first: tuple[str, int | None], second: tuple[str, int | None]) -> int | None:
    """Return a value that has two names; under both it must be the same."""
    (name, value), (other, again) = first, second
    if value is not None and again is not None and value != again:
        raise invalid(other, _("contradicts {name}", name=name))
    return again if value is None else value


def webhook_events(names: Sequence[str]) -> tuple[WebhookEvent, ...]:
    """Validate at least one known event; return each once, in order."""
    known: Sequence[WebhookEvent] = get_args(WebhookEvent)
    by_name = {str(event): event for event in known}
    if not names or any(name not in by_name for name in names):
        listed = ", ".join(known)
        raise invalid("events", _("choose from: {listed}", listed=listed))
    return tuple(by_name[name] for name in dict.fromkeys(names))


def webhook_url(text: object, field: str = "webhook_url") -> str:
    """Validate an http(s) URL with a host; `egress` decides where it may lead. Raises INVALID_WEBHOOK_URL."""
    if isinstance(text, str) and 1 <= len(text) <= URL_CHARACTERS and _is_http(text):
        return text
    raise ApiError(
        "INVALID_WEBHOOK_URL",
        {
            "field": field,
            "reason": _("must be a complete http or https URL"),
        },
    )


def _is_http(text: str) -> bool:
    if any(c <= " " or c == "\x7f" or unicodedata.category(c) == "Cs" for c in text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # unbalanced brackets, an invalid port
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
