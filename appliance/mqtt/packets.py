"""Control packets of MQTT 3.1.1 (OASIS mqtt-v3.1.1), as far as a client with QoS 0 and 1 needs them. Pure."""

from __future__ import annotations

from enum import IntEnum
from struct import pack

import msgspec

# 2.2.3: the remaining length is at most four bytes of seven bits.
MOST_REMAINING = 268_435_455
MOST_STRING = 65_535


class PacketType(IntEnum):
    """2.2.1, table 2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13


class ProtocolError(Exception):
    """The other side does not speak MQTT 3.1.1 as the specification has it."""


class Connack(msgspec.Struct, frozen=True):
    """3.2: the answer to CONNECT; `code` 0 accepts."""

    session_present: bool
    code: int


class Publish(msgspec.Struct, frozen=True):
    """3.3: a message. `packet_id` is 0 with QoS 0; `payload` is None if it was too large to keep."""

    topic: str
    payload: bytes | None
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False


class Puback(msgspec.Struct, frozen=True):
    """3.4: the other side has the message of this packet id."""

    packet_id: int


class Suback(msgspec.Struct, frozen=True):
    """3.9: the result of a subscription, one code for each filter."""

    packet_id: int
    codes: bytes


class Pingresp(msgspec.Struct, frozen=True):
    """3.13."""


Packet = Connack | Publish | Puback | Suback | Pingresp

# 3.2.2.3
REFUSALS = {
    1: "unacceptable protocol version",
    2: "identifier rejected",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}
FAILED_SUBSCRIPTION = 0x80  # 3.9.3


class Will(msgspec.Struct, frozen=True):
    """What the broker publishes, retained, when the connection is lost."""

    topic: str
    payload: bytes


# --- written by the client -----------------------------------------------------------------------------


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + remaining_length(len(body)) + body


def remaining_length(length: int) -> bytes:
    """2.2.3. Raises ValueError beyond the largest."""
    if not 0 <= length <= MOST_REMAINING:
        raise ValueError(f"a packet of {length} bytes")
    encoded = bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(encoded)


def _string(value: str | bytes) -> bytes:
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(raw) > MOST_STRING:
        raise ValueError(f"a string of {len(raw)} bytes")
    return pack("!H", len(raw)) + raw


def connect(
    client_id: str, *, user: str, password: str, keep_alive: int, will: Will | None
) -> bytes:
    """3.1: with a retained will of QoS 1 and a session that the broker keeps, or with neither."""
    flags, payload = 0x02, _string(client_id)  # clean session
    if will is not None:
        flags = 0b0010_1100  # will retain, will QoS 1, will flag
        payload += _string(will.topic) + _string(will.payload)
    if user:
        flags |= 0x80
        payload += _string(user)
        if password:
            flags |= 0x40
            payload += _string(password)
    head = _string("MQTT") + bytes([4, flags]) + pack("!H", keep_alive)
    return _packet(PacketType.CONNECT << 4, head + payload)


def publish(topic: str, payload: bytes, *, packet_id: int = 0, retain: bool = False) -> bytes:
    """3.3: QoS 1 with a packet id, else QoS 0."""
    first = PacketType.PUBLISH << 4 | (0x02 if packet_id else 0) | (0x01 if retain else 0)
    number = pack("!H", packet_id) if packet_id else b""
    return _packet(first, _string(topic) + number + payload)


def puback(packet_id: int) -> bytes:
    """3.4."""
    return _packet(PacketType.PUBACK << 4, pack("!H", packet_id))


def subscribe(packet_id: int, filters: list[str]) -> bytes:
    """3.8, with QoS 1."""
    body = b"".join(_string(each) + b"\x01" for each in filters)
    return _packet(PacketType.SUBSCRIBE << 4 | 0x02, pack("!H", packet_id) + body)


PINGREQ = _packet(PacketType.PINGREQ << 4, b"")


# --- read by the client --------------------------------------------------------------------------------


def parse(first: int, body: bytes) -> Packet:
    """Return a packet from its first byte and all behind the remaining length. Raises ProtocolError."""
    kind, flags = first >> 4, first & 0x0F
    if kind == PacketType.PUBLISH:
        return _publish(flags, body)
    if flags:
        raise ProtocolError(f"reserved flags {flags} in a packet of type {kind}")
    if kind == PacketType.CONNACK and len(body) == 2:
        return Connack(bool(body[0] & 1), body[1])
    if kind == PacketType.PUBACK and len(body) == 2:
        return Puback(int.from_bytes(body, "big"))
    if kind == PacketType.SUBACK and len(body) > 2:
        return Suback(int.from_bytes(body[:2], "big"), body[2:])
    if kind == PacketType.PINGRESP and not body:
        return Pingresp()
    raise ProtocolError(f"a packet of type {kind} with {len(body)} bytes")


def qos_of(flags: int) -> int:
    """Return the QoS of a PUBLISH. Raises ProtocolError beyond 1, which this client never subscribes to."""
    qos = flags >> 1 & 0x03
    if qos > 1:
        raise ProtocolError(f"QoS {qos}, but the subscription is for QoS 1")
    return qos


def head_bytes(flags: int, start: bytes) -> int:
    """Return how long the head of a PUBLISH is that begins with these bytes: topic and packet id."""
    return 2 + int.from_bytes(start[:2], "big") + (2 if qos_of(flags) else 0)


def publish_head(flags: int, head: bytes) -> Publish:
    """Return a PUBLISH of which only the head was kept. Raises ProtocolError."""
    return msgspec.structs.replace(_publish(flags, head), payload=None)


def _publish(flags: int, body: bytes) -> Publish:
    qos = qos_of(flags)
    length = head_bytes(flags, body)
    if len(body) < max(length, 2):
        raise ProtocolError("a PUBLISH that ends in its head")
    end = length - (2 if qos else 0)
    try:
        topic = body[2:end].decode()
    except UnicodeDecodeError:
        raise ProtocolError("a topic that is not UTF-8") from None
    packet_id = int.from_bytes(body[end:length], "big") if qos else 0
    if qos and not packet_id:
        raise ProtocolError("a PUBLISH of QoS 1 without a packet id")
    return Publish(
        topic, body[length:], qos, packet_id, retain=bool(flags & 0x01), dup=bool(flags & 0x08)
    )
