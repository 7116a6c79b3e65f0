"""Every spelling of a number is read as one number; an unreadable one gets a helpful error."""

from __future__ import annotations

import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.i18n import Text
from appliance.domain.errors import ApiError
from appliance.domain.phone_numbers import INTERNATIONAL, NumberReader, region

FRANCE = NumberReader("FR", national=True)


def refusal_of(text: object, reader: NumberReader = INTERNATIONAL) -> str:
    """What the refusal says, in English."""
    with pytest.raises(ApiError) as caught:
        reader.read(text)
    assert caught.value.code == "INVALID_PHONE_NUMBER"
    assert caught.value.details is not None
    reason = caught.value.details["reason"]
    assert isinstance(reason, Text)
    return str(reason)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("+33 (0)6 12 34 56 78", "+33612345678"),
        ("+33(0)612345678", "+33612345678"),
        ("+33 ( 0 ) 6 12 34 56 78", "+33612345678"),
        ("(+33) (0)6 12 34 56 78", "+33612345678"),
        ("0033 (0)6 12 34 56 78", "+33612345678"),
        ("+33 (0)06 12 34 56 78", "+33612345678"),
        ("+33 06 12 34 56 78", "+33612345678"),
        ("+330612345678", "+33612345678"),
        ("+3300612345678", "+33612345678"),
        ("+44 (0)7911 123456", "+447911123456"),
        ("+49 (0)151 23456789", "+4915123456789"),
        ("+41 (0) 79 123 45 67", "+41791234567"),
        ("+36 (06) 20 123 4567", "+36201234567"),
        ("+7 (8) 912 345-67-89", "+79123456789"),
        ("+57 (0)321 1234567", "+573211234567"),
        ("+54 (0)11 15-2345-6789", "+5491123456789"),
        ("+33（０）６１２３４５６７８", "+33612345678"),
    ],
)
def test_a_trunk_prefix_is_not_dialled_from_abroad(written: str, stored: str) -> None:
    assert INTERNATIONAL.read(written) == stored


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("+39 (0)6 698 1234", "+39066981234"),  # Italy
        ("+39 06 698 1234", "+39066981234"),
        ("+225 07 12 34 56 78", "+2250712345678"),  # Ivory Coast
        ("+241 06 03 12 34", "+24106031234"),  # Gabon has a trunk 0, and numbers that begin with 0
        ("+7 (800) 123-45-67", "+78001234567"),  # an area code, not the trunk 8
        ("+34 (0)612 345 678", "+34612345678"),  # Spain has no trunk prefix: only this is a number
    ],
)
def test_a_leading_zero_of_the_subscriber_number_is_kept(written: str, stored: str) -> None:
    assert INTERNATIONAL.read(written) == stored


def test_a_bracketed_zero_without_a_trunk_prefix_is_refused() -> None:
    assert "without (0)" in refusal_of("+34 (0)12 345 678")
    assert "without (0)" in refusal_of("+999 (0)12 345 678")


@pytest.mark.parametrize(
    "written",
    [
        "+33612345678",
        "0033612345678",
        "00 33 6 12 34 56 78",
        "+33 6 12 34 56 78",
        "+33.6.12.34.56.78",
        "+33-6-12-34-56-78",
        "+33/612/345678",
        "(+33) 6 12 34 56 78",
        " +33612345678",
        "+33612345678\r\n",
        "\t+33\t612345678",
        "+ 33612345678",
        "+33612345678)",
        "+-33612345678",
        "+33\u00a06\u202f12\u2009345\u3000678",
        "+33\u20106\u201112\u2013345\u2014678",
        "+33\u22126 12345678",
        "\u202a+33612345678\u202c",
        "\u200e+33 6\u200b12345678\ufeff",
        "+33\u20286\u202912345678\x85",
        "＋33612345678",
        "+３３６１２３４５６７８",
        "+٣٣٦١٢٣٤٥٦٧٨",
        "+३३६१२३४५६७८",
    ],
)
def test_separators_are_accepted_anywhere(written: str) -> None:
    assert INTERNATIONAL.read(written) == "+33612345678"


