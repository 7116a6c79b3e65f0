"""Encode messages for the modem's SIM as SMS-DELIVER."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Literal

import msgspec

from modem.interface import Tpdu
from modem.sms.gsm7 import plan
from modem.sms.tpdu import Concatenation, Deliver, PduError, encode_deliver


class IncomingSms(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="do",
    tag="incoming",
    forbid_unknown_fields=True,
):
    """A message for the modem: `text` from `sender`, or a complete `pdu` in hex with its SMSC."""

    sender: str = "+4915199999999"  # or alphanumeric: "ZimBank"
    text: str = ""
    pdu: str = ""
    wide: bool = False  # 16-bit concatenation reference
    reference: int | None = None  # of the concatenation; None: random
    order: Literal["given", "reversed", "shuffled"] = "given"  # of the parts' arrival
    without: tuple[int, ...] = ()  # numbers of the parts that never arrive
    twice: bool = False  # each part arrives twice
    flash: bool = False
    hours_ago: float = 0.0  # age of the time stamp
    zero_time: bool = False


def deliveries(
    message: IncomingSms, now: datetime, chance: random.Random, smsc: str = ""
) -> list[Tpdu]:
    """Return the TPDUs of a message in the order of arrival. Raises PduError."""
    if message.pdu:
        octets = bytes.fromhex(message.pdu)
        length = len(octets) - 1 - octets[0]
        if length <= 0:
            raise PduError("no TPDU behind the SMSC")
        return [Tpdu(message.pdu.upper(), length)]
    planned = plan(message.text, wide=message.wide)
    total = len(planned.parts)
    reference = message.reference
    if reference is None:
        reference = chance.randrange(65536 if message.wide else 256)
    made = [
        encode_deliver(
            Deliver(
                sender=message.sender,
                text=text,
                sent_at=None if message.zero_time else now,
                concatenation=Concatenation(reference, total, number, message.wide)
                if total > 1 or message.wide
                else None,
                alphabet=planned.alphabet,
                shift=planned.shift,
                flash=message.flash,
            ),
            smsc,
        )
        for number, text in enumerate(planned.parts, start=1)
        if number not in message.without
    ]
    if message.order == "reversed":
        made.reverse()
    elif message.order == "shuffled":
        chance.shuffle(made)
    return [each for each in made for _ in range(1 + message.twice)]
