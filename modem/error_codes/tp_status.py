"""TP-Status of delivery reports (23.040 9.2.3.15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from modem.error_codes import Code


class End(msgspec.Struct, frozen=True):
    """What a TP-Status says, and the API's code should it be a failure."""

    english: str
    french: str
    code: Code = "NETWORK_ERROR"


_BUSY_NETWORK = (
    "The network was overloaded.",
    "Le réseau était surchargé.",
)
_BUSY_PHONE = ("The recipient's phone was busy.", "Le téléphone du destinataire était occupé.")
_SILENT_PHONE = (
    "The recipient's phone did not answer; it may be off or out of reach.",
    "Le téléphone du destinataire ne répond pas ; il est peut-être éteint ou hors de portée.",
)
_REJECTED = ("The network rejected the message.", "Le réseau a rejeté le message.")
_QUALITY = (
    "The network could not give the service asked for.",
    "Le réseau n'a pas pu fournir le service demandé.",
)
_PHONE_ERROR = (
    "The recipient's phone reported an error.",
    "Le téléphone du destinataire a signalé une erreur.",
)


TP_STATUS: Final[Mapping[int, End]] = {
    0x00: End("Delivered to the phone.", "Remis au téléphone."),
    0x01: End(
        "Passed on to another network or service, which cannot confirm the delivery.",
        "Transmis à un autre réseau ou service, qui ne peut pas confirmer la remise.",
    ),
    0x02: End(
        "Replaced at the service centre by a later message.",
        "Remplacé au centre de messages par un message plus récent.",
    ),
    0x20: End(*_BUSY_NETWORK),
    0x21: End(*_BUSY_PHONE),
    0x22: End(*_SILENT_PHONE),
    0x23: End(*_REJECTED),
    0x24: End(*_QUALITY),
    0x25: End(*_PHONE_ERROR),
    0x40: End(
        "The networks could not understand each other.",
        "Les réseaux ne se sont pas compris.",
    ),
    0x41: End(
        "The destination cannot receive SMS.",
        "Le destinataire ne peut pas recevoir de SMS.",
    ),
    0x42: End(
        "The recipient's phone or service refused the message.",
        "Le téléphone ou le service du destinataire a refusé le message.",
    ),
    0x43: End(
        "This number cannot be reached: it is not in use.",
        "Ce numéro n'est pas joignable : il n'est pas en service.",
        "INVALID_NUMBER",
    ),
    0x44: End(*_QUALITY),
    0x45: End(
        "There is no connection to the recipient's network.",
        "Il n'y a pas de liaison avec le réseau du destinataire.",
    ),
    0x46: End(
        "The message's validity ended before it could be delivered.",
        "La validité du message a pris fin avant sa remise.",
        "SMS_SEND_TIMEOUT",
    ),
    0x47: End("Deleted by the sender.", "Supprimé par l'expéditeur."),
    0x48: End(
        "Deleted by the operator of the service centre.",
        "Supprimé par l'opérateur du centre de messages.",
    ),
    0x49: End(
        "The service centre does not have this message.",
        "Le centre de messages n'a pas ce message.",
    ),
    0x60: End(*_BUSY_NETWORK),
    0x61: End(*_BUSY_PHONE),
    0x62: End(*_SILENT_PHONE),
    0x63: End(*_REJECTED),
    0x64: End(*_QUALITY),
    0x65: End(*_PHONE_ERROR),
}
