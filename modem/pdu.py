"""The TPDUs of SMS (23.040 9.2.2): values to hex for AT commands and back.

Pure. What the box sends and what it receives, and for both the network's side as well.
Everything that cannot be encoded or decoded raises PduError, and nothing else is raised.
"""

from __future__ import annotations

import binascii
from datetime import datetime
from typing import Final

import msgspec

from modem import alphabet as alphabets
from modem import national
from modem.alphabet import Alphabet
from modem.fields import (
    Coding,
    Cursor,
    PduError,
    decode_address,
    decode_coding,
    decode_time,
    decode_validity,
    encode_address,
    encode_coding,
    encode_smsc,
    encode_time,
    encode_validity,
    is_number,
)
from modem.interface import Tpdu

__all__ = [
    "Concatenation",
    "Deliver",
    "PduError",
    "Report",
    "Submit",
    "decode",
    "decode_submit",
    "encode_deliver",
    "encode_report",
    "encode_submit",
]


class Concatenation(msgspec.Struct, frozen=True):
    """Part `number` (1 to `total`) of a longer text. `wide` has a 16-bit reference."""

    reference: int
    total: int
    number: int
    wide: bool = False


class Submit(msgspec.Struct, frozen=True):
    """SMS-SUBMIT: one part on its way out.

    `validity_minutes` becomes the longest period of 23.040 9.2.3.12.1 that is not longer, and at
    least five minutes; None leaves it to the network. Read back, it is None for absolute times too.
    """

    recipient: str  # "+4915112345678", or the digits of a short code, "8080"
    text: str
    alphabet: Alphabet
    shift: int = 0  # national single shift table
    concatenation: Concatenation | None = None
    report: bool = True  # TP-SRR
    validity_minutes: int | None = None
    flash: bool = False  # class 0
    reference: int = 0  # TP-MR; modems put their own in its place
    lock: int = 0  # national locking shift table
    data: bytes = b""  # instead of the text, with Alphabet.OCTETS


class Deliver(msgspec.Struct, frozen=True):
    """SMS-DELIVER: one part as received.

    `text` is None where the content is no text (8-bit, compressed): it is in `data` then. To be
    encoded with `dcs` 0, the octet is made from `alphabet` and `flash`.
    """

    sender: str
    text: str | None
    data: bytes = b""
    sent_at: datetime | None = None  # UTC, from TP-SCTS
    concatenation: Concatenation | None = None
    alphabet: Alphabet = Alphabet.GSM7
    dcs: int = 0
    pid: int = 0
    flash: bool = False
    shift: int = 0
    lock: int = 0


class Report(msgspec.Struct, frozen=True):
    """SMS-STATUS-REPORT: what became of a part. `status` is TP-ST (`modem.faults.status`)."""

    reference: int  # TP-MR as `+CMGS` told it
    recipient: str
    submitted_at: datetime | None  # UTC, from TP-SCTS
    discharged_at: datetime | None
    status: int


# TP-MTI (23.040 9.2.3.1), whose meaning depends on the direction, and other bits of the first octet
_TYPE: Final = 0b11
_DELIVER: Final = 0b00
_SUBMIT: Final = 0b01
_STATUS_REPORT: Final = 0b10
_NO_MORE_MESSAGES: Final = 0x04
_RELATIVE_VALIDITY: Final = 0x10
_VALIDITY_FORMAT: Final = 0x18
_REPORT_REQUESTED: Final = 0x20
_HEADER: Final = 0x40


def encode_submit(submit: Submit, smsc: str = "") -> Tpdu:
    """For AT+CMGS. Without `smsc` the modem uses the SIM's."""
    if not is_number(submit.recipient):
        raise PduError(f"not a recipient: {submit.recipient!r}")
    header = _encode_header(submit.concatenation, submit.shift, submit.lock)
    first = _SUBMIT | (_REPORT_REQUESTED if submit.report else 0) | (_HEADER if header else 0)
    validity = b""
    if submit.validity_minutes is not None:
        first |= _RELATIVE_VALIDITY
        validity = bytes([encode_validity(submit.validity_minutes)])
    return _tpdu(
        smsc,
        bytes([first, _octet("reference", submit.reference)]),
        encode_address(submit.recipient),
        bytes([0, encode_coding(submit.alphabet, submit.flash)]),
        validity,
        _encode_user_data(submit, header, submit.alphabet),
    )