# Typed numbers of many plans; the last are of no plan that libphonenumber knows.
E164 = st.sampled_from(
    [
        *("+33612345678", "+447911123456", "+4915123456789", "+41791234567", "+14155552671"),
        *("+39066981234", "+393331234567", "+34612345678", "+2250712345678", "+36201234567"),
        *("+79123456789", "+5491123456789", "+525512345678", "+8613812345678", "+4520123456"),
        *("+262692123456", "+818012345678", "+1234567", "+999123456789012"),
    ]
)
SEPARATORS = st.text(
    st.one_of(
        st.characters(categories=["Zs", "Zl", "Zp", "Pd", "Cf"]),
        st.sampled_from("\t\n\r./()\u2212"),
    ),
    max_size=3,
)
DIGITS = {
    d: [c for c in map(chr, range(0x1FBFA)) if unicodedata.decimal(c, -1) == d] for d in range(10)
}


@given(st.data(), E164)
def test_any_spelling_of_a_number_is_read_as_its_e164(data: st.DataObject, number: str) -> None:
    """Any separators, any script's digits, `00` for `+`, and a trunk zero where the plan has one."""
    start = data.draw(st.sampled_from(["+", "＋", "00", "(+", "+ ", "0 0 "]))
    parsed = phonenumbers.parse(number) if not number.startswith("+999") else None
    code = len(str(parsed.country_code)) if parsed else 0
    trunk = ""
    if parsed and number[:3] in ("+33", "+44", "+49", "+41"):
        trunk = data.draw(st.sampled_from(["", "(0)", " (0) ", "0", "(0)0"]))
    out = [start]
    for place, digit in enumerate(number[1:]):
        if code and place == code:
            out.append(trunk)
        elif place:
            # In front of a country's first digit only the trunk prefix is drawn: `(0` may not follow.
            out.append(data.draw(SEPARATORS))
        out.append(data.draw(st.sampled_from(DIGITS[int(digit)])))
    assert INTERNATIONAL.read("".join(out)) == number
    assert INTERNATIONAL.read_filter("".join(out)) == number


@given(st.one_of(st.text(), st.from_regex(r"[+0-9() .-]{1,24}", fullmatch=True)))
def test_what_was_read_reads_as_itself(written: str) -> None:
    for reader in (INTERNATIONAL, FRANCE, NumberReader("IT", national=True)):
        try:
            number = reader.read(written)
        except ApiError as refusal:
            assert refusal.code == "INVALID_PHONE_NUMBER"
            continue
        assert number[0] == "+" and 7 <= len(number) - 1 <= 15
        assert number[1:].isascii() and number[1:].isdigit() and number[1] != "0"
        assert reader.read(number) == number == INTERNATIONAL.read(number)


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
def test_the_number_of_each_country_is_the_same_with_and_without_its_trunk_prefix(
    country: str,
) -> None:
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        example = phonenumbers.example_number_for_type(country, kind)
        if example is None:
            continue
        plain = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert INTERNATIONAL.read(plain) == plain
        assert example.country_code is not None
        code = str(example.country_code)
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(
            phonenumbers.region_code_for_country_code(example.country_code)
        )
        prefix = metadata.national_prefix if metadata else None
        if prefix and prefix[0] == "0":
            written = f"+{code} ({prefix}) {plain[1 + len(code) :]}"
            assert INTERNATIONAL.read(written) == plain


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "contains no digit"),
        ("+", "contains no digit"),
        ("+()", "contains no digit"),
        ("+123456", "7 to 15 digits after the +, not 6"),
        ("+1234567890123456", "7 to 15 digits after the +, not 16"),
        ("+33 (0)6 1", "7 to 15 digits after the +, not 4"),
        ("0612345678", "begin with + and the country code"),
        ("33612345678", "begin with + and the country code"),
        ("8080", "begin with + and the country code"),
        ("+0612345678", "country code after the +"),
        ("+0033612345678", "country code after the +"),
        ("++33612345678", "+ at its beginning only"),
        ("+33+612345678", "+ at its beginning only"),
        ("33612345678+", "+ at its beginning only"),
        ("+33a612345678", "contains “a”"),
        ("+33612345678;ext=5", "contains “;”"),
        ("tel:+33612345678", "contains “t”"),
        ("+3361234567²", "contains “²”"),
        ("+33\x00612345678", "contains U+0000"),
        ("\ud800", "contains U+D800"),
        ("+33 6" + " " * 100, "longer than 100 characters"),
        (None, "must be a string"),
        (33612345678, "must be a string"),
        (True, "must be a string"),
        (["+33612345678"], "must be a string"),
        ({}, "must be a string"),
    ],
)
def test_an_error_says_what_is_wrong_and_how_to_write_the_number(
    written: object, says: str
) -> None:
    assert says in refusal_of(written)


