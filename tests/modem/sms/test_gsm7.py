"""The parts of a text, where it is cut, and how its characters become septets."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modem.sms import national_tables
from modem.sms.gsm7 import (
    Alphabet,
    decode_septets,
    decode_utf16,
    encode_septets,
    encode_utf16,
    forcing,
    pack,
    plan,
    room,
    unpack,
)

GSM7, UCS2 = Alphabet.GSM7, Alphabet.UCS2
BASIC = national_tables.BASIC.replace("\x1b", "")
EXTENSION = "".join(national_tables.EXTENSION.values())


# -- counting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "alphabet", "units", "lengths"),
    [
        ("", GSM7, 0, [0]),
        ("a" * 160, GSM7, 160, [160]),
        ("a" * 161, GSM7, 161, [153, 8]),
        ("a" * 306, GSM7, 306, [153, 153]),
        ("a" * 307, GSM7, 307, [153, 153, 1]),
        ("€" * 80, GSM7, 160, [80]),
        ("€" * 81, GSM7, 162, [76, 5]),
        ("a" * 159 + "€", GSM7, 161, [153, 7]),
        ("a" * 152 + "€" + "a" * 7, GSM7, 161, [152, 8]),
        ("ж" * 70, UCS2, 70, [70]),
        ("ж" * 71, UCS2, 71, [67, 4]),
        ("ж" * 134, UCS2, 134, [67, 67]),
        ("😀" * 35, UCS2, 70, [35]),
        ("😀" * 36, UCS2, 72, [33, 3]),
        ("a" * 66 + "😀" + "a" * 9, UCS2, 77, [66, 10]),
    ],
)
def test_texts_are_segmented_at_the_right_places(
    text: str, alphabet: Alphabet, units: int, lengths: list[int]
) -> None:
    planned = plan(text)
    assert planned.alphabet is alphabet
    assert planned.units == units
    assert [len(part) for part in planned.parts] == lengths
    assert "".join(planned.parts) == text


def test_sixteen_bit_references_take_their_room() -> None:
    assert [len(part) for part in plan("a" * 161, wide=True).parts] == [152, 9]
    assert [len(part) for part in plan("ж" * 71, wide=True).parts] == [66, 5]
    assert [len(part) for part in plan("a" * 160, wide=True).parts] == [160]


@pytest.mark.parametrize(
    ("alphabet", "header", "left"),
    [
        (GSM7, 0, 160),
        (GSM7, 4, 155),  # a shift alone
        (GSM7, 6, 153),  # concatenation
        (GSM7, 7, 152),  # 16-bit concatenation
        (GSM7, 9, 149),  # concatenation and shift
        (GSM7, 10, 148),
        (UCS2, 0, 70),
        (UCS2, 6, 67),
        (UCS2, 7, 66),
        (Alphabet.OCTETS, 6, 134),
    ],
)
def test_a_header_takes_its_room(alphabet: Alphabet, header: int, left: int) -> None:
    assert room(alphabet, header) == left


@pytest.mark.parametrize(
    "text", ["L'Haÿ", "back`tick", "ça va", "l’heure", "tab\there", "\x1b", "ç"]
)
def test_one_character_outside_gsm7_makes_the_message_ucs2(text: str) -> None:
    assert plan(text).alphabet is UCS2


@pytest.mark.parametrize("text", ["§", "Ç", "\f", "\r\n", "ΔΦΓΛΩΠΨΣΘΞ", "¿¡¤"])
def test_the_whole_default_alphabet_is_gsm7(text: str) -> None:
    assert plan(text).alphabet is GSM7


def test_the_characters_that_force_ucs2_are_listed_once_in_order() -> None:
    assert forcing("ça, là-bas: « ça » 😀😀 €") == ("ç", "«", "»", "😀")
    assert forcing("plain {text} €") == ()
    assert forcing("") == ()


# -- national tables --------------------------------------------------------------------------------

TURKISH_TEXT = "Günaydın, siparişiniz bugün yola çıktı. Teşekkür ederiz. " * 2


def test_a_shift_that_saves_a_part_is_used() -> None:
    assert plan(TURKISH_TEXT).alphabet is UCS2
    planned = plan(TURKISH_TEXT, shifts=(national_tables.SPANISH, national_tables.TURKISH))
    assert (planned.alphabet, planned.shift) == (GSM7, national_tables.TURKISH)
    assert len(planned.parts) == 1 < len(plan(TURKISH_TEXT).parts)


def test_a_shift_that_saves_nothing_is_not_used() -> None:
    """A phone without the table would show wrong letters."""
    assert plan("ığ", shifts=(1, 2, 3)).alphabet is UCS2
    assert plan("só", shifts=(1, 2, 3)).parts == ("só",)


def test_a_text_in_the_default_alphabet_needs_no_shift() -> None:
    planned = plan("a" * 400, shifts=(1, 2, 3))
    assert (planned.alphabet, planned.shift) == (GSM7, 0)


def test_the_shifts_own_header_is_counted_in_every_part() -> None:
    single = plan("ş" * 5 + "a" * 145, shifts=(1,))
    assert (single.units, len(single.parts)) == (155, 1)
    double = plan("ş" * 5 + "a" * 146, shifts=(1,))
    assert [len(encode_septets(part, 1)) for part in double.parts] == [149, 7]


def test_the_first_shift_of_those_that_save_as_much_is_used() -> None:
    text = "informação é ó" * 8
    assert plan(text, shifts=(2, 3)).shift == 3  # Spanish has no ã
    assert plan("só único " * 10, shifts=(2, 3)).shift == 2
    assert plan("só único " * 10, shifts=(3, 2)).shift == 3


def test_an_unknown_shift_is_ignored() -> None:
    assert plan(TURKISH_TEXT, shifts=(99, 0, -1)).alphabet is UCS2


def test_the_tables_are_complete() -> None:
    assert len(national_tables.BASIC) == 128 == len(set(national_tables.BASIC))
    for table in national_tables.LOCKING_SHIFT.values():
        letters = table.replace(national_tables.NOTHING, "")
        assert len(table) == 128
        assert len(letters) == len(set(letters))
        assert table[0x1B] == "\x1b"
        assert (table[0x0A], table[0x0D], table[0x20]) == ("\n", "\r", " ")
    for shift in national_tables.SINGLE_SHIFT.values():
        assert {0x1B, 0x0D}.isdisjoint(shift)
        assert dict(national_tables.EXTENSION).items() <= shift.items()


# Septets as another program's tables write these words (gsmcodecs, after release 18).
INDIAN = {
    national_tables.BENGALI: ("বাংলা ভাষা ১২", "40500146502041504b50201b1a1b1c"),
    national_tables.GUJARATI: ("ગુજરાતી ૧૨", "17531d44502752201b1d1b1e"),
    national_tables.HINDI: ("नमस्ते दुनिया ॐ १२", "2f424c5f2759202b532f5143502060201b1d1b1e"),
    national_tables.MALAYALAM: ("മലയാളം ൧൨", "424643504701201b1d1b1e"),
    national_tables.ORIYA: ("ଓଡ଼ିଆ ୧୨", "13244e5104201b1d1b1e"),
    national_tables.PUNJABI: ("ਪੰਜਾਬੀ ੧੨", "3d7b1d504052201b1d1b1e"),
    national_tables.TAMIL: ("தமிழ் ௧௨", "274251485f201b1d1b1e"),
    national_tables.TELUGU: ("తెలుగు ౧౨", "275846531753201b1d1b1e"),
    national_tables.URDU: ("اردو ۱۲", "00251a53201b1d1b1e"),
}


@pytest.mark.parametrize("language", INDIAN)
def test_the_scripts_of_india_are_read(language: int) -> None:
    text, septets = INDIAN[language]
    assert decode_septets(bytes.fromhex(septets), language, language) == text
    assert encode_septets(text, language, language) == bytes.fromhex(septets)


def test_the_letter_that_a_misprint_hides_is_read() -> None:
    """ಡ of Kannada; ಪ, which the misprint puts in its place, has one of its own."""
    assert decode_septets(b"\x15\x2f\x5f\x2f\x24", 0, national_tables.KANNADA) == "ಕನ್ನಡ"
    assert decode_septets(b"\x3d", 0, national_tables.KANNADA) == "ಪ"


def test_an_unassigned_code_of_a_table_is_recognised() -> None:
    assert decode_septets(b"\x00\x0e", 0, national_tables.TAMIL) == "\ufffdஎ"
    with pytest.raises(ValueError, match="not in the alphabet"):
        encode_septets("\ufffd", 0, national_tables.TAMIL)


def test_an_indian_shift_is_used_where_it_saves_a_part() -> None:
    digits = "०१२३४५६७८९" * 7 + "A"
    planned = plan(digits, shifts=(national_tables.HINDI,))
    assert (planned.alphabet, planned.shift, len(planned.parts)) == (GSM7, national_tables.HINDI, 1)
    assert len(plan(digits).parts) == 2


# -- septets ----------------------------------------------------------------------------------------


def test_every_character_of_every_table_survives() -> None:
    for lock in (0, *national_tables.LOCKING_SHIFT):
        for shift in (0, *national_tables.SINGLE_SHIFT):
            basic = national_tables.LOCKING_SHIFT.get(lock, national_tables.BASIC).replace(
                "\x1b", ""
            )
            basic = basic.replace(national_tables.NOTHING, "")
            extension = national_tables.SINGLE_SHIFT.get(shift, national_tables.EXTENSION)
            text = basic + "".join(extension.values())
            assert decode_septets(encode_septets(text, shift, lock), shift, lock) == text


@pytest.mark.parametrize(
    ("septets", "text"),
    [
        (b"\x1b\x65", "€"),
        (b"a\x1b", "a"),  # an escape at the end
        (b"\x1b", ""),
        (b"\x1b\x1b", " "),  # reserved for another extension table
        (b"\x1ba", "a"),  # no character there: the basic one
        (b"\x1b\x00", "@"),
        (b"\x1b\x0d", "\r"),
        (b"\x00" * 8, "@" * 8),
    ],
)
def test_escapes_read_as_the_standard_says(septets: bytes, text: str) -> None:
    assert decode_septets(septets) == text


def test_an_unknown_table_reads_as_the_default_one() -> None:
    assert decode_septets(b"\x1b\x65a", shift=13, lock=13) == "€a"


def test_a_character_without_septets_is_named() -> None:
    with pytest.raises(ValueError, match="'ж'"):
        encode_septets("aж")


@given(st.binary(max_size=160).map(lambda octets: bytes(each & 0x7F for each in octets)))
@example(b"\x00" * 7)
@example(b"\x00" * 8)
def test_packing_loses_nothing(septets: bytes) -> None:
    for header in (b"", b"\x05\x00\x03\x01\x02\x01", b"\x06\x08\x04\x00\x01\x02\x01"):
        skip = (len(header) * 8 + 6) // 7
        packed = pack(septets, header)
        assert packed.startswith(header)
        assert len(packed) == ((skip + len(septets)) * 7 + 7) // 8
        assert unpack(packed, len(septets), skip) == septets


# -- any text ---------------------------------------------------------------------------------------

gsm_texts = st.text(alphabet=BASIC + EXTENSION, max_size=700)
turkish_texts = st.text(
    alphabet=BASIC + "".join(national_tables.SINGLE_SHIFT[1].values()), max_size=700
)
any_texts = st.text(alphabet=st.characters(), max_size=300)  # lone surrogates too
emoji_texts = st.text(alphabet="😀👍🏽\u200d❤️a\ud83d\ude00", max_size=300)


@pytest.mark.seconds(3)
@settings(max_examples=500)
@given(st.one_of(gsm_texts, turkish_texts, any_texts, emoji_texts), st.booleans())
def test_every_part_fits_and_no_pair_is_cut(text: str, wide: bool) -> None:
    planned = plan(text, shifts=(1, 2, 3), wide=wide)
    assert "".join(planned.parts) == text
    header = (3 if planned.shift else 0) + ((6 if wide else 5) if len(planned.parts) > 1 else 0)
    limit = room(planned.alphabet, header + 1 if header else 0)
    sizes = []
    for part in planned.parts:
        if planned.alphabet is GSM7:
            septets = encode_septets(part, planned.shift)
            assert decode_septets(septets, planned.shift) == part
            sizes.append(len(septets))
        else:
            octets = part.encode("utf-16-be", "surrogatepass")
            sizes.append(len(octets) // 2)
    assert all(size <= limit for size in sizes)
    assert sum(sizes) == planned.units
    # As full as they go: at most one unit is left free, and only before a pair.
    assert all(size >= limit - 1 for size in sizes[:-1])
    for before, after in zip(planned.parts, planned.parts[1:], strict=False):
        assert not ("\ud800" <= before[-1] < "\udc00" <= after[0] < "\ue000")


@given(any_texts)
def test_utf16_preserves_every_valid_text(text: str) -> None:
    read = decode_utf16(encode_utf16(text))
    assert not any("\ud800" <= each <= "\udfff" for each in read)
    if not any("\ud800" <= each <= "\udfff" for each in text):
        assert read == text


def test_single_surrogates_are_replaced_and_split_pairs_joined() -> None:
    assert decode_utf16(encode_utf16("a\ud83d")) == "a\ufffd"
    assert decode_utf16(encode_utf16("\ude00b")) == "\ufffdb"
    assert decode_utf16(encode_utf16("\ud83d\ude00")) == "😀"
    assert decode_utf16(b"\xd8\x3d\xde\x00") == "😀"
    assert decode_utf16(b"\x00a\x00") == "a\ufffd"


@pytest.mark.measure
def test_planning_is_quick() -> None:
    """Measured about 0.05 ms; the limit only catches a change of kind (loaded machine)."""
    text = "{a}" * 50
    started = time.process_time()
    for _ in range(200):
        plan(text)
    assert (time.process_time() - started) / 200 < 0.001