def decode_submit(hex: str) -> Submit:  # noqa: A002
    """What a program handed to AT+CMGS."""
    cursor = _opened(hex)
    first = cursor.octet()
    if first & _TYPE != _SUBMIT:
        raise PduError(f"not an SMS-SUBMIT: first octet {first:02X}")
    reference = cursor.octet()
    recipient = decode_address(cursor)
    cursor.octet()
    coding = decode_coding(cursor.octet())
    validity = _decode_validity_field(cursor, first)
    content = _decode_user_data(cursor, coding, bool(first & _HEADER))
    return Submit(
        recipient=recipient,
        text=content.text or "",
        alphabet=coding.alphabet,
        shift=content.shift,
        concatenation=content.concatenation,
        report=bool(first & _REPORT_REQUESTED),
        validity_minutes=validity,
        flash=coding.flash,
        reference=reference,
        lock=content.lock,
        data=content.data,
    )


def decode(hex: str) -> Deliver | Report:  # noqa: A002
    """What the network sent, as the modem gives it, with the SMSC in front."""
    cursor = _opened(hex)
    first = cursor.octet()
    kind = first & _TYPE
    if kind == _STATUS_REPORT:
        return _decode_report(cursor)
    if kind == _SUBMIT:
        raise PduError("a stored SMS-SUBMIT, not something received")
    return _decode_deliver(cursor, first)  # 23.040 9.2.3.1: the reserved type counts as DELIVER


def encode_deliver(deliver: Deliver, smsc: str = "") -> Tpdu:
    """As the network would send it; an aware `sent_at` is written in its own zone."""
    dcs = deliver.dcs or encode_coding(deliver.alphabet, deliver.flash)
    header = _encode_header(deliver.concatenation, deliver.shift, deliver.lock)
    return _tpdu(
        smsc,
        bytes([_DELIVER | _NO_MORE_MESSAGES | (_HEADER if header else 0)]),
        encode_address(deliver.sender),
        bytes([_octet("pid", deliver.pid), _octet("dcs", dcs)]),
        encode_time(deliver.sent_at),
        _encode_user_data(deliver, header, decode_coding(dcs).alphabet),
    )


def encode_report(report: Report, smsc: str = "") -> Tpdu:
    """As the network would send it."""
    return _tpdu(
        smsc,
        bytes([_STATUS_REPORT | _NO_MORE_MESSAGES, _octet("reference", report.reference)]),
        encode_address(report.recipient),
        encode_time(report.submitted_at),
        encode_time(report.discharged_at),
        bytes([_octet("status", report.status)]),
    )


def _decode_deliver(cursor: Cursor, first: int) -> Deliver:
    sender = decode_address(cursor)
    pid = cursor.octet()
    dcs = cursor.octet()
    coding = decode_coding(dcs)
    sent_at = decode_time(cursor)
    content = _decode_user_data(cursor, coding, bool(first & _HEADER))
    return Deliver(
        sender=sender,
        text=content.text,
        data=content.data,
        sent_at=sent_at,
        concatenation=content.concatenation,
        alphabet=coding.alphabet,
        dcs=dcs,
        pid=pid,
        flash=coding.flash,
        shift=content.shift,
        lock=content.lock,
    )


def _decode_report(cursor: Cursor) -> Report:
    """TP-PI and what it announces (9.2.3.27) say nothing about the message: not read."""
    return Report(
        reference=cursor.octet(),
        recipient=decode_address(cursor),
        submitted_at=decode_time(cursor),
        discharged_at=decode_time(cursor),
        status=cursor.octet(),
    )


def _opened(hex: str) -> Cursor:  # noqa: A002
    """The octets behind the SMSC."""
    try:
        cursor = Cursor(binascii.unhexlify(hex.strip()))
    except ValueError as error:
        raise PduError(f"not hexadecimal: {hex[:400]!r}") from error
    cursor.take(cursor.octet())
    return cursor


def _tpdu(smsc: str, *fields: bytes) -> Tpdu:
    octets = b"".join(fields)
    return Tpdu((encode_smsc(smsc) + octets).hex().upper(), len(octets))


def _octet(name: str, number: int) -> int:
    if not 0 <= number <= 0xFF:
        raise PduError(f"{name} is one octet, not {number}")
    return number


