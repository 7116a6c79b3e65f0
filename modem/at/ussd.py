"""Parsing of USSD replies (27.007 7.15), whose texts modems encode in many ways. Pure."""

from __future__ import annotations

import re

import msgspec

from modem.sms import gsm7
from modem.sms.gsm7 import Alphabet


class UssdReply(msgspec.Struct, frozen=True):
    """Content of +CUSD: <m> (0 done, 1 the operator expects an answer, 2 ended, 4 not supported, 5 time-out)."""

    status: int
    text: str


_CUSD = re.compile(
    # Some modems do not escape quotes within the text: it ends at the last one.
    r'\+CUSD:\s*(\d+)(?:\s*,\s*(?:"(.*)"|([^",]*))(?:\s*,\s*(\d+))?\s*)?$',
    re.IGNORECASE | re.DOTALL,
)


def reply(line: str) -> UssdReply | None:
    """Return the reply in a +CUSD line, its text decoded; None for another line."""
    match = _CUSD.match(line)
    if match is None:
        return None
    scheme = int(match[4]) if match[4] else None
    return UssdReply(int(match[1]), decoded(match[2] or match[3] or "", scheme))


def decoded(text: str, scheme: int | None) -> str:
    """Return a text as received, or decoded: from UCS-2, octets or packed septets in hex, or raw GSM 7-bit.

    The data coding scheme (23.038 5) is a hint only, because many modems report a wrong one.
    """
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}){2,}", text):
        return _from_raw_septets(text)
    octets = bytes.fromhex(text)
    alphabet = _alphabet(scheme)
    if alphabet is Alphabet.UCS2 or (len(octets) % 2 == 0 and not any(octets[::2])):
        # Scheme 17 has a language of two octets in front.
        wide = octets[2:] if scheme == _UCS2_AFTER_LANGUAGE and any(octets[::2]) else octets
        return wide.decode("utf-16-be", "replace").rstrip("\r")
    if alphabet is Alphabet.OCTETS:
        plain = octets.decode("latin-1")
        return plain if _readable(plain) else text
    if text.isdecimal():
        return text  # a balance may be a number; packed septets rarely contain no letter
    # In packed text seven spare bits are a padding CR (23.038 6.1.2.3.1).
    plain = gsm7.decode_septets(gsm7.unpack(octets, len(octets) * 8 // 7)).rstrip("\r@")
    if scheme == _GSM7_AFTER_LANGUAGE and plain[2:3] == "\r":
        plain = plain[3:]
    return plain if _readable(plain) else text


# 23.038 5: the text is preceded by its language
_GSM7_AFTER_LANGUAGE = 0x10
_UCS2_AFTER_LANGUAGE = 0x11


def _alphabet(scheme: int | None) -> Alphabet:
    """Return the alphabet of a cell broadcast data coding scheme (23.038 5)."""
    if scheme is None:
        return Alphabet.GSM7
    if scheme == _UCS2_AFTER_LANGUAGE:
        return Alphabet.UCS2
    if scheme & 0xC0 == 0x40 or scheme >> 4 == 0b1001:  # 01xx and 1001: alphabet in bits 3 and 2
        return {1: Alphabet.OCTETS, 2: Alphabet.UCS2}.get(scheme >> 2 & 3, Alphabet.GSM7)
    if scheme >> 4 == 0b1111 and scheme & 4:
        return Alphabet.OCTETS
    return Alphabet.GSM7


def _readable(text: str) -> bool:
    return all(each.isprintable() or each in "\r\n" for each in text)


def _from_raw_septets(text: str) -> str:
    """Decode a text in which the modem left characters of the GSM alphabet as they are, one an octet."""
    if not any((each < " " and each not in "\r\n") or each == "\x7f" for each in text):
        return text
    if any(each > "\x7f" for each in text):
        return text
    return gsm7.decode_septets(text.encode("ascii"))
