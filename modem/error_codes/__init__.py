"""Error codes of modems and networks: the tables behind `modem.error_codes.lookup`.

Each row: the standard's wording (modems with AT+CMEE=2 answer with it), the verdict, the API's
code, and a sentence for the owner in English and in French.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from modem.interface import Verdict

Code = Literal[
    "NETWORK_ERROR",
    "NO_CREDIT",
    "BLOCKED_NUMBER",
    "INVALID_NUMBER",
    "SMS_SEND_TIMEOUT",
    "DEVICE_ERROR",
]


Sentences = tuple[str, str]  # for the owner, in English and in French


class Cause(msgspec.Struct, frozen=True):
    wording: str
    verdict: Verdict
    code: Code
    english: str
    french: str
    suspicious: bool = False


def again(code: Code, wording: str, english: str, french: str) -> Cause:
    return Cause(wording, Verdict.AGAIN, code, english, french)


def suspicious(code: Code, wording: str, english: str, french: str) -> Cause:
    """May pass, but several recipients in a row mean: no credit, a wrong SMSC, a barred SIM."""
    return Cause(wording, Verdict.AGAIN, code, english, french, suspicious=True)


def never(code: Code, wording: str, english: str, french: str) -> Cause:
    return Cause(wording, Verdict.NEVER, code, english, french)


def owner(code: Code, wording: str, english: str, french: str) -> Cause:
    return Cause(wording, Verdict.OWNER, code, english, french)


def housekeep(wording: str, english: str, french: str) -> Cause:
    return Cause(wording, Verdict.HOUSEKEEP, "DEVICE_ERROR", english, french)


def unknown(wording: str, english: str, french: str) -> Cause:
    return Cause(wording, Verdict.UNKNOWN, "SMS_SEND_TIMEOUT", english, french)


SIM_MISSING: Final[Sentences] = ("No SIM is inserted.", "Aucune carte SIM n'est insérée.")
SIM_PIN: Final[Sentences] = ("The SIM asks for its PIN.", "La carte SIM demande son code PIN.")
SIM_PUK: Final[Sentences] = (
    "The SIM is locked and asks for its PUK.",
    "La carte SIM est bloquée et demande son code PUK.",
)
SIM_PIN2: Final[Sentences] = ("The SIM asks for its PIN2.", "La carte SIM demande son code PIN2.")
SIM_PUK2: Final[Sentences] = ("The SIM asks for its PUK2.", "La carte SIM demande son code PUK2.")
SIM_FAILURE: Final[Sentences] = (
    "The SIM does not work; take it out, clean it and put it back, or replace it.",
    "La carte SIM ne fonctionne pas ; retirez-la, nettoyez-la et remettez-la, ou remplacez-la.",
)
SIM_BUSY: Final[Sentences] = (
    "The SIM is busy for the moment.",
    "La carte SIM est occupée pour le moment.",
)
SIM_WRONG: Final[Sentences] = (
    "The modem does not accept this SIM; it may be locked to another operator.",
    "Le modem n'accepte pas cette carte SIM ; il est peut-être verrouillé sur un autre opérateur.",
)
MODEM_LOCKED: Final[Sentences] = (
    "The modem is locked to another SIM or operator and asks for its unlock code.",
    "Le modem est verrouillé sur une autre carte SIM ou un autre opérateur et demande son code.",
)
MEMORY: Final[Sentences] = (
    "The modem could not use its message store.",
    "Le modem n'a pas pu utiliser sa mémoire de messages.",
)
MEMORY_FULL: Final[Sentences] = (
    "The modem's message store is full.",
    "La mémoire de messages du modem est pleine.",
)
NO_SERVICE: Final[Sentences] = (
    "The modem has no network service.",
    "Le modem n'a pas de réseau.",
)
NOT_ALLOWED: Final[Sentences] = (
    "The modem does not allow this in the state it is in.",
    "Le modem ne l'autorise pas dans l'état où il se trouve.",
)
NOT_SUPPORTED: Final[Sentences] = ("The modem cannot do this.", "Le modem ne sait pas le faire.")
REFUSED_SIM: Final[Sentences] = (
    "The network does not know this SIM; ask the operator whether it is active.",
    "Le réseau ne connaît pas cette carte SIM ; demandez à l'opérateur si elle est active.",
)
SMS_BARRED: Final[Sentences] = (
    "The operator has barred this SIM from sending SMS; ask the operator.",
    "L'opérateur interdit l'envoi de SMS à cette carte SIM ; contactez l'opérateur.",
)
NO_SMS_SERVICE: Final[Sentences] = (
    "SMS is not part of this SIM's contract; ask the operator.",
    "Les SMS ne font pas partie du forfait de cette carte SIM ; contactez l'opérateur.",
)
OUR_PDU: Final[Sentences] = (
    "The modem says that the message is not well-formed.",
    "Le modem indique que le message est mal formé.",
)
