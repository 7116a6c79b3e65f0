"""Convert the client's input at the prompt to one SMS-SUBMIT. No I/O."""

from __future__ import annotations

import binascii
from collections.abc import Callable

import msgspec

from modem.sms.gsm7 import Alphabet, plan
from modem.sms.tpdu import PduError, Submit, decode_submit, encode_submit
from modem.sms.tpdu_fields import decode_coding

LONGEST_TPDU = 164  # octets: 12 of address, 140 of text and 12 of the rest (23.040 9.2.2.2)
_LONGEST_TEXT = 140  # octets of TP-UD (23.040 9.2.3.24)
_VALIDITY_OCTETS = {0x00: 0, 0x10: 1, 0x08: 7, 0x18: 7}  # by TP-VPF (23.040 9.2.3.3)
_HAS_HEADER = 0x40


def read_pdu(length: int) -> Callable[[str], str]:
    """Return a reader for PDU mode: hex of `length` octets after the SMSC, as in AT+CMGS (27.005 4.3)."""

    def read(text: str) -> str:
        digits = text.strip("\r\n")
        try:
            octets = binascii.unhexlify(digits)  # unlike fromhex, it rejects blanks
        except ValueError as error:
            raise PduError(f"not hexadecimal: {digits}") from error
        if not octets or len(octets) - 1 - octets[0] != length:
            raise PduError(f"not {length} octets: {digits}")
        _text_octets(octets[1 + octets[0] :])
        return digits.upper()

    return read


def understood(tpdu: str) -> Submit:
    """Return the SUBMIT with its UCS-2 text unchanged, also half a surrogate pair."""
    submit = decode_submit(tpdu)
    if submit.alphabet is not Alphabet.UCS2:
        return submit
    octets = bytes.fromhex(tpdu)
    text = _text_octets(octets[1 + octets[0] :])
    whole = text[: len(text) & ~1]
    return msgspec.structs.replace(submit, text=whole.decode("utf-16-be", "surrogatepass"))


def _text_octets(tpdu: bytes) -> bytes:
    """Return TP-UD after its header. Raise PduError if the TPDU's length contradicts its fields."""
    if len(tpdu) < 3:
        raise PduError("too short")
    digits = tpdu[2]
    if not digits or digits > 20:
        raise PduError("no recipient")
    scheme = 4 + (digits + 1) // 2 + 1
    count = scheme + 1 + _VALIDITY_OCTETS[tpdu[0] & 0x18]
    if count >= len(tpdu):
        raise PduError("cut short")
    length = tpdu[count]
    if decode_coding(tpdu[scheme]).alphabet is Alphabet.GSM7:
        length = (length * 7 + 7) // 8
    if length > _LONGEST_TEXT:
        raise PduError("more text than a message holds")
    if len(tpdu) != count + 1 + length:
        raise PduError("more or fewer octets than TP-UDL says")
    text = tpdu[count + 1 :]
    return text[text[0] + 1 :] if tpdu[0] & _HAS_HEADER and text else text


def read_text(recipient: str, csmp: str) -> Callable[[str], str]:
    """Return a reader for text mode: it makes one SUBMIT with the flags of +CSMP."""

    def read(text: str) -> str:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        planned = plan(text)
        first = csmp.split(",")[0]
        asks = first.isascii() and first.isdigit() and bool(int(first) & 0x20)
        submit = Submit(recipient, text, planned.alphabet, report=asks)
        return encode_submit(submit).hex

    return read
