"""Lookup of errors of modems and networks: number or text in, `Fault` out. Pure.

The classes: permanent is NEVER, 197 (duplicate) is TAKEN, transient is AGAIN, transient that
smells of no credit or a wrong SMSC is AGAIN and `suspicious`, what the owner must mend is OWNER,
a full store is HOUSEKEEP, and where the text may have left without an answer UNKNOWN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from modem.error_codes import Cause
from modem.error_codes.cme import CME
from modem.error_codes.cms import CMS, CMS_GROUPS
from modem.error_codes.tp_status import TP_STATUS, End
from modem.interface import N_, Fault, FaultKind, Verdict


class Settled(msgspec.Struct, frozen=True):
    """The meaning of a TP-Status for a part.

    "ended": no more reports will come, and none confirms a delivery. "trying": the service centre
    continues, and another report may follow.
    """

    meaning: Literal["delivered", "ended", "trying", "failed"]
    english: str
    fault: Fault | None = None  # for "failed"


def cms(number: int) -> Fault:
    """`+CMS ERROR: <number>` (27.005 3.2.5)."""
    cause = CMS.get(number) or _grouped(number) or _unlisted(number)
    return _fault(cause, "CMS", number)


def cme(number: int) -> Fault:
    """`+CME ERROR: <number>` (27.007 9.2)."""
    return _fault(CME.get(number) or _unlisted(number), "CME", number)


def status(tp_st: int) -> Settled:
    """TP-Status, any octet (23.040 9.2.3.15).

    Reserved values count as "service rejected", as the clause says, except between 0x26 and 0x2F, whose
    class means that the service centre continues. 0x10 to 0x1F are specific to the service centre and
    mean "completed", which says nothing about a delivery.
    """
    if tp_st == 0x00:
        return _settled("delivered", TP_STATUS[tp_st])
    if tp_st in (0x01, 0x02) or 0x10 <= tp_st <= 0x1F:
        return _settled("ended", TP_STATUS.get(tp_st, _CENTRES_OWN))
    if 0x20 <= tp_st <= 0x3F:
        return _settled("trying", TP_STATUS.get(tp_st, _STILL_TRYING))
    end = TP_STATUS.get(tp_st, TP_STATUS[0x63])
    fault = Fault(Verdict.NEVER, end.kind, "TP-ST", tp_st, end.english)
    return Settled("failed", end.english, fault)


def words(line: str) -> Fault | None:
    """Return the fault of a final result code, by number or by text; None if it is not an error."""
    text = line.strip()
    answer = _ERROR_LINE.fullmatch(text)
    if answer is None:
        return REFUSED if text.upper() in _BARE_ERRORS else None
    is_cms = answer["kind"].upper() == "CMS"
    said = answer["said"].strip()
    if not said:
        return REFUSED
    if number := re.match(r"\d{1,5}(?!\d)", said, re.ASCII):
        return cms(int(number[0])) if is_cms else cme(int(number[0]))
    return _worded(said, is_cms)


REFUSED: Final = Fault(
    Verdict.AGAIN,
    FaultKind.DEVICE,
    "modem",
    None,
    N_("The modem refused and gave no reason."),
    suspicious=True,
)
_ERROR_LINE: Final = re.compile(r"\+(?P<kind>CM[SE]) ERROR\s*:?(?P<said>.*)", re.IGNORECASE)
_BARE_ERRORS: Final = frozenset({"ERROR", "COMMAND NOT SUPPORT", "COMMAND NO RESPONSE!"})
_STILL_TRYING: Final = End(N_("The service centre is still trying."))
_CENTRES_OWN: Final = End(
    N_("Completed, in a way only the service centre knows."),
)


def _wordings(causes: Mapping[int, Cause]) -> dict[str, int]:
    """Map texts to numbers; the higher number if two share a text (22 and 42, the same class)."""
    return {_plain(cause.wording): number for number, cause in causes.items()}


def _plain(said: str) -> str:
    """Normalise a text to lower-case letters and digits, and U(SIM) to SIM; makers differ in the rest."""
    lower = re.sub(r"\(?u\)?sim|uicc", "sim", said.lower())
    return re.sub(r"[^a-z0-9]+", " ", lower).strip()


_CMS_WORDINGS: Final = _wordings(CMS)
_CME_WORDINGS: Final = _wordings(CME)

# Texts that makers write differently, most specific first, with the standard's number.
_TELLING: Final[tuple[tuple[re.Pattern[str], int], ...]] = tuple(
    (re.compile(pattern), number)
    for pattern, number in (
        (r"puk ?2", 318),
        (r"pin ?2", 317),
        (r"puk", 316),
        (r"\bpin\b", 311),
        (
            r"(no|not|without|missing|absent|removed)\b.*\bsim\b.*(insert|present|detect|card|$)",
            310,
        ),
        (r"sim (card )?(is )?(not (insert|present|detect)|absent|missing|removed)", 310),
        (r"sim.*(busy|not ready|initiali)", 314),
        (r"sim.*(wrong|invalid|rejected|block)", 315),
        (r"sim.*(fail|error|fault)", 313),
        (r"smsc|service cent", 330),
        (r"(memory|storage|store).*full", 322),
        (r"(memory|storage|store)", 320),
        (r"(no|not).*(network|service|regist|coverage)", 331),
        (r"time ?d? ?out|timer expired|no response", 332),
        (r"congest", 42),
        (r"barr(ed|ing)", 8),
        (r"busy|wait|in progress|not ready", 515),
    )
)
_NO_CREDIT: Final = re.compile(
    r"(no|not enough|insufficient|low|out of)\b.*\b(credit|balance|funds|money)"
    r"|(credit|balance|funds).*\b(exhausted|insufficient|expired|empty|too low)"
)


def _worded(said: str, is_cms: bool) -> Fault:
    plain = _plain(said)
    tables = ((_CMS_WORDINGS, cms), (_CME_WORDINGS, cme))
    for wordings, of_number in tables if is_cms else reversed(tables):
        if plain in wordings:
            return of_number(wordings[plain])
    source: Literal["CMS", "CME"] = "CMS" if is_cms else "CME"
    shown = said[:80]
    if _NO_CREDIT.search(plain):
        return Fault(
            Verdict.OWNER,
            FaultKind.CREDIT,
            source,
            None,
            N_("The SIM has no credit left: the modem said “{said}”."),
            said=shown,
        )
    for pattern, number in _TELLING:
        if pattern.search(plain):
            return _fault(CMS[number], source, None)
    return Fault(
        Verdict.AGAIN,
        FaultKind.DEVICE,
        source,
        None,
        N_("The modem refused in words of its own: “{said}”."),
        suspicious=True,
        said=shown,
    )


def _fault(
    cause: Cause, source: Literal["CMS", "CME", "TP-ST", "modem"], number: int | None
) -> Fault:
    return Fault(
        cause.verdict,
        cause.kind,
        source,
        number,
        cause.english,
        cause.suspicious,
    )


def _grouped(number: int) -> Cause | None:
    return next((cause for group, cause in CMS_GROUPS.items() if number in group), None)


def _unlisted(number: int) -> Cause:
    """Return the fault for an unknown number: refused for an unknown reason, like 500."""
    return Cause(
        "",
        Verdict.AGAIN,
        FaultKind.NETWORK,
        N_("The message was refused with error {number}, whose meaning is not known."),
        suspicious=True,
    )


def _settled(meaning: Literal["delivered", "ended", "trying"], end: End) -> Settled:
    return Settled(meaning, end.english)
