"""Encode and decode the TPDUs of SMS (23.040 9.2.2) in the hex form of AT commands.

Pure. Both directions, also the network's side. Whatever cannot be encoded or decoded raises PduError;
no other exception is raised.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from modem.interface import Tpdu
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu_fields import (
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
from modem.sms.user_data import (
    Concatenation,
    Content,
    Header,
    decode_user_data,
    encode_data,
    encode_text,
)
from modem.sms.user_data import join as join_contents

__all__ = [
    "Concatenation",
    "Deliver",
    "PduError",
    "Purpose",
    "Report",
    "Submit",
    "decode",
    "decode_submit",
    "encode_deliver",
    "encode_report",
    "encode_submit",
    "is_whole",
    "join",
]


class Submit(msgspec.Struct, frozen=True):
    """SMS-SUBMIT: one part to send.

    `validity_minutes` becomes the longest period of 23.040 9.2.3.12.1 that is not longer, and at
    least five minutes; None leaves it to the network. Read back, it is None for absolute times too.
    """

    recipient: str  # "+4915112345678", or the digits of a short code: "8080"
    text: str
    alphabet: Alphabet
    shift: int = 0  # national single shift table
    concatenation: Concatenation | None = None
    report: bool = True  # TP-SRR
    validity_minutes: int | None = None
    flash: bool = False  # class 0
    reference: int = 0  # TP-MR; modems replace it by their own
    lock: int = 0  # national locking shift table
    data: bytes = b""  # instead of the text, with Alphabet.OCTETS


class Purpose(StrEnum):
    """The purpose of a received part. Only `TEXT` is for a person to read."""

    TEXT = "text"
    MMS_NOTIFICATION = "mms_notification"  # a picture message waits at the operator
    APPLICATION_DATA = "application_data"  # for a port of the phone: WAP push, settings
    DATA = "data"  # 8-bit or compressed, for no known application
    SIM_DATA = "sim_data"  # for the SIM card
    MODULE_DATA = "module_data"  # for the phone itself
    MESSAGE_WAITING = "message_waiting"  # a voice-mail indicator
    SILENT = "silent"  # to be acknowledged and discarded


class Deliver(msgspec.Struct, frozen=True):
    """SMS-DELIVER: one part as received.

    `text` is None if the content is not text (8-bit, compressed); `data` has it then. For encoding with
    `dcs` 0 the octet is made from `alphabet` and `flash`. `port`, `indication` and
    `toolkit` come from the header and are not encoded.
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
    port: int | None = None
    indication: int | None = None
    toolkit: bool = False

    @property
    def purpose(self) -> Purpose:
        """The purpose by TP-PID, TP-DCS and header (23.040 9.2.3.9, 9.2.3.24; 23.038 4)."""
        if self.pid == _TYPE_0:
            return Purpose.SILENT
        if self.toolkit or (self.pid == _SIM_DOWNLOAD and _is_class_2(self.dcs)):
            return Purpose.SIM_DATA
        if self.pid in _MODULE_PIDS:
            return Purpose.MODULE_DATA
        if self.text is None:
            if _announces_mms(self.data):
                return Purpose.MMS_NOTIFICATION
            return Purpose.DATA if self.port is None else Purpose.APPLICATION_DATA
        group = self.dcs >> 4
        if group == _DISCARD or (self.indication is not None and not self.indication & _STORE):
            return Purpose.MESSAGE_WAITING
        indicates = group in _STORE_GROUPS or self.indication is not None
        return Purpose.MESSAGE_WAITING if indicates and not self.text else Purpose.TEXT


class Report(msgspec.Struct, frozen=True):
    """SMS-STATUS-REPORT: the outcome of a part. `status` is TP-ST (`modem.error_codes.lookup.status`)."""

    reference: int  # TP-MR, as in the response `+CMGS`
    recipient: str
    scts: datetime | None  # UTC, from TP-SCTS
    discharged_at: datetime | None
    status: int


