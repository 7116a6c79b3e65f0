"""The bad states of a box that a simulated modem can be brought into, and what the page says of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Order = Mapping[str, Any]

PLUGGED: tuple[Order, ...] = ({"do": "plug"},)


class BadState(msgspec.Struct, frozen=True):
    """Orders that bring it about, orders that end it, the sentence in both languages (its beginning)."""

    name: str
    begin: tuple[Order, ...]
    end: tuple[Order, ...]
    french: str
    english: str
    sends: int = 0  # messages that have to be tried for it to be noticed


REGISTERED: Order = {"do": "registration", "stat": 1}
RESTART: Order = {"do": "restart"}

STATES = (
    BadState(
        "unplugged",
        ({"do": "unplug"},),
        ({"do": "plug"},),
        "Le modem ne répond pas",
        "The modem does not answer",
    ),
    BadState(
        "no-sim",
        ({"do": "sim", "present": False}, RESTART),
        ({"do": "sim"}, RESTART),
        "Pas de carte SIM",
        "No SIM card",
    ),
    BadState(
        "searching",
        ({"do": "registration", "stat": 2},),
        (REGISTERED,),
        "Pas encore de réseau",
        "No network yet",
    ),
    BadState(
        "denied",
        ({"do": "registration", "stat": 3},),
        (REGISTERED,),
        "Le réseau refuse cette carte SIM",
        "The network refuses this SIM card",
    ),
    BadState(
        "no-credit",
        ({"do": "send", "final": "+CMS ERROR: No credit", "times": None},),
        ({"do": "reset"}, RESTART),
        "Plus de crédit",
        "No credit",
        sends=1,
    ),
    BadState(
        "operator-refuses",
        ({"do": "send", "cms": 21, "times": None},),
        ({"do": "reset"}, RESTART),
        "L'opérateur refuse les SMS",
        "The operator refuses SMS",
        sends=4,
    ),
    BadState(
        "undervoltage",
        ({"do": "urc", "lines": ["UNDER-VOLTAGE WARNNING"]},),
        (),  # the warning stands for a while: what was weak once will be weak again
        "La tension d'alimentation est trop basse",
        "The supply voltage is too low",
    ),
)
