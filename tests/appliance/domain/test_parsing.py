"""Request bodies and the requests read from them."""

from functools import partial
from typing import Any

import pytest

from appliance.domain import parsing
from appliance.domain.errors import ApiError
from appliance.domain.parsing import Bulk, RefusedEntry
from appliance.domain.schemas import (
    BlockBody,
    BulkBody,
    OtpBody,
    PersonalizedBody,
    Reading,
    SendBody,
    VerifyBody,
    WebhookBody,
)

NOW = 1_736_937_000_000  # 2025-01-15T10:30:00Z
TO = "+33612345678"
READING = Reading(NOW)


def send(**fields: object) -> SendBody:
    return parsing.read(SendBody, fields, READING)


def bulk(**fields: object) -> Bulk:
    return parsing.bulk(parsing.read(BulkBody, fields, READING), READING)


def otp(**fields: object) -> OtpBody:
    return parsing.read(OtpBody, fields, READING)


def refusal_of(call: Any, **fields: object) -> tuple[str, object]:
    with pytest.raises(ApiError) as caught:
        call(**fields)
    return caught.value.code, (caught.value.details or {}).get("field")


def test_a_minimal_request_has_the_documented_defaults() -> None:
    assert send(to=TO, message="Bonjour") == SendBody(
        to=TO, message="Bonjour", priority=3, retry_attempts=3, flash=False, on_uncertain=None
    )


def test_null_is_absent_in_every_optional_field() -> None:
    optional = "priority webhook_url metadata scheduled_at retry_attempts validity_minutes flash on_uncertain"
    assert send(to=TO, message="x", **dict.fromkeys(optional.split())) == send(to=TO, message="x")


def test_a_complete_request_is_normalised() -> None:
    assert send(
        to="+33 6 12 34 56 78",
        message="x",
        priority="urgent",
        webhook_url="https://example.com/h",
        metadata={"a": 1},
        scheduled_at="2025-01-15T11:30:01+01:00",
        retry_attempts=5,
        validity_minutes=60,
        flash=True,
        on_uncertain="resend",
        unknown="field",
    ) == SendBody(
        TO,
        "x",
        priority=1,
        metadata='{"a":1}',
        webhook_url="https://example.com/h",
        scheduled_at=NOW + 1000,
        retry_attempts=5,
        validity_minutes=60,
        flash=True,
        on_uncertain="resend",
    )


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"message": "x"}, "INVALID_REQUEST", "to"),
        ({"to": TO}, "INVALID_REQUEST", "message"),
        ({"to": None, "message": "x"}, "INVALID_PHONE_NUMBER", "to"),
        ({"to": TO, "message": None}, "INVALID_REQUEST", "message"),
        ({"to": TO, "message": 5}, "INVALID_REQUEST", "message"),
        ({"to": TO, "message": "x", "metadata": []}, "INVALID_REQUEST", "metadata"),
        ({"to": TO, "message": "x", "metadata": "{}"}, "INVALID_REQUEST", "metadata"),
        ({"to": TO, "message": "x", "retry_attempts": "3"}, "INVALID_REQUEST", "retry_attempts"),
        ({"to": TO, "message": "x", "retry_attempts": True}, "INVALID_REQUEST", "retry_attempts"),
        ({"to": TO, "message": "x", "retry_attempts": 6}, "INVALID_REQUEST", "retry_attempts"),
        ({"to": TO, "message": "x", "flash": 1}, "INVALID_REQUEST", "flash"),
        ({"to": TO, "message": "x", "on_uncertain": "?"}, "INVALID_REQUEST", "on_uncertain"),
        ({"to": TO, "message": "x", "priority": True}, "INVALID_PRIORITY", "priority"),
        ({"to": TO, "message": "x", "webhook_url": 1}, "INVALID_WEBHOOK_URL", "webhook_url"),
        ({"to": TO, "message": "x", "scheduled_at": 1}, "INVALID_SCHEDULED_DATE", "scheduled_at"),
    ],
)
def test_a_fault_of_the_body_names_its_field(
    fields: dict[str, object], code: str, field: str
) -> None:
    assert refusal_of(send, **fields) == (code, field)


