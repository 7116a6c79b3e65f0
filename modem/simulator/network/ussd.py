"""The operator's answers to USSD codes, in the forms in which modems report them."""

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
    """One answer. `form`: the encoding of the text and its <dcs>."""

    code: str = "*"  # pattern of the request
    text: str | None = None  # None: +CUSD: <status> alone
    status: int = (
        0  # 27.007 7.15 <m>: 0 done, 1 further input expected, 2 ended, 4 not supported, 5 time-out
    )
    form: Literal["text", "ucs2", "packed", "no dcs"] = "text"
    after: float = 0.0
    before_ok: bool = False  # send the answer before the OK
    only_if_asked: bool = True  # only at +CUSD=1
    cme: int | None = None  # error with this code

    def line(self, cscs: str) -> str:
        """Return the URC."""
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
    """The active answers; the newest match wins."""

    def __init__(self) -> None:
        self.answers = [BALANCE]

    def answer(self, question: str) -> UssdAnswer:
        """Return the answer to a request."""
        fitting = (each for each in reversed(self.answers) if fnmatchcase(question, each.code))
        return next(fitting, UNKNOWN)