def test_a_national_number_is_refused_with_the_number_that_it_means() -> None:
    france = NumberReader("FR")
    assert refusal_of("06 12 34 56 78", france) == "must be in international form: +33612345678"
    assert refusal_of("33612345678", france) == "must be in international form: +33612345678"
    assert "this country (FR)" in refusal_of("06 12 34 56", FRANCE)


@pytest.mark.parametrize(
    ("typed", "country", "meant"),
    [
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("06.12.34.56.78", "FR", "+33612345678"),
        ("06\u202f12\u202f34\u202f56\u202f78", "FR", "+33612345678"),
        ("٠٦١٢٣٤٥٦٧٨", "FR", "+33612345678"),
        ("0033 6 12 34 56 78", "FR", "+33612345678"),
        ("+33 (0)6 12 34 56 78", "FR", "+33612345678"),
        ("+41 79 123 45 67", "FR", "+41791234567"),
        ("079 123 45 67", "CH", "+41791234567"),
        ("06 698 1234", "IT", "+39066981234"),
        ("20 12 34 56", "DK", "+4520123456"),
        ("(201) 555-0123", "US", "+12015550123"),
    ],
)
def test_the_national_form_is_read_in_the_country_where_it_is_switched_on(
    typed: str, country: str, meant: str
) -> None:
    assert NumberReader(country, national=True).read(typed) == meant


@pytest.mark.parametrize(
    ("written", "stored"),
    [("8080", "8080"), ("123", "123"), ("12 34", "1234"), ("-1234", "1234"), ("12345678",) * 2],
)
def test_a_short_code_is_a_number_where_the_owner_allows_it(written: str, stored: str) -> None:
    assert INTERNATIONAL.read(written, short_codes=True) == stored
    assert "begin with +" in refusal_of(written)


@pytest.mark.parametrize("written", ["12", "123456789", "12a4"])
def test_a_short_code_has_three_to_eight_digits(written: str) -> None:
    with pytest.raises(ApiError):
        INTERNATIONAL.read(written, short_codes=True)


def test_a_short_code_that_is_also_a_national_number_stays_a_short_code() -> None:
    assert NumberReader("NO", national=True).read("02000", short_codes=True) == "02000"
    assert FRANCE.read("36180", short_codes=True) == "36180"


@pytest.mark.parametrize(
    ("written", "sought"),
    [
        (" 33612345678", "+33612345678"),
        (" 33 (0)6 12345678", "+33612345678"),
        ("+33 6 12 34 56 78", "+33612345678"),
        ("8080", "8080"),
        ("", None),
        (None, None),
    ],
)
def test_a_filter_takes_a_plus_that_arrived_as_a_space(
    written: str | None, sought: str | None
) -> None:
    assert INTERNATIONAL.read_filter(written) == sought


@pytest.mark.parametrize("name", ["ORANGE", "36111", "Info Conso", "12345678901234567"])
def test_a_sender_that_is_no_number_is_kept_as_it_is(name: str) -> None:
    assert FRANCE.read_or_keep(name) == name


@pytest.mark.parametrize("written", ["0612345678", "+33612345678", "0033612345678", "33612345678"])
def test_a_sender_is_the_number_that_a_client_writes_to(written: str) -> None:
    assert FRANCE.read_or_keep(written) == "+33612345678"


def test_the_country_is_that_of_the_own_number_else_that_of_the_time_zone() -> None:
    assert region("+41791234567", "Europe/Paris") == "CH"
    assert region("", "Europe/Paris") == "FR"
    assert region("", "Europe/Zurich") == "CH"
    assert region("+99999999999", "Indian/Reunion") == "RE"
    assert region("", "UTC") is None
