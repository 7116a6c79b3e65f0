"""Responses of modems of several makers, and their meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.at import responses, ussd
from modem.at.responses import NetworkRegistration, StorageUsage, StoredPdu
from modem.at.ussd import UssdReply
from modem.interface import Slot
from modem.sms import gsm7

TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", ()),
        ("1,,26", ("1", "", "26")),
        (",26", ("", "26")),
        ('2,1,"00C3","1A2B",7', ("2", "1", '"00C3"', '"1A2B"', "7")),
        ('"a,b",3', ('"a,b"', "3")),
        ("(0-3),(0,2)", ("(0-3)", "(0,2)")),
    ],
)
def test_fields_keep_quotes_and_brackets_together(text: str, fields: tuple[str, ...]) -> None:
    assert responses.fields(text) == fields


@pytest.mark.parametrize(
    ("line", "state"),
    [("+CPIN: READY", "READY"), ("+CPIN:READY", "READY"), ("+CPIN: SIM PIN", "SIM PIN"),
     ("+CPIN: NOT INSERTED", "NOT INSERTED"), ("+CPIN: NOT READY", "NOT READY"), ("", "")],
)  # fmt: skip
def test_pin_states(line: str, state: str) -> None:
    assert responses.pin_state([line]) == state


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["+CPINR: SIM PIN,3,3"], 3),
        (["+CPINR: SIM PUK,10,10", "+CPINR: SIM PIN,2,3"], 2),
        (["+SPIC: 3,10,0,10"], 3),
        (["+SPIC: 1"], 1),
        (['+QPINC: "SC",3,10'], 3),
        (['+QPINC: "P2",3,10'], None),
        (["+CPINR: SIM PIN"], None),
        ([], None),
    ],
)
def test_pin_attempts_left_of_three_makers(lines: list[str], left: int | None) -> None:
    assert responses.tries_left(lines) == left


@pytest.mark.parametrize(
    ("line", "stat"),
    [
        ("+CREG: 0,1", 1),
        ("+CREG:0,5", 5),
        ("+CREG: 5", 5),
        ('+CREG: 2,1,"00C3","1A2B",7', 1),
        ('+CREG: 1,"00C3","1A2B",7', 1),
        ('+CREG: 2,6,"00C3","1A2B",7,,,"00"', 6),
        ("+CREG: x", None),
        ("+CREG:", None),
        ("+CGREG: 0,1", None),
    ],
)
def test_registration_with_any_number_of_fields(line: str, stat: int | None) -> None:
    assert responses.registration([line], "+CREG") == stat


@pytest.mark.parametrize(
    ("stats", "standing"),
    [
        ((1, None, None), NetworkRegistration(1, can_send=True)),
        ((0, 5, 0), NetworkRegistration(5, can_send=True, roaming=True)),
        (
            (3, 1, None),
            NetworkRegistration(1, can_send=True),
        ),  # Cat-M: denied circuits, registered packets
        ((6, None, None), NetworkRegistration(6, can_send=True)),
        ((7, None, None), NetworkRegistration(7, can_send=True, roaming=True)),
        ((3, 3, 3), NetworkRegistration(3, denied=True)),
        ((2, 0, 4), NetworkRegistration(2)),
        ((9, None, None), NetworkRegistration(9, can_send=True)),
        ((10, None, None), NetworkRegistration(10, can_send=True, roaming=True)),
        ((8, None, None), NetworkRegistration(8)),  # emergency calls only
        ((11, 11, 11), NetworkRegistration(11)),  # the same on LTE: seen on an A7670E
        ((None, None, None), NetworkRegistration(None)),
    ],
)
def test_any_registration_that_allows_sms_is_enough(
    stats: tuple[int | None, ...], standing: NetworkRegistration
) -> None:
    assert responses.combined_registration(*stats) == standing


@pytest.mark.parametrize(("line", "dbm"), [("+CSQ: 20,0", -73), ("+CSQ: 31,99", -51), ("+CSQ: 0,0", -113),
                                           ("+CSQ: 99,99", None), ("+CSQ: 199,99", None), ("", None)])  # fmt: skip
def test_signal(line: str, dbm: int | None) -> None:
    assert responses.signal_dbm([line]) == dbm


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('+COPS: 0,0,"Telekom, D",7', ("Telekom, D", "LTE")),
        ('+COPS: 0,0,"Orange F"', ("Orange F", "")),
        ('+COPS: 0,0,"Free",2', ("Free", "UMTS")),
        ("+COPS: 0", ("", "")),
    ],
)
def test_operator(line: str, found: tuple[str, str]) -> None:
    assert responses.operator([line]) == found


@pytest.mark.parametrize(
    ("line", "epoch"),
    [
        ('+CCLK: "25/06/01,12:00:00+08"', 1748772000.0),  # quarters of an hour
        ('+CCLK: "25/06/01,05:30:00-18"', 1748772000.0),
        ('+CCLK: "04/01/01,00:00:00+00"', None),
        ('+CCLK: "80/01/06,00:00:12"', None),
        ('+CCLK: "70/01/01,00:00:00+00"', None),
        ('+CCLK: "25/13/01,12:00:00+08"', None),
        ("+CCLK: ", None),
    ],
)
def test_an_unset_clock_is_no_time(line: str, epoch: float | None) -> None:
    assert responses.clock([line]) == epoch


@pytest.mark.parametrize(
    ("line", "epoch"),
    [
        ('*PSUTTZ: 2025,6,1,10,0,0,"+8",1', 1748772000.0),
        ('+CTZE: "+08",1,"2025/06/01,12:00:00"', 1748772000.0),
        ("*PSUTTZ: 2025,6", None),
        ("DST: 1", None),
        ("+CTZE: 1", None),
    ],
)
def test_network_time_has_two_kinds_of_urc(line: str, epoch: float | None) -> None:
    assert responses.network_time(line) == epoch


def test_stores() -> None:
    assert responses.stores_offered(['+CPMS: ("SM","ME","SR"),("SM","ME"),("SM")']) == (
        ("SM", "ME", "SR"), ("SM", "ME"), ("SM",),
    )  # fmt: skip
    assert responses.stores(['+CPMS: "SM",3,40,"SM",3,40,"ME",0,23']) == (
        StorageUsage("SM", 3, 40), StorageUsage("SM", 3, 40), StorageUsage("ME", 0, 23),
    )  # fmt: skip
    assert responses.stores(["+CPMS: 3,40,3,40,3,40"])[0] == StorageUsage("", 3, 40)


def test_a_listing_keeps_the_indexes_of_undecodable_messages() -> None:
    lines = ["+CMGL: 1,1,,26", "00AB", '+CMGL: 2,0,"",3', "ZZ", "+CMGL:7,3,,4", "00CD"]
    damaged = StoredPdu(2, 3, "ZZ")  # kept, so that its place is freed
    assert responses.listed(lines) == (StoredPdu(1, 26, "00AB"), damaged, StoredPdu(7, 4, "00CD"))


def test_an_empty_index_gives_no_message() -> None:
    assert responses.read([], 3) is None
    assert responses.read(["+CMGR: 0,,26"], 3) is None
    assert responses.read(["+CMGR: 0,,26", "00AB"], 3) == StoredPdu(3, 26, "00AB")


@pytest.mark.parametrize(
    ("line", "slot"),
    [('+CMTI: "SM",3', Slot("SM", 3)), ('+CDSI: "SR", 8', Slot("SR", 8)), ("+CMTI: 3", None), ("+CMTI:", None)],
)  # fmt: skip
def test_an_indication_names_storage_and_index(line: str, slot: Slot | None) -> None:
    assert responses.slot(line) == slot


@pytest.mark.parametrize(
    ("offer", "choices"),
    [
        ("(0-3),(0-3),(0,2),(0,1),(0,1)", [(2, 1, 0, 1, 0), (2, 1, 0, 0, 0)]),  # SIM800
        ("(0-2),(0-3),(0,2),(0-2),(0,1)", [(2, 1, 0, 1, 0), (2, 1, 0, 2, 0), (2, 1, 0, 0, 0)]),
        ("(1,2),(0,1),(0),(2),(1)", [(2, 1, 0, 2, 1)]),
        ("", [(2, 1, 0, 1, 0), (2, 1, 0, 2, 0), (2, 1, 0, 0, 0)]),
    ],
)
def test_direct_reports_are_chosen_where_offered(
    offer: str, choices: list[tuple[int, ...]]
) -> None:
    offered = responses.indications_offered([f"+CNMI: {offer}"])
    assert list(responses.choose_indications(offered)) == choices


@pytest.mark.parametrize(
    ("line", "reference"),
    [("+CMGS: 12", 12), ("+CMGS:123", 123), ('+CMGS: 7,"26/01/02,10:00:00+04"', 7), ("+CMGS: 0", 0),
     ("+CMGS: 300", None), ("+CMGS:", None), ("OK", None)],
)  # fmt: skip
def test_the_reference_of_a_sent_part(line: str, reference: int | None) -> None:
    assert responses.reference([line]) == reference


@pytest.mark.parametrize(
    ("line", "device", "wanted"),
    [
        ('+QURCCFG: "urcport","usbat"', "/dev/ttyAMA0", "uart1"),
        ('+QURCCFG: "urcport","uart1"', "/dev/ttyAMA0", ""),
        ('+QURCCFG: "urcport","uart1"', "/dev/ttyUSB2", "usbat"),
        ('+QURCCFG: "urcport","usbmodem"', "/dev/ttyUSB3", ""),  # which of the two, nobody knows
        ('+QURCCFG: "urcport","all"', "/dev/ttyS0", ""),
        ('+QURCCFG: "urcport","usbat"', "/dev/pts/3", ""),
        ("", "/dev/ttyAMA0", ""),
    ],
)
def test_urcs_are_directed_to_the_open_port(line: str, device: str, wanted: str) -> None:
    assert responses.urc_port([line], device) == wanted


def test_identity() -> None:
    assert responses.imei(["+CGSN: 867322030000017"]) == "867322030000017"
    assert responses.imei(["AT+CGSN"]) == ""
    assert responses.iccid(["+ICCID: 8949020000123456789F"]) == "8949020000123456789"
    assert responses.iccid(['+CCID: "89490200001234567890"']) == "89490200001234567890"
    assert responses.imsi(["262019876543210"]) == "262019876543210"
    assert responses.smsc(['+CSCA: "+491710760000",145']) == "+491710760000"
    assert responses.smsc(['+CSCA: "",129']) == ""
    assert responses.own_number(['+CNUM: "","+4915112345678",145']) == "+4915112345678"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('+CUSD: 0,"Solde: 5 EUR",15', UssdReply(0, "Solde: 5 EUR")),
        ('+CUSD: 0,"Solde"', UssdReply(0, "Solde")),
        ("+CUSD: 2", UssdReply(2, "")),
        ("+CUSD: 4", UssdReply(4, "")),
        ('+CUSD: 1,"0053006F006C00640065003A0020003520AC",72', UssdReply(1, "Solde: 5€")),
        ('+CUSD: 0,"00530061",15', UssdReply(0, "Sa")),
        ('+CUSD: 0,"AA180C3602",15', UssdReply(0, "*100#")),
        ('+CUSD: 0,"1234",15', UssdReply(0, "1234")),
        ("+CSQ: 20,0", None),
    ],
)
def test_ussd_answers_in_every_encoding(line: str, found: UssdReply | None) -> None:
    assert ussd.reply(line) == found


LANGUAGE_FIRST = gsm7.pack(gsm7.encode_septets("fr\rSolde 3€")).hex()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        # Huawei E160 packs its answers whatever the scheme says.
        ('+CUSD: 0,"D6375D5E068DE505729AAE03C564AC1A0C54AC4A41F6303B2C66974133981A",15',
         "Votre crédit: 12,50 EUR valable 30j"),
        # SIM800L leaves GSM characters as they are.
        ('+CUSD: 0, "Votre cr\x05dit s\'\x05l\x04ve \x7f CHF 3.75.",2', "Votre crédit s'élève à CHF 3.75."),
        ('+CUSD: 0,"Offre "Forfait 2h" solde 12,50 EUR",15', 'Offre "Forfait 2h" solde 12,50 EUR'),
        ('+CUSD: 0,"Solde "12,50" EUR", 15', 'Solde "12,50" EUR'),
        # Telit HE910 tells 17 for UCS-2.
        ('+CUSD: 2,"66720043007200E9006400690074002000310032002C003500300020004500550052",17',
         "Crédit 12,50 EUR"),
        ('+CUSD: 2,"0043007200E9",17', "Cré"),  # … without the language that belongs there
        (f'+CUSD: 0,"{LANGUAGE_FIRST}",16', "Solde 3€"),
        ('+CUSD: 0,"536F6C64653A2031322C3530",68', "Solde: 12,50"),
        ('+CUSD: 0,"536F6C64653A20E9",244', "Solde: é"),
        ('+CUSD: 0,"12345678",15', "12345678"),
        ('+CUSD: 0,"Solde 12,50\x1b\x65",15', "Solde 12,50€"),
    ],
)  # fmt: skip
def test_ussd_texts_that_modems_packed_quoted_or_did_not_decode(line: str, text: str) -> None:
    found = ussd.reply(line)
    assert found is not None
    assert found.text == text


@given(st.lists(TEXT, max_size=4))
def test_any_response_can_be_parsed(lines: list[str]) -> None:
    for line in lines:
        responses.fields(line)
        responses.slot(line)
        ussd.reply(line)
        responses.network_time(line)
        responses.stamp(line)
        ussd.decoded(line, 15)
    for prefix in (
        "+CPMS:",
        "+CNMI:",
        "+CMGL:",
        "+CSQ:",
        "+COPS:",
        "+CPINR:",
        "+CUSD:",
        "+CCLK:",
        "*PSUTTZ:",
    ):
        result = [prefix + line for line in lines]
        for understand in (
            responses.stores, responses.stores_offered, responses.indications_offered, responses.indications,
            responses.listed, responses.signal_dbm, responses.operator, responses.tries_left, responses.clock,
            responses.pin_state, responses.reference, responses.smsc, responses.own_number, responses.imei,
        ):  # fmt: skip
            understand(result)
        responses.choose_indications(responses.indications_offered(result))
        responses.registration(result, "+CREG")
        for line in result:
            ussd.reply(line)
            assert isinstance(responses.network_time(line), float | None)
