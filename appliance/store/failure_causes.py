"""Why a part failed, as stored: JSON with the API's code and both languages."""

from __future__ import annotations

import msgspec

from modem.interface import Fault


def cause(code: str, en: str, fr: str) -> str:
    """Return a cause of the box itself."""
    return msgspec.json.encode({"code": code, "en": en, "fr": fr}).decode()


# An uncertain part whose window has ended: the only failure of which nobody knows whether it is one.
NO_ANSWER = cause(
    "SMS_SEND_TIMEOUT",
    "The message was handed over and no answer came; it may or may not have arrived.",
    "Le message a été transmis mais aucune réponse n'est venue ; il a pu partir ou non.",
)


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