# TP-PID (23.040 9.2.3.9)
_TYPE_0: Final = 0x40
_SIM_DOWNLOAD: Final = 0x7F
_MODULE_PIDS: Final = frozenset({0x7C, 0x7D, 0x7E})  # ANSI-136 data, download, de-personalization
# Message waiting (23.038 clause 4; 23.040 9.2.3.24.2)
_DISCARD: Final = 0b1100
_STORE_GROUPS: Final = frozenset({0b1101, 0b1110})
_STORE: Final = 0x80
# WAP-230 8.2.4.1: a push is TID, type, length of the headers (uintvar), content type
_PUSH: Final = 0x06
_MMS: Final = (b"\xbe", b"application/vnd.wap.mms-message\0")  # as a well-known number or as text


def _announces_mms(data: bytes) -> bool:
    """Return whether a part is (the first part of) a WAP push with an M-Notification.ind."""
    if data[1:2] != bytes([_PUSH]):
        return False
    length_ends = next((i for i in range(2, len(data)) if not data[i] & 0x80), len(data))
    return data[length_ends + 1 :].startswith(_MMS)


def _is_class_2(dcs: int) -> bool:
    """Return whether a message is for the SIM: general groups with a class, and group 1111."""
    return dcs & 0x93 == 0x12 or dcs & 0xF3 == 0xF2


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
    """Return a SUBMIT as hex for AT+CMGS. Without `smsc` the modem uses the SIM's."""
    if not is_number(submit.recipient):
        raise PduError("not a recipient")
    header = Header(submit.concatenation, submit.shift, submit.lock)
    first = _SUBMIT | _header_bit(header) | (_REPORT_REQUESTED if submit.report else 0)
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
        encode_data(submit.data, header)
        if submit.alphabet is Alphabet.OCTETS
        else encode_text(submit.text, submit.alphabet, header),
    )


def decode_submit(hex: str) -> Submit:  # noqa: A002
    """Return the SUBMIT of a program's input to AT+CMGS."""
    cursor = _opened(hex)
    first = cursor.octet()
    if first & _TYPE != _SUBMIT:
        raise PduError(f"not an SMS-SUBMIT: first octet {first:02X}")
    reference = cursor.octet()
    recipient = decode_address(cursor)
    cursor.octet()
    coding = decode_coding(cursor.octet())
    validity = _decode_validity_field(cursor, first)
    content = decode_user_data(cursor, coding, has_header=bool(first & _HEADER))
    if coding.compressed:
        raise PduError("a compressed SMS-SUBMIT")
    return Submit(
        recipient=recipient,
        text=content.text or "",
        alphabet=coding.alphabet,
        shift=content.header.shift,
        concatenation=content.header.concatenation,
        report=bool(first & _REPORT_REQUESTED),
        validity_minutes=validity,
        flash=coding.flash,
        reference=reference,
        lock=content.header.lock,
        data=content.data,
    )


def decode(hex: str) -> Deliver | Report:  # noqa: A002
    """Return the DELIVER or STATUS-REPORT of a modem's hex, which begins with the SMSC."""
    cursor = _opened(hex)
    first = cursor.octet()
    kind = first & _TYPE
    if kind == _STATUS_REPORT:
        return _decode_report(cursor)
    if kind == _SUBMIT:
        raise PduError("a stored SMS-SUBMIT, not something received")
    # 23.040 9.2.3.1: the reserved type is read as DELIVER
    return _decode_deliver(cursor, first)[0]


def is_whole(hex: str) -> bool:  # noqa: A002
    """Return whether the lengths within a received PDU say that it is exactly as long as it is."""
    try:
        cursor = _opened(hex)
        first = cursor.octet()
        if first & _TYPE == _STATUS_REPORT:
            _decode_report(cursor)
            return cursor.left == 0
        if first & _TYPE == _SUBMIT:
            return False
        decode_address(cursor)
        cursor.octet()
        coding = decode_coding(cursor.octet())
        decode_time(cursor)
        length = cursor.octet()
    except PduError:
        return False
    if coding.alphabet is Alphabet.GSM7 and not coding.compressed:
        length = (length * 7 + 7) // 8
    return cursor.left == length


