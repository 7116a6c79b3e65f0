"""Why a part failed, as stored: JSON with the API's code and both languages."""

from __future__ import annotations

import msgspec

from modem.interface import Fault


def cause(code: str, en: str, fr: str) -> str:
    """Return a cause of the box itself."""
    return msgspec.json.encode({"code": code, "en": en, "fr": fr}).decode()


# An uncertain part whose window has ended.
NO_ANSWER = cause(
    "SMS_SEND_TIMEOUT",
    "The message was handed over and no answer came; it may or may not have arrived.",
    "Le message a été transmis mais aucune réponse n'est venue ; il a pu partir ou non.",
)

HELD_TOO_LONG = cause(
    "SMS_SEND_TIMEOUT",
    "The box was restored from a backup and nobody decided in time whether to send this message again; it "
    "may have left before the restore.",
    "Le boîtier a été restauré depuis une sauvegarde et personne n'a décidé à temps de renvoyer ou non ce "
    "message ; il était peut-être déjà parti avant la restauration.",
)
DROPPED_BY_OWNER = cause(
    "SMS_SEND_TIMEOUT",
    "The box was restored from a backup and its owner decided not to send this message again; it may have "
    "left before the restore.",
    "Le boîtier a été restauré depuis une sauvegarde et son propriétaire a choisi de ne pas renvoyer ce "
    "message ; il était peut-être déjà parti avant la restauration.",
)

# The failures of which nobody knows whether they are one.
UNKNOWN_OUTCOMES = (NO_ANSWER, HELD_TOO_LONG, DROPPED_BY_OWNER)


def fault_cause(fault: Fault | None) -> str | None:
    """Return a fault as stored with a part."""
    if fault is None:
        return None
    return msgspec.json.encode(
        {
            "code": fault.code,
            "en": fault.english,
            "fr": fault.french,
            "source": fault.source,
            "number": fault.number,
        }
    ).decode()
