"""Texts of SMPP: data_coding, user data headers and segments. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from modem.sms import gsm7
from web.smpp.codec import BadPdu, ShortMessage, TlvTag
from web.smpp.status import CommandStatus

# 5.2.19. One octet a septet for the default alphabet, as every engine sends it.
GSM7: Final = 0x00
UCS2: Final = 0x08
_LATIN: Final = frozenset({0x01, 0x03})
# 23.038 4: a message class in the coding; class 0 is shown at once and not stored.
_CLASSES: Final = {
    0x10: (GSM7, True),
    0x11: (GSM7, False),
    0x12: (GSM7, False),
    0x13: (GSM7, False),
    0x18: (UCS2, True),
    0x19: (UCS2, False),
    0x1A: (UCS2, False),
    0x1B: (UCS2, False),
    0xF0: (GSM7, True),
    0xF1: (GSM7, False),
    0xF2: (GSM7, False),
    0xF3: (GSM7, False),
}
UDHI: Final = 0x40  # 5.2.12: the text begins with a user data header
CONCATENATION, WIDE_CONCATENATION = 0x00, 0x08  # 23.040 9.2.3.24.1 and 8
MOST_SEGMENTS: Final = 24  # 1,600 characters in UCS-2


class SegmentPlace(msgspec.Struct, frozen=True):
    """Which segment of a long text a submit_sm has."""

    reference: int
    total: int
    number: int
    wide: bool  # whether its reference has 16 bits: another one with 8 is another message


class ShortMessageText(msgspec.Struct, frozen=True):
    """The text of a submit_sm. That of a segment may begin or end inside a surrogate pair."""

    text: str
    segment: SegmentPlace | None = None
    flash: bool = False


def content(pdu: ShortMessage) -> ShortMessageText:
    """Return the text of a submit_sm. Raises BadPdu for data instead of text."""
    octets = pdu.short_message
    payload = pdu.tlvs.get(TlvTag.MESSAGE_PAYLOAD)
    if payload is not None:
        if octets:  # 4.4.1: one of the two
            raise BadPdu(CommandStatus.ESME_RINVMSGLEN, "short_message and message_payload")
        octets = payload
    segment = _sar(pdu)
    if pdu.esm_class & UDHI:
        octets, of_header = _without_header(octets)
        segment = of_header or segment
    coding, flash = _CLASSES.get(pdu.data_coding, (pdu.data_coding, False))
    return ShortMessageText(_decode(octets, coding), segment, flash)


def _decode(octets: bytes, coding: int) -> str:
    if coding == GSM7:
        if any(octet > 0x7F for octet in octets):
            raise BadPdu(
                CommandStatus.ESME_RSUBMITFAIL, "data_coding 0 has 7 bits (GSM 03.38), not 8"
            )
        return gsm7.decode_septets(octets)
    if coding in _LATIN:
        return octets.decode("latin-1")
    if coding == UCS2:
        if len(octets) % 2:
            raise BadPdu(CommandStatus.ESME_RINVMSGLEN, "UCS-2 has two octets a character")
        # A surrogate pair may be cut between two segments.
        return octets.decode("utf-16-be", "surrogatepass")
    raise BadPdu(CommandStatus.ESME_RSUBMITFAIL, f"data_coding {coding} is no text")


def _sar(pdu: ShortMessage) -> SegmentPlace | None:
    """Return the segment that the sar_ parameters name (5.3.2.22 to 24)."""
    tags = (TlvTag.SAR_MSG_REF_NUM, TlvTag.SAR_TOTAL_SEGMENTS, TlvTag.SAR_SEGMENT_SEQNUM)
    values = [pdu.tlvs.get(tag) for tag in tags]
    reference, total, number = values
    if reference is None or total is None or number is None:
        return None  # 5.3.2.22: ignored unless all are there
    if (len(reference), len(total), len(number)) != (2, 1, 1):
        raise BadPdu(CommandStatus.ESME_RINVPARLEN, "sar_ parameters of wrong length")
    return _place(int.from_bytes(reference), total[0], number[0], wide=True)


def _place(reference: int, total: int, number: int, *, wide: bool) -> SegmentPlace | None:
    if not 1 <= number <= total:
        raise BadPdu(CommandStatus.ESME_RINVOPTPARAMVAL, f"segment {number} of {total}")
    if total > MOST_SEGMENTS:
        raise BadPdu(CommandStatus.ESME_RINVMSGLEN, f"{total} segments")
    return SegmentPlace(reference, total, number, wide) if total > 1 else None


def _without_header(octets: bytes) -> tuple[bytes, SegmentPlace | None]:
    """Return what follows the user data header (23.040 9.2.3.24), and the segment that it names."""
    bad = BadPdu(CommandStatus.ESME_RINVESMCLASS, "the user data header is damaged")
    if not octets or len(octets) <= octets[0]:
        raise bad
    elements, rest = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
    segment = None
    while elements:
        if len(elements) < 2 or len(elements) < 2 + elements[1]:
            raise bad
        kind, value, elements = (
            elements[0],
            elements[2 : 2 + elements[1]],
            elements[2 + elements[1] :],
        )
        if kind == CONCATENATION and len(value) == 3:
            segment = _place(value[0], value[1], value[2], wide=False)
        elif kind == WIDE_CONCATENATION and len(value) == 4:
            segment = _place(int.from_bytes(value[:2]), value[2], value[3], wide=True)
        else:  # ports, pictures, national tables: not a text that the box could send as it is
            raise BadPdu(CommandStatus.ESME_RINVESMCLASS, f"user data header element {kind:#04x}")
    return rest, segment


def encoded(text: str) -> tuple[int, bytes]:
    """Return data_coding and octets of a text for an engine."""
    try:
        return GSM7, gsm7.encode_septets(text)
    except ValueError:
        return UCS2, text.encode("utf-16-be", "replace")
