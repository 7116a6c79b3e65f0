"""The rules of the API for single values, as tables."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain import validation
from appliance.domain.errors import ApiError
from appliance.domain.requests import Period

NOW = 1_736_937_000_000  # 2025-01-15T10:30:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value.code


@pytest.mark.parametrize(
    "text", ["a", " ", "é", "x" * 1600, "😀" * 1600, "a\nb\r\n\tc", "‮abc", "<script>", "\u200d"]
)
def test_a_text_is_kept_as_it_is(text: str) -> None:
    assert validation.message(text) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "INVALID_REQUEST"),
        ("x" * 1601, "MESSAGE_TOO_LONG"),
        ("\x00" * 1601, "MESSAGE_TOO_LONG"),
        *((f"a{c}b", "INVALID_REQUEST") for c in "\x00\x07\x0b\x0c\x1a\x1b\x7f\x80\x9f"),
        ("a\ud800b", "INVALID_REQUEST"),
        ("a\udc00b", "INVALID_REQUEST"),
    ],
)
def test_a_text_that_cannot_be_sent_is_refused(text: str, code: str) -> None:
    assert code_of(lambda: validation.message(text)) == code


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+33612345678", "+336****5678"),
        ("+4915112345678", "+491****5678"),
        ("+123456789012345", "+123****2345"),
        ("+1234567890", "+123****890"),
        ("+1234567", "+123****"),
        ("8080", "****"),
    ],
)
def test_a_masked_number_hides_at_least_four_digits(number: str, masked: str) -> None:
    assert validation.mask_phone(number) == masked


@pytest.mark.parametrize(
    ("value", "level"),
    [(1, 1), (5, 5), ("urgent", 1), ("high", 2), ("normal", 3), ("low", 4), ("bulk", 5)],
)
def test_a_priority_is_a_level_or_a_name(value: object, level: int) -> None:
    assert validation.priority(value) == level
    assert validation.priority(validation.priority_name(level)) == level


@pytest.mark.parametrize(
    "value", [0, 6, -1, 10**30, True, False, 3.0, 2.5, "3", "NORMAL", "", [], {}]
)
def test_any_other_priority_is_refused(value: object) -> None:
    assert code_of(lambda: validation.priority(value)) == "INVALID_PRIORITY"


def test_metadata_is_kept_as_compact_json() -> None:
    value = {"order_id": "order_12345", "é": [1, 2.5, None, True, {"x": "😀"}], "n": 10**30}
    text = validation.metadata(value)
    assert json.loads(text) == value
    assert " " not in text and "é" in text


def test_metadata_may_have_1024_bytes_and_not_one_more() -> None:
    room = 1024 - len('{"k":""}')
    assert len(validation.metadata({"k": "x" * room}).encode()) == 1024
    assert code_of(lambda: validation.metadata({"k": "x" * (room + 1)})) == "INVALID_REQUEST"
    assert code_of(lambda: validation.metadata({"k": "é" * (room // 2 + 1)})) == "INVALID_REQUEST"


def test_metadata_that_is_no_json_is_refused() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"d": deep}
    for value in ({"k": "\ud800"}, {"k": float("nan")}, {"k": float("inf")}, {"k": 10**5000}, deep):
        assert code_of(partial(validation.metadata, value)) == "INVALID_REQUEST"
    while deep:  # taken apart by hand: the interpreter would recurse
        deep = deep["d"]  # type: ignore[assignment]


@pytest.mark.parametrize("value", [1, 3, 5])
def test_one_to_five_attempts(value: int) -> None:
    assert validation.retry_attempts(value) == value


@pytest.mark.parametrize("value", [0, 6, -3, 10**30])
def test_other_numbers_of_attempts_are_refused(value: int) -> None:
    assert code_of(lambda: validation.retry_attempts(value)) == "INVALID_REQUEST"


def test_a_validity_is_between_a_minute_and_the_longest_of_23_040() -> None:
    assert [validation.validity_minutes(v) for v in (1, 635_040)] == [1, 635_040]
    for value in (0, -1, 635_041):
        assert code_of(partial(validation.validity_minutes, value)) == "INVALID_REQUEST"


def test_what_to_do_with_an_uncertain_message_is_fail_or_resend() -> None:
    assert [validation.on_uncertain(v) for v in ("fail", "resend")] == ["fail", "resend"]
    assert code_of(lambda: validation.on_uncertain("retry")) == "INVALID_REQUEST"


@pytest.mark.parametrize("key", ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "~" * 255])
def test_an_idempotency_key(key: str) -> None:
    assert validation.idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\x00"])
def test_an_invalid_idempotency_key_is_refused(key: str) -> None:
    assert code_of(lambda: validation.idempotency_key(key)) == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("text", "milliseconds", "plain"),
    [
        ("2025-01-15T10:30:00Z", NOW, False),
        ("2025-01-15T10:30:00", NOW, False),
        ("2025-01-15 10:30:00", NOW, False),
        ("2025-01-15t10:30:00z", NOW, False),
        ("2025-01-15T10:30", NOW, False),
        ("2025-01-15T11:30:00+01:00", NOW, False),
        ("2025-01-15T11:30:00 01:00", NOW, False),  # a + out of a query string
        ("2025-01-15T11:30:00+0100", NOW, False),
        ("2025-01-15T11:30+01", NOW, False),
        ("2025-01-15T05:00:00-05:30", NOW, False),
        ("20250115T103000Z", NOW, False),
        ("2025-01-15T10:30:00.25Z", NOW + 250, False),
        ("2025-01-15T10:30:00,123456789Z", NOW + 123, False),
        ("2025-01-15", NOW - 10 * HOUR - 30 * MINUTE, True),
        ("1970-01-01", 0, True),
        ("1969-12-31T23:59:59.5Z", -500, False),
        ("0001-01-01T00:00:00+23:59", -62_135_596_800_000, False),
        ("9999-12-31T23:59:59-23:59", 253_402_300_799_999, False),
    ],
)
def test_a_moment_is_iso_8601(text: str, milliseconds: int, plain: bool) -> None:
    assert validation.moment(text) == (milliseconds, plain)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2025", "2025-01", "2025-13-01", "2025-02-30", "0000-01-01", "1736937000"),
        *("2025-01-15T", "2025-01-15T25:00", "2025-01-15T10:60", "2025-01-15T10:30:60Z"),
        *("2025-01-15X10:30", "2025-01-15T10:30:00+24:00", "2025-01-15T10:30:00Zulu"),
        *("2025-01-15T10:30:00+01:60", "2025-01-15T10:30-0199"),
        *("2025-0115", "15/01/2025", "٢٠٢٥-٠١-١٥", "2025-01-15\n", "2025-W03-3", "tomorrow"),
    ],
)
def test_invalid_times_are_refused(text: str) -> None:
    assert validation.moment(text) is None


@given(st.text(alphabet="0123456789-:+TZ. ", max_size=30))
def test_parsing_a_time_raises_only_the_documented_error(text: str) -> None:
    found = validation.moment(text)
    assert found is None or isinstance(found[0], int)


def test_a_message_can_be_scheduled_up_to_thirty_days_ahead() -> None:
    assert validation.scheduled_at("2025-01-15T10:30:01Z", NOW) == NOW + SECOND
    assert validation.scheduled_at("2025-02-14T10:30:00Z", NOW) == NOW + 30 * DAY
    assert validation.scheduled_at("2025-01-16", NOW) == NOW + 13 * HOUR + 30 * MINUTE


@pytest.mark.parametrize(
    "value",
    [
        *("2025-01-15T10:30:00Z", "2025-01-15T10:29:59Z", "2025-02-14T10:30:01Z", "2025-01-15"),
        *("soon", "", 1736937600, None, True, ["2025-01-16"]),
    ],
)
def test_any_other_schedule_is_refused(value: object) -> None:
    assert code_of(lambda: validation.scheduled_at(value, NOW)) == "INVALID_SCHEDULED_DATE"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (NOW, "2025-01-15T10:30:00Z"),
        (NOW + 999, "2025-01-15T10:30:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (None, None),
    ],
)
def test_times_are_written_in_utc_with_seconds(milliseconds: int | None, text: str | None) -> None:
    assert validation.timestamp(milliseconds) == text


@pytest.mark.parametrize("text", [None, ""])
def test_an_empty_query_value_is_an_absent_one(text: str | None) -> None:
    assert (validation.page(text), validation.limit(text)) == (1, 50)
    assert (
        validation.status(text) is validation.sender_filter(text) is validation.search(text) is None
    )
    assert validation.period(text, text) == Period(None, None)


def test_pages_and_limits_in_their_bounds() -> None:
    assert [validation.page(text) for text in ("1", "002", "1000000000000")] == [1, 2, 10**12]
    assert [validation.limit(text) for text in ("1", "50", "100")] == [1, 50, 100]


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "x", "٣", "1_0", "9" * 400, " 1", "1e2", "+1"])
def test_pages_out_of_bounds_are_refused(text: str) -> None:
    assert code_of(lambda: validation.page(text)) == "INVALID_REQUEST"
    assert code_of(lambda: validation.limit(text)) == "INVALID_REQUEST"
    assert code_of(lambda: validation.limit("101")) == "INVALID_REQUEST"


def test_all_five_statuses_can_be_asked_for_and_no_other() -> None:
    for name in ("queued", "sent", "delivered", "failed", "cancelled"):
        assert validation.status(name) == name
    for name in ("pending", "QUEUED", "uncertain", "queued "):
        assert code_of(partial(validation.status, name)) == "INVALID_REQUEST"


MIDNIGHT = NOW - 10 * HOUR - 30 * MINUTE  # of 2025-01-15


@pytest.mark.parametrize(
    ("from_date", "to_date", "start", "end"),
    [
        ("2025-01-15", None, MIDNIGHT, None),
        (None, "2025-01-15", None, MIDNIGHT + DAY),
        ("2025-01-15", "2025-01-15", MIDNIGHT, MIDNIGHT + DAY),
        (None, "2025-01-15T10:30:00Z", None, NOW + SECOND),
        (None, "2025-01-15T10:30:00.5Z", None, NOW + SECOND),
        ("2025-01-15T10:30:00Z", "2025-01-15T10:30:00Z", NOW, NOW + SECOND),
        ("2025-01-15T10:30:00Z", "2025-01-15", NOW, MIDNIGHT + DAY),
        (None, "9999-12-31", None, 253_402_300_800_000),
    ],
)
def test_a_period_ends_after_its_last_second_or_day(
    from_date: str | None, to_date: str | None, start: int | None, end: int | None
) -> None:
    assert validation.period(from_date, to_date) == Period(start, end)


@pytest.mark.parametrize(
    ("from_date", "to_date"),
    [
        ("2025-01-16", "2025-01-15"),
        ("2025-01-15T10:30:01Z", "2025-01-15T10:30:00Z"),
        ("2025-01-16T00:00:00Z", "2025-01-15"),
        ("yesterday", None),
        (None, "2025-02-30"),
    ],
)
def test_a_period_that_ends_before_it_begins_is_refused(
    from_date: str | None, to_date: str | None
) -> None:
    assert code_of(lambda: validation.period(from_date, to_date)) == "INVALID_REQUEST"


def test_statistics_cover_the_last_thirty_days_unless_asked_otherwise() -> None:
    start, end = validation.statistics_period(None, None, NOW)
    assert (start, end) == (MIDNIGHT - 29 * DAY, NOW + SECOND)
    assert validation.statistics_period("2025-01-01", "2025-01-31", NOW) == (
        MIDNIGHT - 14 * DAY,
        MIDNIGHT + 17 * DAY,
    )
    assert validation.statistics_period(None, "2025-01-14", NOW) == (MIDNIGHT - 30 * DAY, MIDNIGHT)
    assert validation.statistics_period("2025-01-15", None, NOW) == (MIDNIGHT, NOW + SECOND)
    assert validation.statistics_period("2026-01-01", None, NOW) == (1_767_225_600_000,) * 2
    first = validation.statistics_period(None, "0001-01-01", NOW)[0]
    assert validation.timestamp(first) == "0001-01-01T00:00:00Z"


def test_a_sender_may_be_a_number_or_a_name() -> None:
    assert validation.sender_filter(" 33 612345678") == "+33612345678"
    assert validation.sender_filter("ORANGE") == "ORANGE"
    assert validation.sender_filter("") is None
    assert code_of(lambda: validation.sender_filter("x" * 41)) == "INVALID_REQUEST"


def test_a_search_is_folded() -> None:
    assert validation.search("ÉLÈVE") == "eleve"
    assert validation.search("") is None
    assert code_of(lambda: validation.search("x" * 1601)) == "INVALID_REQUEST"
    assert code_of(lambda: validation.search("a\x00")) == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Code : {{code}}", "Code : 123456"),
        ("Code : {code}", "Code : 123456"),
        ("{{code}} = {code}", "123456 = 123456"),
        (validation.OTP_TEMPLATE, "Votre code de vérification est : 123456"),
    ],
)
def test_the_code_replaces_its_placeholder(template: str, text: str) -> None:
    assert validation.otp_template(template, 6) == template
    assert validation.otp_text(template, "123456") == text


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ("no place", "INVALID_REQUEST"),
        ("", "INVALID_REQUEST"),
        ("{{ code }}", "INVALID_REQUEST"),
        ("\x00{{code}}", "INVALID_REQUEST"),
        ("x" * 1595 + "{code}", "MESSAGE_TOO_LONG"),
    ],
)
def test_a_template_must_become_a_message(template: str, code: str) -> None:
    assert code_of(lambda: validation.otp_template(template, 6)) == code


def test_a_value_with_two_names_may_be_given_under_either() -> None:
    assert validation.one_of_two(("a", 1), ("b", None)) == 1
    assert validation.one_of_two(("a", None), ("b", 2)) == 2
    assert validation.one_of_two(("a", 3), ("b", 3)) == 3
    assert validation.one_of_two(("a", None), ("b", None)) is None
    assert code_of(lambda: validation.one_of_two(("a", 1), ("b", 2))) == "INVALID_REQUEST"


def test_a_webhook_names_known_events_each_once() -> None:
    assert validation.webhook_events(["sms.sent", "sms.failed", "sms.sent"]) == (
        "sms.sent",
        "sms.failed",
    )
    for names in ([], ["sms.lost"], ["sms.sent", ""]):
        assert code_of(partial(validation.webhook_events, names)) == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://192.168.1.5:8080/x?y=1",
        "http://nas/",
        "http://[fe80::1]/",
    ],
)
def test_a_webhook_url_is_a_complete_http_url(url: str) -> None:
    assert validation.webhook_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com/", "https://", "https:///x", "javascript:alert(1)"),
        *("https://exa mple.com/", "https://example.com:99999/", "https://[::1", "http://a:0/"),
        *("https://example.com/\n", "https://" + "x" * 2048, None, 5, ["https://example.com"]),
    ],
)
def test_an_invalid_url_is_refused(url: object) -> None:
    assert code_of(lambda: validation.webhook_url(url)) == "INVALID_WEBHOOK_URL"


def test_a_prefix_is_how_international_numbers_begin() -> None:
    assert validation.prefix("+33") == "+33"
    for text in ("33", "+", "+0", "+33x", "+³³", "+1234567890123456"):
        with pytest.raises(ApiError):
            validation.prefix(text)


def test_metadata_is_nested_at_most_32_levels() -> None:
    def nested(levels: int) -> dict[str, object]:
        value: object = 1
        for _ in range(levels - 1):
            value = [value]
        return {"a": value}

    assert validation.metadata(nested(32)).count("[") == 31
    for levels in (33, 500):
        with pytest.raises(ApiError) as refused:
            validation.metadata(nested(levels))
        assert "32 levels" in refused.value.message("en")


@pytest.mark.parametrize("text", ["\u0301", "\u0300\u0308"])
def test_a_search_of_accents_only_does_not_find_everything(text: str) -> None:
    with pytest.raises(ApiError, match="search"):
        validation.search(text)
