"""The national language tables of 23.038 Annex A that we know: what the shift identifiers mean.

A single shift table lists what it adds to the extension table; a locking table is whole. The
languages of India (identifiers 4 to 13) are missing: public transcriptions of their tables differ,
and phones send these scripts as UCS-2. An unknown table is read as the default one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# 23.038 6.2.1.2.4: the identifiers that information elements 0x24 and 0x25 carry.
TURKISH: Final = 1
SPANISH: Final = 2
PORTUGUESE: Final = 3

# 23.038 6.2.1.1: what follows an escape when no national table is named. 0x0A is a page break.
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

# 23.038 Annex A.2: a single shift table takes the place of the extension table.
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
    }
)

_ASCII_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# 23.038 6.2.1, in the order of its codes; the escape stands for itself.
BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    f"¡{_ASCII_LETTERS}ÄÖÑÜ§"
    f"¿{_ASCII_LETTERS.lower()}äöñüà"
)

# 23.038 Annex A.3: a locking shift table takes the place of the default alphabet.
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
    }
)