@pytest.mark.parametrize("value", [[], "x", 5, None, True])
def test_a_body_must_be_an_object(value: object) -> None:
    with pytest.raises(ApiError) as caught:
        parsing.read(SendBody, value, READING)
    assert caught.value.reason.translated_details("fr") == {
        "field": "body",
        "reason": "doit être un objet JSON",
    }


def test_recipients_share_one_message_and_the_same_number_twice_is_one() -> None:
    order = bulk(recipients=[TO, "+33698765432", "+33 612345678", TO], message="x", priority=5)
    assert order.same_as == (None, None, 0, 0)
    assert order.entries[1] == SendBody(to="+33698765432", message="x", priority=5)


def test_the_same_number_twice_in_messages_is_two_messages() -> None:
    order = bulk(messages=[{"to": TO, "message": "a"}, {"to": TO, "message": "b"}])
    assert order.same_as == (None, None)


def test_an_entry_has_its_own_priority_and_metadata_or_the_common_ones() -> None:
    order = bulk(
        messages=[
            {"to": TO, "message": "a"},
            {"to": TO, "message": "b", "priority": 1, "metadata": {"n": 2}},
        ],
        priority="bulk",
        metadata={"n": 1},
        scheduled_at="2025-01-15T10:30:01Z",
    )
    assert order.entries == (
        SendBody(TO, "a", priority=5, metadata='{"n":1}', scheduled_at=NOW + 1000),
        SendBody(TO, "b", priority=1, metadata='{"n":2}', scheduled_at=NOW + 1000),
    )


def test_refused_entries_keep_their_places_and_the_others_go() -> None:
    order = bulk(
        messages=[
            {"to": "nobody", "message": "a"},
            {"to": TO, "message": "b"},
            {"to": TO, "message": "x" * 1601},
            {"to": 5, "message": "c"},
            "no object",
            {"to": TO},
            {"to": TO, "message": "d", "priority": 9},
        ]
    )
    codes = [
        entry.reason.code if isinstance(entry, RefusedEntry) else None for entry in order.entries
    ]
    assert codes == [
        "INVALID_PHONE_NUMBER",
        None,
        "MESSAGE_TOO_LONG",
        "INVALID_PHONE_NUMBER",
        "INVALID_REQUEST",
        "INVALID_REQUEST",
        "INVALID_PRIORITY",
    ]
    shown = [entry.to for entry in order.entries]
    assert shown == ["nobody", TO, TO, None, None, TO, TO]


def test_if_every_entry_is_refused_the_first_error_is_returned() -> None:
    bad = [{"to": TO, "message": "x" * 1601}, {"to": "nobody", "message": "x"}]
    assert refusal_of(bulk, messages=bad)[0] == "MESSAGE_TOO_LONG"
    assert refusal_of(bulk, recipients=["x", "y"], message="m")[0] == "INVALID_PHONE_NUMBER"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "INVALID_REQUEST"),
        ({"recipients": []}, "INVALID_REQUEST"),
        ({"recipients": [], "message": "x"}, "INVALID_REQUEST"),
        ({"messages": []}, "INVALID_REQUEST"),
        ({"recipients": [TO]}, "INVALID_REQUEST"),
        ({"recipients": [TO], "message": ""}, "INVALID_REQUEST"),
        ({"recipients": [TO], "message": "x" * 1601}, "MESSAGE_TOO_LONG"),
        ({"recipients": TO, "message": "x"}, "INVALID_REQUEST"),
        ({"recipients": [TO], "messages": [], "message": "x"}, "INVALID_REQUEST"),
        ({"recipients": [TO] * 101, "message": "x"}, "TOO_MANY_RECIPIENTS"),
        ({"messages": [{"to": TO, "message": "x"}] * 1001}, "TOO_MANY_RECIPIENTS"),
        ({"recipients": [TO], "message": "x", "priority": 0}, "INVALID_PRIORITY"),
        ({"recipients": [TO], "message": "x", "scheduled_at": "?"}, "INVALID_SCHEDULED_DATE"),
    ],
)
def test_a_bulk_request_with_an_invalid_frame_is_refused_completely(
    fields: dict[str, object], code: str
) -> None:
    assert refusal_of(bulk, **fields)[0] == code


def test_a_bulk_may_be_full() -> None:
    assert len(bulk(recipients=[TO] * 100, message="x").entries) == 100
    assert len(bulk(messages=[{"to": TO, "message": "x"}] * 1000).entries) == 1000


