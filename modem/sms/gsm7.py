"""The alphabets of SMS (23.038): encoding, segmentation and septets of a text.

Pure. A text is never cut inside an escape pair or a surrogate pair.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Final

import msgspec

from modem.sms import national_tables


class Alphabet(StrEnum):
    GSM7 = "GSM-7"
    UCS2 = "UCS-2"
    OCTETS = "8-bit"  # data instead of text: `plan` never returns it


class Plan(msgspec.Struct, frozen=True):
    """The segmentation of a text. `"".join(parts) == text`; `units` are septets or UTF-16 units."""

    alphabet: Alphabet
    parts: tuple[str, ...]
    units: int
    shift: int = 0  # national single shift table (23.038 6.2.1.2.4), 0 for none


USER_DATA_OCTETS: Final = 140  # 23.040 9.2.3.16
CONCATENATION_OCTETS: Final = 5  # 23.040 9.2.3.24.1, the element with its identifier and length
WIDE_CONCATENATION_OCTETS: Final = 6  # 23.040 9.2.3.24.8
SHIFT_OCTETS: Final = 3  # 23.040 9.2.3.24.15 and 16
_ESCAPE: Final = 0x1B
# Loaded now: when the first UCS-2 text is sent, no file descriptor may be left to load the codec.
codecs.lookup("utf-16-be")
_PAIR_OR_ONE: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]|.", re.DOTALL)


def plan(text: str, *, shifts: Sequence[int] = (), wide: bool = False) -> Plan:
    """Return the cheapest encoding of `text`: GSM-7, else UCS-2, or the first of `shifts` with fewer parts.

    A phone that does not know a national table shows wrong letters, so a shift that saves no part
    is not used. `wide` leaves room for 16-bit references. An empty text is one empty part.
    """
    characters = set(text)
    if characters <= _codes(0, 0).keys():
        return _in_septets(text, 0, wide)
    best = _in_utf16(text, wide)
    for shift in shifts:
        if shift in national_tables.SINGLE_SHIFT and characters <= _codes(shift, 0).keys():
            candidate = _in_septets(text, shift, wide)
            if len(candidate.parts) < len(best.parts):
                best = candidate
    return best


def forcing(text: str) -> tuple[str, ...]:
    """Return the characters of `text` that are not in GSM-7, in order of appearance, each once."""
    known = _codes(0, 0)
    return tuple(dict.fromkeys(each for each in _PAIR_OR_ONE.findall(text) if each not in known))


def room(alphabet: Alphabet, header_octets: int) -> int:
    """Return the septets, UTF-16 units or octets left beside a user data header (with its length octet)."""
    if alphabet is Alphabet.GSM7:
        return USER_DATA_OCTETS * 8 // 7 - header_septets(header_octets)
    left = USER_DATA_OCTETS - header_octets
    return left // 2 if alphabet is Alphabet.UCS2 else left


def header_septets(header_octets: int) -> int:
    """Return the septets that a header takes with its fill bits (23.040 9.2.3.24)."""
    return (header_octets * 8 + 6) // 7


def encode_septets(text: str, shift: int = 0, lock: int = 0) -> bytes:
    """Return a text as septets, one per octet. Raises ValueError for a character that has none."""
    codes = _codes(shift, lock)
    try:
        return b"".join([codes[each] for each in text])
    except KeyError as missing:
        raise ValueError(f"{missing.args[0]!r} is not in the alphabet") from None


def decode_septets(septets: bytes, shift: int = 0, lock: int = 0) -> str:
    """Return the text of septets, one per octet. Unknown tables are read as the default ones.

    23.038 6.2.1.1: an escape before an unassigned code gives the basic character of that code; a second
    escape gives a space. An escape at the end gives nothing.
    """
    basic = national_tables.LOCKING_SHIFT.get(lock, national_tables.BASIC)
    if _ESCAPE not in septets:
        return "".join([basic[each] for each in septets])
    extension = national_tables.SINGLE_SHIFT.get(shift, national_tables.EXTENSION)
    text: list[str] = []
    remaining = iter(septets)
    for each in remaining:
        if each != _ESCAPE:
            text.append(basic[each])
            continue
        following = next(remaining, None)
        if following == _ESCAPE:
            text.append(" ")
        elif following is not None:
            text.append(extension.get(following, basic[following]))
    return "".join(text)


def pack(septets: bytes, header: bytes = b"") -> bytes:
    """Pack septets into octets, after a header and its fill bits (23.038 6.1.2.1.1)."""
    ahead = header_septets(len(header))
    bits = "".join([_BITS[each] for each in reversed(septets)])
    packed = int(bits or "0", 2) << 7 * ahead | int.from_bytes(header, "little")
    return packed.to_bytes(((ahead + len(septets)) * 7 + 7) // 8, "little")


def unpack(octets: bytes, count: int, skip: int = 0) -> bytes:
    """Return `count` septets after the first `skip`, one per octet. `octets` must contain them all."""
    packed = int.from_bytes(octets, "little")
    return bytes([packed >> 7 * place & 0x7F for place in range(skip, skip + count)])


def encode_utf16(text: str) -> bytes:
    """Return UCS-2 as UTF-16; single halves of a surrogate pair become U+FFFD."""
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError:
        whole = text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
        return whole.encode("utf-16-be")


def decode_utf16(octets: bytes) -> str:
    """Return the text of UTF-16; single halves of a pair and an odd last octet become U+FFFD."""
    return octets.decode("utf-16-be", "replace")


_BITS: Final = [format(each, "07b") for each in range(128)]


@cache
def _codes(shift: int, lock: int) -> Mapping[str, bytes]:
    """Return each character's septets: one, or an escape and one."""
    extension = national_tables.SINGLE_SHIFT.get(shift, national_tables.EXTENSION)
    basic = national_tables.LOCKING_SHIFT.get(lock, national_tables.BASIC)
    codes = {character: bytes([_ESCAPE, code]) for code, character in extension.items()}
    codes |= {character: bytes([code]) for code, character in enumerate(basic)}
    del codes["\x1b"]
    codes.pop(national_tables.NOTHING, None)
    return codes


