"""Encode and decode the fields of a TPDU (23.040 9.1.2, 9.2.3).

Pure. Whatever cannot be encoded or decoded raises PduError.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import msgspec

from modem.sms.gsm7 import Alphabet, decode_septets, encode_septets, pack, unpack


class PduError(ValueError):
    """A value cannot be encoded, or octets cannot be decoded."""


class Cursor:
    """Reads octets in order. Reading past the end raises PduError."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self.at_most(count)
        if len(taken) < count:
            raise PduError(f"cut short: {count} octets expected, {len(taken)} left")
        return taken

    def at_most(self, count: int) -> bytes:
        taken = self._octets[self._at : self._at + count]
        self._at += count
        return taken

    def octet(self) -> int:
        return self.take(1)[0]

    @property
    def left(self) -> int:
        """How many octets have not been read; negative after `at_most` beyond the end."""
        return len(self._octets) - self._at


# -- addresses (23.040 9.1.2.5) ------------------------------------------------------------------

_DIGITS: Final = "0123456789*#abc"  # the sixteenth value is the filler
_FILLER: Final = 0xF
_INTERNATIONAL: Final = 0x91  # types of number, with the ISDN numbering plan
_UNKNOWN: Final = 0x81
_ALPHANUMERIC: Final = 0xD0
_MAX_DIGITS: Final = 20
_MAX_NAME_SEPTETS: Final = 11  # ten octets


def is_number(address: str) -> bool:
    """Return whether a recipient can be encoded in digits: an optional plus, then `0-9*#abc`, not only letters."""
    digits = address.removeprefix("+")
    return all(each in _DIGITS for each in digits) and not set(digits) <= set("abc")


def encode_address(address: str) -> bytes:
    """Return length, type and value. Anything but a number is encoded as an alphanumeric name."""
    if not address:
        return bytes([0, _UNKNOWN])
    if not is_number(address):
        return _encode_name(address)
    digits = address.removeprefix("+")
    if len(digits) > _MAX_DIGITS:
        raise PduError(f"a number has at most {_MAX_DIGITS} digits, not {len(digits)}")
    kind = _INTERNATIONAL if address.startswith("+") else _UNKNOWN
    return bytes([len(digits), kind]) + _semi_octets(digits)


def encode_smsc(address: str) -> bytes:
    """Return the service centre before the TPDU (27.005 3.1 <pdu>); a zero octet means the SIM's own."""
    if not address:
        return b"\x00"
    if not is_number(address) or len(address.removeprefix("+")) > _MAX_DIGITS:
        raise PduError(f"not a service centre: {address!r}")
    field = encode_address(address)[1:]
    return bytes([len(field)]) + field  # counted in octets here, not in digits