def test_a_one_time_code_has_the_documented_defaults() -> None:
    made = otp(to=TO)
    assert (made.digits, made.lifetime_seconds) == (6, 300)
    assert made.template == "Votre code de vérification est : {{code}}"


def test_length_and_expiry_have_two_names_each() -> None:
    for made in (otp(to=TO, length=4, expiry=60), otp(to=TO, code_length=4, expiry_minutes=1)):
        assert (made.digits, made.lifetime_seconds) == (4, 60)
    both = otp(to=TO, length=8, code_length=8, expiry=120, expiry_minutes=2)
    assert (both.digits, both.lifetime_seconds) == (8, 120)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"length": 3}, "INVALID_REQUEST", "length"),
        ({"code_length": 9}, "INVALID_REQUEST", "code_length"),
        ({"length": 4, "code_length": 5}, "INVALID_REQUEST", "code_length"),
        ({"expiry": 59}, "INVALID_REQUEST", "expiry"),
        ({"expiry": 1801}, "INVALID_REQUEST", "expiry"),
        ({"expiry_minutes": 0}, "INVALID_REQUEST", "expiry_minutes"),
        ({"expiry_minutes": 31}, "INVALID_REQUEST", "expiry_minutes"),
        ({"expiry": 60, "expiry_minutes": 2}, "INVALID_REQUEST", "expiry_minutes"),
        ({"template": "no place"}, "INVALID_REQUEST", "template"),
        ({"purpose": ""}, "INVALID_REQUEST", "purpose"),
        ({"to": "x"}, "INVALID_PHONE_NUMBER", "to"),
    ],
)
def test_a_wrong_one_time_code_is_refused(fields: dict[str, object], code: str, field: str) -> None:
    assert refusal_of(otp, **{"to": TO, **fields}) == (code, field)


def test_a_code_of_any_shape_may_be_tried() -> None:
    written = {"otp_id": "otp_1", "code": "abc", "phone": "+33 612345678"}
    assert parsing.read(VerifyBody, written, READING) == VerifyBody("otp_1", "abc", TO)


def test_a_webhook_and_a_blocked_number() -> None:
    written: dict[str, object] = {"url": "https://example.com/", "events": ["sms.sent"] * 2}
    hook = parsing.read(WebhookBody, written, READING)
    assert hook.events == ("sms.sent",)
    for events in ("sms.sent", [], [5], ["sms.lost"], None):
        call = partial(parsing.read, WebhookBody, {**written, "events": events}, READING)
        assert refusal_of(call) == ("INVALID_REQUEST", "events")
    blocked = parsing.read(BlockBody, {"number": "8080", "reason": "spam"}, READING)
    assert blocked == BlockBody("8080", "spam")


BODIES = (SendBody, BulkBody, PersonalizedBody, OtpBody, VerifyBody, WebhookBody, BlockBody)
OF_EVERY_TYPE: tuple[object, ...] = (
    None,
    True,
    7,
    -1,
    1.5,
    1e300,
    "",
    "x",
    [],
    {},
    [None],
    [7],
    [[]],
    [{}],
    {"a": {}},
)


@pytest.mark.parametrize(
    ("body", "name"), [(body, name) for body in BODIES for name, _, _ in parsing.fields_of(body)]
)
@pytest.mark.parametrize("value", OF_EVERY_TYPE, ids=repr)
def test_a_value_of_any_type_is_read_or_refused(body: Any, name: str, value: object) -> None:
    """`{"events": [{}]}` ended as an error of the server."""
    good = {
        "to": TO,
        "message": "x",
        "number": TO,
        "code": "123456",
        "url": "https://example.com/sms",
        "events": ["sms.sent"],
        "messages": [{"to": TO, "message": "x"}],
    }
    given = {field: good[field] for field, _, _ in parsing.fields_of(body) if field in good}
    if body is BulkBody:
        given = {"message": "x", "recipients": [TO]}
    try:
        read = parsing.read(body, given | {name: value}, READING)
        if isinstance(read, BulkBody | PersonalizedBody):
            parsing.bulk(read, READING)
    except ApiError as refused:
        assert (refused.details or {}).get("field")
    else:
        assert isinstance(read, body)