def join(pdus: Sequence[str]) -> str | None:
    """Return the text of received parts in their order; None if one is not text.

    Unlike joining the parts' texts, it restores a surrogate pair or an escape pair that the sender split
    between parts. Raises PduError.
    """
    contents: list[Content] = []
    for each in pdus:
        cursor = _opened(each)
        first = cursor.octet()
        if first & _TYPE in (_SUBMIT, _STATUS_REPORT):
            raise PduError("not a received message")
        contents.append(_decode_deliver(cursor, first)[1])
    return join_contents(contents)


def encode_deliver(deliver: Deliver, smsc: str = "") -> Tpdu:
    """Return a DELIVER as the network sends it; an aware `sent_at` is written in its own zone."""
    dcs = deliver.dcs or encode_coding(deliver.alphabet, deliver.flash)
    coding = decode_coding(dcs)
    header = Header(deliver.concatenation, deliver.shift, deliver.lock)
    if coding.is_text != (deliver.text is not None):
        raise PduError(f"text and data coding scheme {dcs:02X} do not go together")
    return _tpdu(
        smsc,
        bytes([_DELIVER | _NO_MORE_MESSAGES | _header_bit(header)]),
        encode_address(deliver.sender),
        bytes([_octet("pid", deliver.pid), _octet("dcs", dcs)]),
        encode_time(deliver.sent_at),
        encode_data(deliver.data, header)
        if deliver.text is None
        else encode_text(deliver.text, coding.alphabet, header),
    )


def encode_report(report: Report, smsc: str = "") -> Tpdu:
    """Return a STATUS-REPORT as the network sends it."""
    return _tpdu(
        smsc,
        bytes([_STATUS_REPORT | _NO_MORE_MESSAGES, _octet("reference", report.reference)]),
        encode_address(report.recipient),
        encode_time(report.scts),
        encode_time(report.discharged_at),
        bytes([_octet("status", report.status)]),
    )


def _decode_deliver(cursor: Cursor, first: int) -> tuple[Deliver, Content]:
    sender = decode_address(cursor)
    pid = cursor.octet()
    dcs = cursor.octet()
    coding = decode_coding(dcs)
    sent_at = decode_time(cursor)
    content = decode_user_data(cursor, coding, has_header=bool(first & _HEADER))
    deliver = Deliver(
        sender=sender,
        text=content.text,
        data=content.data,
        sent_at=sent_at,
        concatenation=content.header.concatenation,
        alphabet=coding.alphabet,
        dcs=dcs,
        pid=pid,
        flash=coding.flash,
        shift=content.header.shift,
        lock=content.header.lock,
        port=content.header.port,
        indication=content.header.indication,
        toolkit=content.header.toolkit,
    )
    return deliver, content


def _decode_report(cursor: Cursor) -> Report:
    """Decode a report. TP-PI and the fields that it announces (9.2.3.27) are ignored."""
    return Report(
        reference=cursor.octet(),
        recipient=decode_address(cursor),
        scts=decode_time(cursor),
        discharged_at=decode_time(cursor),
        status=cursor.octet(),
    )


def _opened(hex: str) -> Cursor:  # noqa: A002
    """Return the octets after the SMSC."""
    try:
        cursor = Cursor(binascii.unhexlify(hex.strip()))
    except ValueError as error:
        raise PduError(f"{len(hex)} characters that are not hexadecimal octets") from error
    cursor.take(cursor.octet())
    return cursor


def _header_bit(header: Header) -> int:
    return _HEADER if header != Header() else 0


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
    cursor.take(7)  # absolute (9.2.3.12.2) and enhanced (9.2.3.12.3) forms are not minutes from now
    return None
