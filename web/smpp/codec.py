"""PDUs of SMPP 3.4: octets to frozen structs and back. Pure; clauses are those of the specification, issue 1.2.

A decoder reads what a peer may send, and raises BadPdu with the status that answers it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

import msgspec

from web.smpp.status import CommandStatus

HEADER_OCTETS: Final = 16
# message_payload could have 64 KiB (5.3.2.32); 1,600 characters are 3,200 octets.
LONGEST_PDU_OCTETS: Final = 8192
RESPONSE: Final = 0x80000000
LAST_SEQUENCE: Final = 0x7FFFFFFF  # 5.1.4


class CommandId(IntEnum):
    """command_id (5.1.2.1) of the requests that the box knows; a response has the highest bit set."""

    BIND_RECEIVER = 0x01
    BIND_TRANSMITTER = 0x02
    QUERY_SM = 0x03
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    CANCEL_SM = 0x08
    BIND_TRANSCEIVER = 0x09
    ENQUIRE_LINK = 0x15


GENERIC_NACK: Final = 0x80000000


class TlvTag(IntEnum):
    """Tags of optional parameters (5.3.2)."""

    RECEIPTED_MESSAGE_ID = 0x001E
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    NETWORK_ERROR_CODE = 0x0423
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427


class BadPdu(Exception):
    """A PDU that cannot be read; `status` answers it."""

    def __init__(self, status: CommandStatus, why: str) -> None:
        super().__init__(f"{status.name}: {why}")
        self.status = status


class PduHeader(msgspec.Struct, frozen=True):
    """The header of a PDU (3.2.1)."""

    length: int
    command: int
    status: int
    sequence: int


class PeerAddress(msgspec.Struct, frozen=True):
    """An address with its type of number and numbering plan (5.2.5, 5.2.6)."""

    ton: int
    npi: int
    digits: str


class BindBody(msgspec.Struct, frozen=True):
    """The body of a bind (4.1.1)."""

    system_id: str
    password: str
    system_type: str = ""
    interface_version: int = 0x34
    address: PeerAddress = PeerAddress(0, 0, "")


class ShortMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The body of submit_sm and deliver_sm (4.4.1, 4.6.1); `tlvs` by tag."""

    service_type: str = ""
    source: PeerAddress
    destination: PeerAddress
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present: int = 0
    data_coding: int = 0
    default_message: int = 0
    short_message: bytes = b""
    tlvs: Mapping[int, bytes] = {}


class QueryBody(msgspec.Struct, frozen=True):
    """The body of query_sm (4.8.1)."""

    message_id: str
    source: PeerAddress


class CancelBody(msgspec.Struct, frozen=True):
    """The body of cancel_sm (4.9.1)."""

    service_type: str
    message_id: str
    source: PeerAddress
    destination: PeerAddress


# --- reading ---------------------------------------------------------------------------------------


def header(octets: bytes) -> PduHeader:
    """Return the header of the first 16 octets of a PDU."""
    return PduHeader(*struct.unpack(">IIII", octets[:HEADER_OCTETS]))