def _decode_validity_field(cursor: Cursor, first: int) -> int | None:
    form = first & _VALIDITY_FORMAT
    if not form:
        return None
    if form == _RELATIVE_VALIDITY:
        return decode_validity(cursor.octet())
    cursor.take(7)  # absolute (9.2.3.12.2) and enhanced (9.2.3.12.3): no minutes from now
    return None


# -- user data and its header (23.040 9.2.3.24) ---------------------------------------------------

_CONCATENATED: Final = 0x00
_CONCATENATED_WIDE: Final = 0x08
_SINGLE_SHIFT: Final = 0x24
_LOCKING_SHIFT: Final = 0x25


class _Content(msgspec.Struct, frozen=True):
    text: str | None
    data: bytes
    concatenation: Concatenation | None
    shift: int
    lock: int


def _encode_header(concatenation: Concatenation | None, shift: int, lock: int) -> bytes:
    elements = b""
    if concatenation:
        elements += _encode_concatenation(concatenation)
    for element, identifier, known in (
        (_SINGLE_SHIFT, shift, shift in national.SINGLE_SHIFT),
        (_LOCKING_SHIFT, lock, lock in national.LOCKING_SHIFT),
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


def _encode_user_data(message: Submit | Deliver, header: bytes, alphabet: Alphabet) -> bytes:
    """With its length in front: septets for GSM-7, octets else."""
    if alphabet is Alphabet.GSM7 and message.text is not None:
        try:
            septets = alphabets.encode_septets(message.text, message.shift, message.lock)
        except ValueError as error:
            raise PduError(str(error)) from error
        length = alphabets.header_septets(len(header)) + len(septets)
        octets = alphabets.pack(septets, header)
    else:
        as_text = alphabet is Alphabet.UCS2 and message.text is not None
        octets = header + (alphabets.encode_utf16(message.text or "") if as_text else message.data)
        length = len(octets)
    if len(octets) > alphabets.USER_DATA_OCTETS:
        raise PduError(f"too long for one part: {len(octets)} octets")
    return bytes([length]) + octets


def _decode_user_data(cursor: Cursor, coding: Coding, has_header: bool) -> _Content:
    length = cursor.octet()
    packed = coding.alphabet is Alphabet.GSM7 and not coding.compressed
    octets = cursor.take((length * 7 + 7) // 8 if packed else length)
    header = octets[: octets[0] + 1] if has_header and octets else b""
    if has_header and len(header) != (octets[0] + 1 if octets else 1):
        raise PduError("a user data header longer than the user data")
    concatenation, shift, lock = _decode_header(header[1:])
    text: str | None = None
    data = b""
    if packed:
        skip = alphabets.header_septets(len(header))
        septets = alphabets.unpack(octets, max(length - skip, 0), skip)
        text = alphabets.decode_septets(septets, shift, lock)
    elif coding.alphabet is Alphabet.UCS2 and not coding.compressed:
        text = alphabets.decode_utf16(octets[len(header) :])
    else:
        data = octets[len(header) :]
    return _Content(text, data, concatenation, shift, lock)


def _decode_header(elements: bytes) -> tuple[Concatenation | None, int, int]:
    """9.2.3.24: the last of elements that exclude each other counts; if sizes are wrong, none."""
    concatenation: Concatenation | None = None
    shift = lock = 0
    rest = elements
    while rest:
        if len(rest) < 2 or len(rest) < 2 + rest[1]:
            return None, 0, 0
        element, value, rest = rest[0], rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
        if element in (_CONCATENATED, _CONCATENATED_WIDE):
            concatenation = _decode_concatenation(element, value) or concatenation
        elif element == _SINGLE_SHIFT and len(value) == 1:
            shift = value[0]
        elif element == _LOCKING_SHIFT and len(value) == 1:
            lock = value[0]
    return concatenation, shift, lock


def _decode_concatenation(element: int, value: bytes) -> Concatenation | None:
    """9.2.3.24.1: an element with an impossible number of parts is ignored."""
    wide = element == _CONCATENATED_WIDE
    if len(value) != (4 if wide else 3):
        return None
    total, number = value[-2:]
    if not 1 <= number <= total:
        return None
    return Concatenation(int.from_bytes(value[:-2], "big"), total, number, wide)
