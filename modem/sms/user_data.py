"""Encode and decode user data and its header (23.040 9.2.3.16, 9.2.3.24).

Pure. Whatever cannot be encoded or decoded raises PduError.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import msgspec

from modem.sms import gsm7 as alphabets
from modem.sms import national_tables
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu_fields import Coding, Cursor, PduError


class Concatenation(msgspec.Struct, frozen=True):
    """Part `number` (1 to `total`) of a longer text. `wide` has a 16-bit reference."""

    reference: int
    total: int
    number: int
    wide: bool = False


class Header(msgspec.Struct, frozen=True):
    """The elements of a user data header that affect how the rest is read."""

    concatenation: Concatenation | None = None
    shift: int = 0  # national single shift table
    lock: int = 0  # national locking shift table
    # Read only, not encoded:
    port: int | None = None  # the destination port, which identifies the application
    indication: int | None = None  # first octet of a special SMS message indication
    toolkit: bool = False  # a (U)SIM Toolkit security header: for the card


class Content(msgspec.Struct, frozen=True):
    """User data without its header: `units` are septets (one an octet), UTF-16 or plain octets."""

    coding: Coding
    header: Header
    units: bytes

    @property
    def text(self) -> str | None:
        """The text, or None for 8-bit or compressed data."""
        return _text(self.coding, self.header, self.units)

    @property
    def data(self) -> bytes:
        """The octets of data that is not text."""
        return b"" if self.coding.is_text else self.units


def encode_text(text: str, alphabet: Alphabet, header: Header) -> bytes:
    """Return user data after its length, which counts septets for GSM-7 and octets for UCS-2."""
    octets = _encode_header(header)
    if alphabet is not Alphabet.GSM7:
        return _within_limit(octets + alphabets.encode_utf16(text))
    try:
        septets = alphabets.encode_septets(text, header.shift, header.lock)
    except ValueError as error:
        raise PduError(str(error)) from error
    length = alphabets.header_septets(len(octets)) + len(septets)
    return _within_limit(alphabets.pack(septets, octets), length)


def encode_data(data: bytes, header: Header) -> bytes:
    """Return user data that is not text, after its length in octets."""
    return _within_limit(_encode_header(header) + data)


def decode_user_data(cursor: Cursor, coding: Coding, *, has_header: bool) -> Content:
    """Decode user data. Octets after the announced length are ignored: some networks send them."""
    length = cursor.octet()
    packed = coding.alphabet is Alphabet.GSM7 and not coding.compressed
    announced = (length * 7 + 7) // 8 if packed else length
    octets = cursor.at_most(announced)
    ahead = (octets[0] if octets else 0) + 1 if has_header else 0
    if ahead > len(octets):
        raise PduError("a user data header longer than the user data")
    skip = alphabets.header_septets(ahead) if packed else ahead
    # No text after the header: the octet for the last fill bits may be missing.
    if len(octets) < announced and length > skip:
        raise PduError(f"cut short: {announced} octets of user data, {len(octets)} left")
    header = _decode_header(octets[1:ahead])
    if not packed:
        return Content(coding, header, octets[ahead:])
    return Content(coding, header, alphabets.unpack(octets, max(length - skip, 0), skip))


def join(parts: Sequence[Content]) -> str | None:
    """Return the text of parts in their order; None if one of them is not text.

    Some senders split a surrogate pair or an escape pair between parts, so neighbours in the same alphabet are
    decoded together.
    """
    texts = [
        _text(coding, header, b"".join(part.units for part in neighbours))
        for (coding, header), neighbours in groupby(parts, _decoding)
    ]
    readable = [text for text in texts if text is not None]
    return "".join(readable) if len(readable) == len(texts) else None


def _decoding(part: Content) -> tuple[Coding, Header]:
    """Return what determines how a part is decoded, without its concatenation."""
    return part.coding, Header(shift=part.header.shift, lock=part.header.lock)


def _text(coding: Coding, header: Header, units: bytes) -> str | None:
    if not coding.is_text:
        return None
    if coding.alphabet is Alphabet.UCS2:
        return alphabets.decode_utf16(units)
    return alphabets.decode_septets(units, header.shift, header.lock)


def _within_limit(octets: bytes, length: int | None = None) -> bytes:
    if len(octets) > alphabets.USER_DATA_OCTETS:
        raise PduError(f"too long for one part: {len(octets)} octets")
    return bytes([len(octets) if length is None else length]) + octets


_CONCATENATED: Final = 0x00  # 9.2.3.24.1
_CONCATENATED_WIDE: Final = 0x08  # 9.2.3.24.8
_INDICATION: Final = 0x01  # 9.2.3.24.2
_PORT: Final = 0x04  # 9.2.3.24.3
_PORT_WIDE: Final = 0x05  # 9.2.3.24.4
_TOOLKIT: Final = range(0x70, 0x80)  # 9.2.3.24.7
_SINGLE_SHIFT: Final = 0x24  # 9.2.3.24.15
_LOCKING_SHIFT: Final = 0x25  # 9.2.3.24.16


def _encode_header(header: Header) -> bytes:
    elements = b""
    if header.concatenation:
        elements += _encode_concatenation(header.concatenation)
    for element, identifier, known in (
        (_SINGLE_SHIFT, header.shift, header.shift in national_tables.SINGLE_SHIFT),
        (_LOCKING_SHIFT, header.lock, header.lock in national_tables.LOCKING_SHIFT),
    ):
        if identifier and not known:
            raise PduError(f"no national table {identifier} for element {element:02X}")
        if identifier:
            elements += bytes([element, 1, identifier])
    return bytes([len(elements)]) + elements if elements else b""


def _encode_concatenation(part: Concatenation) -> bytes:
    if not 1 <= part.number <= part.total <= 0xFF:
        raise PduError(f"no such part: {part.number} of {part.total}")
    if not 0 <= part.reference <= (0xFFFF if part.wide else 0xFF):
        raise PduError(f"reference out of range: {part.reference}")
    if part.wide:
        element = bytes([_CONCATENATED_WIDE, 4]) + part.reference.to_bytes(2, "big")
    else:
        element = bytes([_CONCATENATED, 3, part.reference])
    return element + bytes([part.total, part.number])


def _decode_header(elements: bytes) -> Header:
    """Decode a header. Of exclusive elements the last one counts; with a wrong size none does (9.2.3.24)."""
    concatenation: Concatenation | None = None
    shift = lock = 0
    port: int | None = None
    indication: int | None = None
    toolkit = False
    rest = elements
    while rest:
        if len(rest) < 2 or len(rest) < 2 + rest[1]:
            return Header()
        element, value, rest = rest[0], rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        if element in (_CONCATENATED, _CONCATENATED_WIDE):
            concatenation = _decode_concatenation(element, value) or concatenation
        elif element == _SINGLE_SHIFT and len(value) == 1:
            shift = value[0]
        elif element == _LOCKING_SHIFT and len(value) == 1:
            lock = value[0]
        elif (element, len(value)) in ((_PORT, 2), (_PORT_WIDE, 4)):
            port = int.from_bytes(value[: len(value) // 2], "big")
        elif element == _INDICATION and len(value) == 2:
            indication = value[0]
        elif element in _TOOLKIT:
            toolkit = True
    return Header(concatenation, shift, lock, port, indication, toolkit)


def _decode_concatenation(element: int, value: bytes) -> Concatenation | None:
    """Decode a concatenation element; one with an impossible part number is ignored (9.2.3.24.1)."""
    wide = element == _CONCATENATED_WIDE
    if len(value) != (4 if wide else 3):
        return None
    total, number = value[-2:]
    if not 1 <= number <= total:
        return None
    return Concatenation(int.from_bytes(value[:-2], "big"), total, number, wide)
