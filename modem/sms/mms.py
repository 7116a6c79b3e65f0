"""Read the notification that a picture message (MMS) waits at the operator. Pure.

It is an M-Notification.ind (OMA-TS-MMS_ENC 6.2) in a WAP push (WAP-230 8.2.4.1), in one SMS or several.
"""

from __future__ import annotations

from typing import Final

import msgspec

_TEXT_FIELDS: Final = frozenset(
    {0x83, 0x84, 0x8B, 0x98}
)  # location, type, message id, transaction id
_FROM, _SIZE, _LOCATION = 0x89, 0x8E, 0x83
_ADDRESS_PRESENT: Final = 0x80
_LENGTH_QUOTE: Final = 0x1F  # a length of 31 or more follows as uintvar (WAP-230 8.4.2.2)


class MmsNotification(msgspec.Struct, frozen=True):
    """Who sent a picture message, how large it is (octets) and where it waits; None for what is missing."""

    sender: str | None = None
    size: int | None = None
    url: str | None = None


def notification(push: bytes) -> MmsNotification:
    """Return what a WAP push says of a picture message, also if its end is missing."""
    found: dict[str, str | int] = {}
    try:
        length, at = _uintvar(push, 2)
        _fields(push, at + length, found)
    except IndexError:
        pass  # cut off: a part is missing
    return msgspec.convert(found, MmsNotification)


def _fields(push: bytes, at: int, found: dict[str, str | int]) -> None:
    """Collect the fields from `at` on. Raises IndexError where the push ends within one."""
    while at < len(push):
        field = push[at]
        at += 1
        if field in _TEXT_FIELDS and push[at] < 0x80:
            text, at = _text(push, at)
            if field == _LOCATION:
                found["url"] = text
            continue
        start = at
        first = push[at]
        if first >= 0x80:  # a short integer or a token
            at += 1
            continue
        if first < _LENGTH_QUOTE:
            length, start = first, at + 1
        elif first == _LENGTH_QUOTE:
            length, start = _uintvar(push, at + 1)
        else:
            _, at = _text(push, at)
            continue
        at = start + length
        value = push[start:at]
        if field == _SIZE:
            found["size"] = int.from_bytes(value)
        elif field == _FROM and value[:1] == bytes([_ADDRESS_PRESENT]):
            found["sender"] = _address(value[1:])


def _address(encoded: bytes) -> str:
    """Return the sender without its type: "+33612345678/TYPE=PLMN"."""
    if encoded[:1] and encoded[0] < 0x20:  # with a character set in front (WAP-230 8.4.2.9)
        encoded = encoded[2:]
    return encoded.rstrip(b"\0").decode("utf-8", "replace").partition("/TYPE=")[0]


def _text(push: bytes, at: int) -> tuple[str, int]:
    """Return a text that ends with NUL, and where it ends. Raises IndexError without the NUL."""
    end = push.find(b"\0", at)
    if end < 0:
        raise IndexError
    return push[at:end].decode("utf-8", "replace"), end + 1


def _uintvar(push: bytes, at: int) -> tuple[int, int]:
    """Return an integer of 7 bits an octet (WAP-230 8.1.2), and where it ends."""
    value = 0
    while True:
        octet = push[at]
        at += 1
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            return value, at
