"""The verdict and the text for an error number, an error in words, or a TP-Status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.error_codes import lookup
from modem.error_codes.cme import CME
from modem.error_codes.cms import CMS
from modem.error_codes.tp_status import TP_STATUS
from modem.interface import Fault, FaultKind, Verdict

AGAIN, OWNER, NEVER = Verdict.AGAIN, Verdict.OWNER, Verdict.NEVER

PERMANENT = [1, *range(128, 192), 195, 196, 198, 199, *range(200, 256), 304, 305]
TRANSIENT = [17, 22, 27, 41, 42, 47, 192, 194, 301, 302, 314, 331, 515]
SUSPICIOUS = [21, 30, 34, 38, 69, 81, 95, 96, 97, 98, 99, 111, 127, 300, 500]
NEEDS_OWNER = [8, 10, 28, 29, 50, 193, 310, 311, 312, 313, 315, 316, 317, 318, 330]


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        (PERMANENT, Verdict.NEVER),
        ([197], Verdict.TAKEN),
        (TRANSIENT + SUSPICIOUS, Verdict.AGAIN),
        (NEEDS_OWNER, Verdict.OWNER),
        ([23, 320, 321, 322], Verdict.HOUSEKEEP),
        ([332, 521], Verdict.UNKNOWN),
    ],
)
def test_each_cms_error_is_of_its_class(numbers: list[int], verdict: Verdict) -> None:
    assert {number: lookup.cms(number).verdict for number in numbers} == dict.fromkeys(
        numbers, verdict
    )


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ([14, 30, 31, 515], Verdict.AGAIN),
        ([10, 11, 12, 13, 15, 16, 17, 18, 40, 47, 103, 112, 113], Verdict.OWNER),
        ([20, 23], Verdict.HOUSEKEEP),
    ],
)
def test_each_cme_error_is_of_its_class(numbers: list[int], verdict: Verdict) -> None:
    assert {number: lookup.cme(number).verdict for number in numbers} == dict.fromkeys(
        numbers, verdict
    )


def test_refusals_that_may_mean_no_credit_are_suspicious_and_passing_ones_are_not() -> None:
    assert all(lookup.cms(number).suspicious for number in SUSPICIOUS)
    assert not any(lookup.cms(number).suspicious for number in TRANSIENT + PERMANENT + NEEDS_OWNER)
    assert not lookup.cme(14).suspicious
    assert lookup.cme(100).suspicious


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1, FaultKind.NUMBER),
        (195, FaultKind.NUMBER),
        (196, FaultKind.BARRED),
        (38, FaultKind.NETWORK),
        (17, FaultKind.NETWORK),
        (304, FaultKind.DEVICE),
        (311, FaultKind.DEVICE),
        (330, FaultKind.DEVICE),
        (332, FaultKind.TIMEOUT),
    ],
)
def test_each_error_has_its_kind(number: int, kind: FaultKind) -> None:
    assert lookup.cms(number).kind == kind


def test_an_unlisted_number_is_tried_again_and_named() -> None:
    fault = lookup.cms(409)
    assert (fault.verdict, fault.suspicious, fault.number) == (Verdict.AGAIN, True, 409)
    assert "409" in str(fault)


def test_no_number_is_called_no_credit_for_operators_differ() -> None:
    assert all(lookup.cms(number).kind != FaultKind.CREDIT for number in range(1000))


@pytest.mark.parametrize("number", range(600))
def test_every_number_has_a_sentence_in_both_languages(number: int) -> None:
    for fault in (lookup.cms(number), lookup.cme(number)):
        assert_sentence(str(fault))
        assert fault.number == number


def assert_sentence(sentence: str) -> None:
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert len(sentence) < 120


# -- TP-Status --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tp_st", range(256))
def test_every_tp_status_is_settled_by_its_class(tp_st: int) -> None:
    settled = lookup.status(tp_st)
    if tp_st == 0:
        assert settled.meaning == "delivered"
    elif tp_st in (1, 2) or 0x10 <= tp_st < 0x20:
        assert settled.meaning == "ended"
    elif 0x20 <= tp_st < 0x40:
        assert settled.meaning == "trying"
    else:
        assert settled.meaning == "failed"
    assert (settled.fault is not None) == (settled.meaning == "failed")
    assert_sentence(settled.english)


@pytest.mark.parametrize("reserved", [0x03, 0x0F, 0x4A, 0x50, 0x66, 0x70, 0x80, 0xFF])
def test_a_reserved_status_counts_as_service_rejected(reserved: int) -> None:
    fault = lookup.status(reserved).fault
    assert fault is not None
    assert fault.template == TP_STATUS[0x63].english
    assert fault.number == reserved


@pytest.mark.parametrize(
    ("tp_st", "kind"),
    [(0x40, FaultKind.NETWORK), (0x43, FaultKind.NUMBER), (0x46, FaultKind.TIMEOUT)],
)
def test_a_failed_report_has_its_kind(tp_st: int, kind: FaultKind) -> None:
    fault = lookup.status(tp_st).fault
    assert fault is not None
    assert (fault.kind, fault.verdict, fault.source) == (kind, Verdict.NEVER, "TP-ST")


# -- lines ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [*CMS, 409, 9999])
def test_a_cms_line_by_number_is_that_fault(number: int) -> None:
    for line in (f"+CMS ERROR: {number}", f"+CMS ERROR:{number}", f"+cms error: {number}\r"):
        assert lookup.words(line) == lookup.cms(number)


@pytest.mark.parametrize("number", sorted(CME))
def test_a_cme_line_in_the_standards_words_is_that_fault(number: int) -> None:
    wording = CME[number].wording
    assert lookup.words(f"+CME ERROR: {wording}") == lookup.cme(number)
    assert lookup.words(f"+CME ERROR: {wording.upper()}.") == lookup.cme(number)


@pytest.mark.parametrize("number", sorted(CMS))
def test_a_cms_line_in_the_standards_words_is_of_that_class(number: int) -> None:
    fault = lookup.words(f"+CMS ERROR: {CMS[number].wording}")
    expected = lookup.cms(number)
    assert fault is not None
    assert (fault.verdict, fault.kind, fault.suspicious, fault.template) == (
        expected.verdict,
        expected.kind,
        expected.suspicious,
        expected.template,
    )


@pytest.mark.parametrize(
    ("line", "verdict", "like"),
    [
        ("+CME ERROR: SIM failure", OWNER, lookup.cme(13)),
        ("+CMS ERROR: no network service", AGAIN, lookup.cms(331)),
        ("+CME ERROR: U(SIM) not inserted", OWNER, lookup.cms(310)),
        ("+CME ERROR: (U)SIM not inserted", OWNER, lookup.cms(310)),
        ("+CME ERROR: SIM card not detected", OWNER, lookup.cms(310)),
        ("+CME ERROR: no SIM card", OWNER, lookup.cms(310)),
        ("+CME ERROR: SIM not ready", AGAIN, lookup.cms(532)),
        ("+CMS ERROR: SIM is busy, try later", AGAIN, lookup.cms(314)),
        ("+CMS ERROR: Unknown SMSC", OWNER, lookup.cms(330)),
        ("+CMS ERROR: message storage full", Verdict.HOUSEKEEP, lookup.cms(322)),
        ("+CMS ERROR: not registered on network", AGAIN, lookup.cms(331)),
        ("+CMS ERROR: timed out", Verdict.UNKNOWN, lookup.cms(332)),
        ("+CMS ERROR: Operation not allowed", AGAIN, lookup.cms(302)),
        ("+CMS ERROR: PUK code needed", OWNER, lookup.cms(316)),
    ],
)
def test_error_texts_of_manufacturers_are_understood(
    line: str, verdict: Verdict, like: Fault
) -> None:
    fault = lookup.words(line)
    assert fault is not None
    assert (fault.verdict, fault.template) == (verdict, like.template)


@pytest.mark.parametrize(
    "said", ["insufficient credit", "no balance left", "Not enough funds", "credit exhausted"]
)
def test_error_texts_about_credit_mean_no_credit(said: str) -> None:
    fault = lookup.words(f"+CMS ERROR: {said}")
    assert fault is not None
    assert (fault.verdict, fault.kind) == (OWNER, FaultKind.CREDIT)
    assert said in str(fault)


def test_unknown_error_texts_are_retried_and_quoted() -> None:
    fault = lookup.words("+CMS ERROR: frobnication denied")
    assert fault is not None
    assert (fault.verdict, fault.suspicious, fault.number) == (AGAIN, True, None)
    assert "frobnication denied" in str(fault)


@pytest.mark.parametrize(
    "line", ["ERROR", "error\r\n", "COMMAND NOT SUPPORT", "+CMS ERROR:", "+CME ERROR: "]
)
def test_a_plain_error_is_a_refusal_without_a_reason(line: str) -> None:
    assert lookup.words(line) == lookup.REFUSED


@pytest.mark.parametrize(
    "line", ["", "OK", "> ", "+CMGS: 12", "+CMS", "ERRORS", "+CDS: 25", "RING", "+CME: 1"]
)
def test_a_line_that_is_not_an_error_is_no_fault(line: str) -> None:
    assert lookup.words(line) is None


@given(st.text())
def test_any_damaged_line_can_be_classified(text: str) -> None:
    lookup.words(text)
    assert lookup.words("+CMS ERROR: " + text.replace("\n", " ").replace("\r", " ")) is not None


def test_a_part_that_may_have_left_is_never_failed() -> None:
    for line in ("+CMS ERROR: 332", "+CMS ERROR: 521", "+CMS ERROR: Network timeout"):
        fault = lookup.words(line)
        assert fault is not None
        assert (fault.verdict, fault.kind) == (Verdict.UNKNOWN, FaultKind.TIMEOUT)
