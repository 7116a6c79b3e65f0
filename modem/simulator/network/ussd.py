"""What the operator answers to USSD codes, in the many ways modems pass that on."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from modem.simulator.commands.formats import hex16
from modem.sms.gsm7 import encode_septets, pack


class UssdAnswer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="do",
    tag="ussd",
    forbid_unknown_fields=True,
):
    """One answer. `form`: how the text is spelled and which <dcs> goes with it."""

    code: str = "*"  # pattern of the question
    text: str | None = None  # None: +CUSD: <status> alone
    status: int = (
        0  # 27.007 7.15 <m>: 0 done, 1 more is asked, 2 ended, 4 not supported, 5 time-out
    )
    form: Literal["text", "ucs2", "packed", "no dcs"] = "text"
    after: float = 0.0
    before_ok: bool = False  # the answer comes before the OK
    only_if_asked: bool = True  # only at +CUSD=1
    cme: int | None = None  # refused with this code

    def line(self, cscs: str) -> str:
        """The unsolicited line."""
        if self.text is None:
            return f"+CUSD: {self.status}"
        if self.form == "ucs2":
            return f'+CUSD: {self.status},"{hex16(self.text)}",72'
        if self.form == "packed":
            packed = pack(encode_septets(self.text)).hex().upper()
            return f'+CUSD: {self.status},"{packed}",15'
        text = hex16(self.text) if cscs == "UCS2" else self.text
        if self.form == "no dcs":
            return f'+CUSD: {self.status},"{text}"'
        return f'+CUSD: {self.status},"{text}",15'


BALANCE = UssdAnswer(code="[*]100#", text="Your balance is 12.34 EUR.")
UNKNOWN = UssdAnswer(status=4)


class UssdCentre:
    """The answers in force; the newest that fits is given."""

    def __init__(self) -> None:
        self.answers = [BALANCE]

    def answer(self, question: str) -> UssdAnswer:
        """What a question is answered."""
        fitting = (each for each in reversed(self.answers) if fnmatchcase(question, each.code))
        return next(fitting, UNKNOWN)
