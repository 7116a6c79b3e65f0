"""Bytes to lines, and the kind of each line."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.at import responses
from modem.at.line_parser import (
    LONGEST_LINE,
    LineKind,
    Sorted,
    Sorter,
    Splitter,
    pdu_fits,
    with_smsc,
)

REPORT = "0006D60B911326880736F4111011719551401110117195714000"
SMSC = "0791947101670000"


def split(*chunks: bytes) -> list[str]:
    splitter = Splitter()
    return [line for chunk in chunks for line in splitter.feed(chunk) if line]


def kinds(sorter: Sorter, *lines: str) -> list[tuple[LineKind, str]]:
    return [(one.kind, one.line) for line in lines for one in sorter.sort(line)]


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b"\r\nOK\r\n", ["OK"]),
        (b"AT+CSQ\r\r\n+CSQ: 20,0\r\n\r\nOK\r\n", ["AT+CSQ", "+CSQ: 20,0", "OK"]),
        (b"+CSQ: 20,0\rOK\n", ["+CSQ: 20,0", "OK"]),
        (b"\xff\x80\r\nR\x00DY\r\n", ["ÿ\x80", "RDY"]),
        (b"+CSQ: 20", []),
    ],
)
def test_lines_are_split_at_any_line_end(stream: bytes, lines: list[str]) -> None:
    assert split(stream) == lines


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_chunk_boundaries_do_not_change_the_lines(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    whole, cut = Splitter(), Splitter()
    assert [line for chunk in chunks for line in cut.feed(chunk)] == list(whole.feed(data))


def test_endless_noise_does_not_fill_the_memory() -> None:
    assert len(split(b"x" * 3 * LONGEST_LINE)) == 1


def test_a_line_that_is_ended_by_cr_does_not_wait_for_lf() -> None:
    splitter = Splitter()
    assert list(splitter.feed(b"OK\r")) == ["OK"]
    assert list(splitter.feed(b"\nRDY\r\n")) == ["RDY"]


@pytest.mark.parametrize("tail", [b"> ", b">", b"\r\n> ", b"\r\n>"])
def test_a_prompt_has_no_line_end(tail: bytes) -> None:
    splitter = Splitter()
    list(splitter.feed(tail))
    assert splitter.prompted()
    assert not splitter.prompted()


def test_a_response_belongs_to_its_command() -> None:
    sorter = Sorter()
    sorter.begin("AT+CSQ")
    assert kinds(sorter, "AT+CSQ", "", "+CSQ: 20,0", "OK") == [
        (LineKind.ECHO, "AT+CSQ"),
        (LineKind.RESPONSE, "+CSQ: 20,0"),
        (LineKind.FINAL, "OK"),
    ]


@pytest.mark.parametrize(
    "line",
    ["RDY", "RING", "SMS Ready", '+CMTI: "SM",3', '+CDSI: "SR",1', "OVER-VOLTAGE WARNNING",
     "UNDER-VOLTAGE POWER DOWN", "+CREG: 5", "*PSUTTZ: 2025,6,1,10,0,0,\"+8\",1", "+CUSD: 2",
     "^SIMST: 1", "+SOMETHING NEW", "+QIND: SMS DONE", "NO CARRIER", "DST: 1"],
)  # fmt: skip
def test_a_urc_is_never_a_response(line: str) -> None:
    sorter = Sorter()
    sorter.begin("AT+CSQ")
    (only,) = sorter.sort(line)
    assert only.kind in (LineKind.URC, LineKind.RESPONSE)
    assert (only.kind is LineKind.URC) == (line != "+SOMETHING NEW")  # no colon: nobody can tell


@pytest.mark.parametrize(
    "final",
    ["OK", "ERROR", "+CME ERROR: 14", "+CMS ERROR: 38", "+CME ERROR: SIM failure", "+CMS ERROR:515",
     "COMMAND NOT SUPPORT"],
)  # fmt: skip
def test_every_error_line_ends_a_command(final: str) -> None:
    sorter = Sorter()
    sorter.begin("AT+CSQ")
    assert kinds(sorter, final) == [(LineKind.FINAL, final)]


def test_a_final_result_without_a_command_is_a_stray() -> None:
    assert kinds(Sorter(), "OK", "+CME ERROR: 14") == [
        (LineKind.STRAY, "OK"),
        (LineKind.STRAY, "+CME ERROR: 14"),
    ]


@pytest.mark.parametrize(
    "head", ["+CDS: 25", "+CDS:25", "+CMT: ,25", '+CMT: "",25', "+CDS:  25", '+CMT: "Awa, Ba",25']
)
def test_a_two_line_urc_inside_a_response_is_one_event(head: str) -> None:
    sorter = Sorter()
    sorter.begin("AT+CMGL=4")
    found = [
        one
        for line in ["+CMGL: 1,1,,25", head, "", REPORT, REPORT, "OK"]
        for one in sorter.sort(line)
    ]
    assert [one.kind for one in found] == [
        LineKind.RESPONSE,
        LineKind.URC,
        LineKind.RESPONSE,
        LineKind.FINAL,
    ]
    assert found[1].urc is not None
    assert (found[1].urc.line, found[1].urc.pdu) == (head, REPORT)


def test_three_reports_in_one_burst_are_three_events() -> None:
    sorter = Sorter()
    found = [one for line in ["+CDS: 25", REPORT] * 3 for one in sorter.sort(line)]
    assert [one.kind for one in found] == [LineKind.URC] * 3


def test_a_report_with_lost_octets_is_dropped() -> None:
    sorter = Sorter()
    assert [kind for kind, _ in kinds(sorter, "+CDS: 25", REPORT[:-2])] == [LineKind.DAMAGED]


def test_an_incomplete_urc_does_not_hide_the_response_after_it() -> None:
    sorter = Sorter()
    sorter.begin("AT")
    assert kinds(sorter, "+CDS: 25", "OK") == [
        (LineKind.DAMAGED, "+CDS: 25"),
        (LineKind.FINAL, "OK"),
    ]


def test_a_ussd_text_of_several_lines_is_one_event() -> None:
    sorter = Sorter()
    found = [one for line in ['+CUSD: 0,"Balance:', "", '5 EUR",15'] for one in sorter.sort(line)]
    assert [one.line for one in found] == ['+CUSD: 0,"Balance:\n\n5 EUR",15']


def test_a_quote_in_an_operator_s_text_does_not_hide_the_response() -> None:
    sorter = Sorter()
    sorter.begin("AT+CMGS", text="00")
    assert kinds(sorter, '+CUSD: 0,"A 5" screen!",15', "+CMGS: 12", "OK") == [
        (LineKind.URC, '+CUSD: 0,"A 5" screen!",15'),
        (LineKind.RESPONSE, "+CMGS: 12"),
        (LineKind.FINAL, "OK"),
    ]


def test_an_unclosed_ussd_text_does_not_hide_a_response() -> None:
    sorter = Sorter()
    sorter.begin("AT+CSQ")
    assert kinds(sorter, '+CUSD: 0,"Balance', "OK") == [
        (LineKind.URC, '+CUSD: 0,"Balance'),
        (LineKind.FINAL, "OK"),
    ]


def test_the_echo_of_a_text_is_an_echo() -> None:
    sorter = Sorter()
    sorter.begin("AT+CMGS", text="0011AA\x1a")
    assert kinds(sorter, "> 0011AA\x1a", "+CMGS: 3", "OK") == [
        (LineKind.TEXT_ECHO, "> 0011AA"),
        (LineKind.RESPONSE, "+CMGS: 3"),
        (LineKind.FINAL, "OK"),
    ]


def test_a_prompt_with_a_line_end_is_a_prompt() -> None:
    sorter = Sorter()
    sorter.begin("AT+CMGS=20", prompt=True)
    assert kinds(sorter, ">") == [(LineKind.PROMPT, ">")]


@pytest.mark.parametrize(
    ("pdu", "length", "fits"),
    [
        (REPORT, 25, True),
        (REPORT, 26, False),
        (SMSC + REPORT[2:], 25, True),
        (SMSC + REPORT[2:], 33, True),  # the SMSC octets counted as well
        (SMSC + REPORT[2:], 32, False),
        (REPORT, 24, False),
        ("0", 0, False),
        ("FF", 0, False),
    ],
)
def test_a_pdu_is_as_long_as_announced(pdu: str, length: int, fits: bool) -> None:
    assert pdu_fits(pdu, length) is fits


BARE_REPORT = REPORT[2:]
BARE_TEXT = "040B913316325476F80000621192210300400541E19058341E9149E5"  # an SMS-DELIVER
COUNTED = SMSC + BARE_REPORT


@pytest.mark.parametrize(
    ("pdu", "length", "wanted"),
    [
        (REPORT, 25, REPORT),
        (BARE_REPORT, 25, REPORT),
        (BARE_REPORT.lower(), 25, "00" + BARE_REPORT.lower()),
        ("02" + BARE_REPORT[2:], 25, "0002" + BARE_REPORT[2:]),  # more messages wait
        ("06F6" + BARE_REPORT[4:], 25, "0006F6" + BARE_REPORT[4:]),  # a reference from 128 on
        ("0606048100F0" + BARE_REPORT[18:], 22, "000606048100F0" + BARE_REPORT[18:]),  # short code
        (SMSC + BARE_REPORT, 25, SMSC + BARE_REPORT),
        (COUNTED, 33, COUNTED),
        (BARE_TEXT, len(BARE_TEXT) // 2, "00" + BARE_TEXT),
        ("00" + BARE_TEXT, len(BARE_TEXT) // 2, "00" + BARE_TEXT),
        (BARE_REPORT, 24, BARE_REPORT),
        ("", 0, ""),
        ("0G0B91", 3, "0G0B91"),
    ],
)
def test_smsc_octets_that_a_module_leaves_out_are_put_back(
    pdu: str, length: int, wanted: str
) -> None:
    assert with_smsc(pdu, length) == wanted


def test_a_direct_report_without_smsc_octets_is_the_same_report() -> None:
    sorter = Sorter()
    found = [one for line in ("+CDS: 25", BARE_REPORT) for one in sorter.sort(line)]
    assert [one.urc.pdu for one in found if one.urc] == [REPORT]


def test_stored_reports_without_smsc_octets_are_the_same_reports() -> None:
    lines = ("+CMGL: 3,0,,25", BARE_REPORT)
    assert [one.hex for one in responses.listed(lines)] == [REPORT]
    read = responses.read(("+CMGR: 0,,25", BARE_REPORT), 3)
    assert read is not None and read.hex == REPORT


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=30))
def test_any_line_can_be_classified(lines: list[str]) -> None:
    sorter = Sorter()
    sorter.begin("AT+CMGL=4")
    for line in lines:
        for found in sorter.sort(line.strip()):
            assert isinstance(found, Sorted)
