"""The national language tables of 23.038 Annex A, by shift identifier.

A single shift table lists its additions to the extension table; a locking table is complete. An unknown
table of a later release is read as the default one.

The languages of India were compared cell by cell in three transcriptions of releases 9, 16 and 18.
They differ in 16 of 2,540 cells. In twelve of these two transcriptions agree; for the other four see below.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# 23.038 6.2.1.2.4: the identifiers that information elements 0x24 and 0x25 carry.
TURKISH: Final = 1
SPANISH: Final = 2
PORTUGUESE: Final = 3
BENGALI: Final = 4
GUJARATI: Final = 5
HINDI: Final = 6
KANNADA: Final = 7
MALAYALAM: Final = 8
ORIYA: Final = 9
PUNJABI: Final = 10
TAMIL: Final = 11
TELUGU: Final = 12
URDU: Final = 13

NOTHING: Final = "\ufffd"  # an unassigned code of a locking table

# 23.038 6.2.1.1: the characters after an escape without a national table. 0x0A is a page break.
EXTENSION: Final = MappingProxyType(
    {
        0x0A: "\f",
        0x14: "^",
        0x28: "{",
        0x29: "}",
        0x2F: "\\",
        0x3C: "[",
        0x3D: "~",
        0x3E: "]",
        0x40: "|",
        0x65: "€",
    }
)


def _characters(ranges: str) -> list[str]:
    """Return the characters of ranges of code points ("9E6-9EF 9DF"); `.` is an unassigned code."""
    found: list[str] = []
    for each in ranges.split():
        if each == ".":
            found.append(NOTHING)
            continue
        first, _, last = each.partition("-")
        found += map(chr, range(int(first, 16), int(last or first, 16) + 1))
    return found


# A.2.4 to A.2.13 have this in common …
_INDIAN_SHIFT: Final = dict(EXTENSION) | dict(enumerate("@£$¥¿\"¤%&'"))
_INDIAN_SHIFT.update(dict(enumerate("*+", 0x0B)) | dict(enumerate("-/<=>¡^¡_#*", 0x0E)))
_INDIAN_SHIFT.update(dict(enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 0x41)))
# … and the digits and rarer signs of each script in these places, in this order.
_INDIAN_PLACES: Final = (
    0x19,
    0x1A,
    *range(0x1C, 0x28),
    *range(0x2A, 0x2F),
    *range(0x30, 0x3C),
    0x3F,
)


def _indian_shift(ranges: str) -> dict[int, str]:
    own = zip(_INDIAN_PLACES, _characters(ranges), strict=False)
    return _INDIAN_SHIFT | {place: each for place, each in own if each != NOTHING}


# 23.038 Annex A.2: a single shift table replaces the extension table.
SINGLE_SHIFT: Final = MappingProxyType(
    {
        # A.2.1
        TURKISH: dict(EXTENSION)
        | {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"},
        # A.2.2
        SPANISH: dict(EXTENSION)
        | {0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú"}
        | {0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú"},
        # A.2.3
        PORTUGUESE: dict(EXTENSION)
        | {0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á"}
        | {0x12: "Φ", 0x13: "Γ", 0x15: "Ω", 0x16: "Π", 0x17: "Ψ", 0x18: "Σ", 0x19: "Θ"}
        | {0x1F: "Ê", 0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x5B: "Ã", 0x5C: "Õ"}
        | {0x61: "Â", 0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â"},
        BENGALI: _indian_shift("9E6-9EF 9DF-9E3 9F2-9FA"),
        GUJARATI: _indian_shift("964-965 AE6-AEF"),
        HINDI: _indian_shift("964-96F 951-954 958-963 970-971"),
        KANNADA: _indian_shift("964-965 CE6-CEF CDE CF1-CF2"),
        MALAYALAM: _indian_shift("964-965 D66-D75 D7A-D7F"),
        ORIYA: _indian_shift("964-965 B66-B6F B5C-B5D B5F B70-B71"),
        PUNJABI: _indian_shift("964-965 A66-A6F A59-A5C A5E A75"),
        TAMIL: _indian_shift("964-965 BE6-BEF BF3-BF8 BFA"),
        TELUGU: _indian_shift(". . C66-C6F C58-C59 C78-C7F"),
        URDU: _indian_shift("600-601 6F0-6F9 60C-614 61B 61F 640 652 658 66B-66C 672-673 6CD 6D4"),
    }
)

_ASCII_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# 23.038 6.2.1, in the order of its codes; the escape is itself.
BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    f"¡{_ASCII_LETTERS}ÄÖÑÜ§"
    f"¿{_ASCII_LETTERS.lower()}äöñüà"
)

# A.3.4 to A.3.13: the signs between the letters of each script, with `~` for each letter.
_INDIAN_FRAME: Final = (
    "~~~~~~~~~~\n~~\r~~~~~~~~~~~~~\x1b~~~~"
    " !~~~~~~)(~~,~.~0123456789:;~~~?"
    "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"
)
# The blocks of Unicode for these scripts are laid out alike, and so are the tables.
_ISCII: Final = _characters("01-03 05-39 3C-4D")


def _indian(letters: list[str], others: str) -> str:
    """Return a locking table with `letters` in the common frame, and `others` at 0x60 and from 0x7B on."""
    remaining = iter(letters)
    table = "".join([next(remaining) if each == "~" else each for each in _INDIAN_FRAME])
    first, *last = _characters(others)
    return "".join([table, first, _ASCII_LETTERS.lower(), *last])


def _of_block(block: int, without: str, others: str) -> str:
    """Return a locking table of a script in one Unicode block, with some codes unassigned."""
    unknown = set(_characters(without))
    letters = [NOTHING if each in unknown else chr(block + ord(each)) for each in _ISCII]
    return _indian(letters, others)


# 23.038 Annex A.3: a locking shift table replaces the default alphabet.
# There is none for Spanish (A.3.2: the default alphabet).
LOCKING_SHIFT: Final = MappingProxyType(
    {
        # A.3.1
        TURKISH: (
            "@£$¥€éùıòÇ\nĞğ\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ"
            " !\"#¤%&'()*+,-./0123456789:;<=>?"
            f"İ{_ASCII_LETTERS}ÄÖÑÜ§"
            f"ç{_ASCII_LETTERS.lower()}äöñüà"
        ),
        # A.3.3
        PORTUGUESE: (
            "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ"
            " !\"#º%&'()*+,-./0123456789:;<=>?"
            f"Í{_ASCII_LETTERS}ÃÕÚÜ§"
            f"~{_ASCII_LETTERS.lower()}ãõ`üà"
        ),
        BENGALI: _of_block(0x980, "0D-0E 11-12 29 31 33-35 45-46 49-4A", "9CE 9D7 9DC-9DD 9F0-9F1"),
        GUJARATI: _of_block(0xA80, "0E 12 29 31 34 46 4A", "AD0 AE0-AE3 AF1"),
        HINDI: _of_block(0x900, "", "950 972 97B-97C 97E-97F"),
        # 0x24: the later two transcriptions have U+0CAA, which is at 0x3D as well; the oldest has
        # the letter that is missing otherwise, as in every other table.
        KANNADA: _of_block(0xC80, "01 0D 11 29 34 45 49", "CD5-CD6 CE0-CE3"),
        MALAYALAM: _of_block(0xD00, "01 0D 11 29 3C 45 49", "D57 D60-D63 D79"),
        ORIYA: _of_block(0xB00, "0D-0E 11-12 29 31 34 45-46 49-4A", "B56-B57 B60-B63"),
        PUNJABI: _of_block(0xA00, "0B-0E 11-12 29 31 34 37 3D 43-46 49-4A", "A51 A70-A74"),
        TAMIL: _of_block(
            0xB80,
            "01 0B-0D 11 16-18 1B 1D 20-22 25-27 2B-2D 3C-3D 43-45 49",
            "BD0 BD7 BF0-BF2 BF9",
        ),
        TELUGU: _of_block(0xC00, "0D 11 29 34 3C 45 49", "C55-C56 C60-C63"),
        URDU: _indian(
            _characters(
                "627 622 628 67B 680 67E 6A6 62A 6C2 67F 679 67D 67A 67C 62B-62C 681 684 683 "
                "685-687 62D-62F 68C 688-68A 68F 68D 630-631 691 693 699 632 696 698 69A 633-639 "
                "641-642 6A9-6AB 6AF 6B3 6B1 644-646 6BA-6BC 648 6C4 6D5 6C1 6BE 621 6CC 6D0 6D2 "
                "64D 650 64F 657"
            ),
            "654-655 651 653 656 670",
        ),
    }
)