def decode_address(cursor: Cursor) -> str:
    length = cursor.octet()
    kind = cursor.octet()
    octets = cursor.take((length + 1) // 2)
    if kind & 0x70 == _ALPHANUMERIC & 0x70:
        # The length counts useful semi-octets, which distinguishes eight septets from seven with padding.
        return decode_septets(unpack(octets, length * 4 // 7)).rstrip("\r")
    values = [value for octet in octets for value in (octet & 0xF, octet >> 4)][:length]
    digits = "".join([_DIGITS[value] for value in values if value != _FILLER])
    return "+" + digits if kind & 0x70 == _INTERNATIONAL & 0x70 else digits


def _encode_name(name: str) -> bytes:
    try:
        septets = encode_septets(name)
    except ValueError as error:
        raise PduError(f"not an address: {name!r}, {error}") from error
    if len(septets) > _MAX_NAME_SEPTETS:
        raise PduError(f"a name has at most {_MAX_NAME_SEPTETS} septets, not {len(septets)}")
    semi_octets = (len(septets) * 7 + 3) // 4
    return bytes([semi_octets, _ALPHANUMERIC]) + pack(septets)


def _semi_octets(digits: str) -> bytes:
    values = [_DIGITS.index(each) for each in digits]
    if len(values) % 2:
        values.append(_FILLER)
    return bytes([low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True)])


# -- times (23.040 9.2.3.11, 9.2.3.12) -----------------------------------------------------------

_TIME_OCTETS: Final = 7
_NEGATIVE: Final = 0x08  # of the zone's first digit
_MOST_QUARTERS: Final = 14 * 4  # no zone is further from UTC
_FIRST_YEAR: Final = 1990  # of the century of two-digit years; the first SMS was sent in 1992


def encode_time(moment: datetime | None) -> bytes:
    """Return a time as seven octets, in its own zone; zeros for None."""
    if moment is None:
        return bytes(_TIME_OCTETS)
    offset = moment.utcoffset()
    if offset is None or not _FIRST_YEAR <= moment.year < _FIRST_YEAR + 100:
        raise PduError(f"not a time with a zone between {_FIRST_YEAR} and 2089: {moment}")
    quarters = round(offset / timedelta(minutes=15))
    date = (moment.year % 100, moment.month, moment.day)
    time = (moment.hour, moment.minute, moment.second)
    zone = _swapped(abs(quarters)) | (_NEGATIVE if quarters < 0 else 0)
    return bytes([*map(_swapped, date + time), zone])


def decode_time(cursor: Cursor) -> datetime | None:
    """Return the time of seven octets in UTC, or None for invalid ones: zeros and others do occur."""
    octets = cursor.take(_TIME_OCTETS)
    if any(each & 0xF > 9 for each in octets[:6]) or any(each >> 4 > 9 for each in octets):
        return None
    year, month, day, hour, minute, second = [_unswapped(each) for each in octets[:6]]
    quarters = _unswapped(octets[6] & ~_NEGATIVE)
    if quarters > _MOST_QUARTERS:
        return None
    if octets[6] & _NEGATIVE:
        quarters = -quarters
    year += 1900 if year >= _FIRST_YEAR % 100 else 2000
    try:
        zone = timezone(timedelta(minutes=15 * quarters))
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except ValueError:
        return None


def _swapped(number: int) -> int:
    return number // 10 | number % 10 << 4


def _unswapped(octet: int) -> int:
    return (octet & 0xF) * 10 + (octet >> 4)


_MINUTES_PER_DAY: Final = 24 * 60
# 23.040 9.2.3.12.1: the last octet of a range, minutes at octet zero of its formula, minutes per step.
_VALIDITY_STEPS: Final = (
    (143, 5, 5),
    (167, 12 * 60 - 143 * 30, 30),
    (196, -166 * _MINUTES_PER_DAY, _MINUTES_PER_DAY),
    (255, -192 * 7 * _MINUTES_PER_DAY, 7 * _MINUTES_PER_DAY),
)
_VALIDITY_MINUTES: Final = tuple(
    base + octet * step
    for first, (last, base, step) in zip((0, 144, 168, 197), _VALIDITY_STEPS, strict=True)
    for octet in range(first, last + 1)
)


def encode_validity(minutes: int) -> int:
    """Return the octet of the longest period within `minutes`; the shortest period is five minutes."""
    fitting = (octet for octet in range(255, -1, -1) if _VALIDITY_MINUTES[octet] <= minutes)
    return next(fitting, 0)


def decode_validity(octet: int) -> int:
    """Return the period of an octet in minutes, from 5 minutes to 63 weeks."""
    return _VALIDITY_MINUTES[octet]


# -- data coding scheme (23.038 clause 4) --------------------------------------------------------


class Coding(msgspec.Struct, frozen=True):
    alphabet: Alphabet
    flash: bool = False  # message class 0: shown at once, not stored
    compressed: bool = False  # 23.042; unused in practice, and not decompressed

    @property
    def is_text(self) -> bool:
        return self.alphabet is not Alphabet.OCTETS and not self.compressed


_GENERAL_ALPHABETS: Final = (Alphabet.GSM7, Alphabet.OCTETS, Alphabet.UCS2, Alphabet.GSM7)


def encode_coding(alphabet: Alphabet, flash: bool) -> int:
    return _GENERAL_ALPHABETS.index(alphabet) << 2 | (0x10 if flash else 0)


def decode_coding(dcs: int) -> Coding:
    """Return the coding of any TP-DCS; reserved values mean GSM-7."""
    group = dcs >> 4
    if group < 0b1000:  # general groups, also with automatic deletion
        alphabet = _GENERAL_ALPHABETS[dcs >> 2 & 3]
        return Coding(alphabet, flash=dcs & 0x13 == 0x10, compressed=bool(dcs & 0x20))
    if group == 0b1110:  # message waiting, in UCS-2
        return Coding(Alphabet.UCS2)
    if group == 0b1111:
        return Coding(Alphabet.OCTETS if dcs & 4 else Alphabet.GSM7, flash=dcs & 3 == 0)
    return Coding(Alphabet.GSM7)