class _Reader:
    """Reads the fields of a body one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def octet(self) -> int:
        return self.octets(1)[0]

    def octets(self, count: int) -> bytes:
        found = self._body[self._at : self._at + count]
        if len(found) < count:
            raise BadPdu(CommandStatus.ESME_RINVCMDLEN, "the body is too short")
        self._at += count
        return found

    def text(self, most: int) -> str:
        """Return a C-octet string of at most `most` octets with its NUL (3.1)."""
        end = self._body.find(0, self._at, self._at + most)
        if end < 0:
            raise BadPdu(CommandStatus.ESME_RINVCMDLEN, f"no string of up to {most - 1} octets")
        found = self._body[self._at : end]
        self._at = end + 1
        # ASCII by the specification; nothing that is compared may depend on another octet.
        return found.decode("latin-1")

    def address(self, most: int) -> PeerAddress:
        return PeerAddress(self.octet(), self.octet(), self.text(most))

    def tlvs(self) -> dict[int, bytes]:
        """Return the optional parameters that are left (3.2.4.1); of a repeated one the first."""
        found: dict[int, bytes] = {}
        while self._at < len(self._body):
            if len(self._body) - self._at < 4:
                raise BadPdu(CommandStatus.ESME_RINVOPTPARSTREAM, "octets after the last field")
            tag, length = struct.unpack(">HH", self.octets(4))
            value = self._body[self._at : self._at + length]
            if len(value) < length:
                raise BadPdu(CommandStatus.ESME_RINVPARLEN, f"TLV {tag:#06x} is too short")
            self._at += length
            found.setdefault(tag, value)
        return found


def bind(body: bytes) -> BindBody:
    """Read the body of a bind."""
    read = _Reader(body)
    # Longer than the 16, 9 and 13 octets of 4.1.1: a password that is too long is wrong, not unreadable.
    system_id, password, system_type = read.text(65), read.text(65), read.text(33)
    version = read.octet()
    return BindBody(system_id, password, system_type, version, read.address(41))


def short_message(body: bytes) -> ShortMessage:
    """Read the body of submit_sm or deliver_sm."""
    read = _Reader(body)
    service_type = read.text(6)
    source, destination = read.address(21), read.address(21)
    esm_class, protocol_id, priority = read.octet(), read.octet(), read.octet()
    schedule, validity = read.text(17), read.text(17)
    registered, replace, coding, default = (read.octet() for _ in range(4))
    octets = read.octets(read.octet())
    return ShortMessage(
        service_type=service_type,
        source=source,
        destination=destination,
        esm_class=esm_class,
        protocol_id=protocol_id,
        priority_flag=priority,
        schedule_delivery_time=schedule,
        validity_period=validity,
        registered_delivery=registered,
        replace_if_present=replace,
        data_coding=coding,
        default_message=default,
        short_message=octets,
        tlvs=read.tlvs(),
    )


def query(body: bytes) -> QueryBody:
    """Read the body of query_sm."""
    read = _Reader(body)
    return QueryBody(read.text(65), read.address(21))


def cancel(body: bytes) -> CancelBody:
    """Read the body of cancel_sm."""
    read = _Reader(body)
    return CancelBody(read.text(6), read.text(65), read.address(21), read.address(21))


# --- writing ---------------------------------------------------------------------------------------


def pdu(command: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    """Return a PDU with its header."""
    return (
        struct.pack(">IIII", HEADER_OCTETS + len(body), command, status & 0xFFFFFFFF, sequence)
        + body
    )


def text(value: str) -> bytes:
    """Return a C-octet string."""
    return value.encode("latin-1", "replace").replace(b"\0", b"?") + b"\0"


def _address(one: PeerAddress) -> bytes:
    return bytes((one.ton, one.npi)) + text(one.digits)


def tlvs(values: Iterable[tuple[int, bytes]]) -> bytes:
    """Return optional parameters."""
    return b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in values)


def encode_short_message(one: ShortMessage) -> bytes:
    """Return the body of submit_sm or deliver_sm."""
    return b"".join(
        (
            text(one.service_type),
            _address(one.source),
            _address(one.destination),
            bytes((one.esm_class, one.protocol_id, one.priority_flag)),
            text(one.schedule_delivery_time),
            text(one.validity_period),
            bytes((one.registered_delivery, one.replace_if_present)),
            bytes((one.data_coding, one.default_message, len(one.short_message))),
            one.short_message,
            tlvs(one.tlvs.items()),
        )
    )


def encode_bind(one: BindBody) -> bytes:
    """Return the body of a bind."""
    return b"".join(
        (
            *(text(each) for each in (one.system_id, one.password, one.system_type)),
            bytes((one.interface_version,)),
            _address(one.address),
        )
    )