def _header_octets(shift: int, concatenated: bool, wide: bool) -> int:
    octets = SHIFT_OCTETS if shift else 0
    if concatenated:
        octets += WIDE_CONCATENATION_OCTETS if wide else CONCATENATION_OCTETS
    return octets + 1 if octets else 0  # the header's own length


def _in_septets(text: str, shift: int, wide: bool) -> Plan:
    codes = _codes(shift, 0)
    sizes = [len(codes[each]) for each in text]
    return _planned(Alphabet.GSM7, text, list(text), sizes, shift, wide)


def _in_utf16(text: str, wide: bool) -> Plan:
    pieces = _PAIR_OR_ONE.findall(text)
    sizes = [len(each) if len(each) == 2 else 1 + (each > "\uffff") for each in pieces]
    return _planned(Alphabet.UCS2, text, pieces, sizes, 0, wide)


def _planned(
    alphabet: Alphabet,
    text: str,
    pieces: Sequence[str],
    sizes: Sequence[int],
    shift: int,
    wide: bool,
) -> Plan:
    units = sum(sizes)
    if units <= room(alphabet, _header_octets(shift, concatenated=False, wide=wide)):
        return Plan(alphabet, (text,), units, shift)
    limit = room(alphabet, _header_octets(shift, concatenated=True, wide=wide))
    return Plan(alphabet, tuple(_cut(zip(pieces, sizes, strict=True), limit)), units, shift)


def _cut(sized: Iterable[tuple[str, int]], limit: int) -> Iterable[str]:
    """Return parts as full as possible, cut only between pieces."""
    part: list[str] = []
    used = 0
    for piece, size in sized:
        if used + size > limit:
            yield "".join(part)
            part, used = [], 0
        part.append(piece)
        used += size
    yield "".join(part)
