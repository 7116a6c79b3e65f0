"""Problems that a simulated modem can produce, and the text of the page for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modem.simulator import Settings

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
FIRST_CARD: Order = {"do": "sim", "iccid": "8933010000000000000"}
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
        "pin",
        ({"do": "sim", "iccid": "8933019999999999991", "pin": "4321"}, RESTART),
        (FIRST_CARD, RESTART),
        "La carte SIM demande son code PIN",
        "The SIM card asks for its PIN",
    ),
    BadState(
        "puk",
        (
            {"do": "sim", "iccid": "8933019999999999992", "pin": "4321"},
            {"do": "pin", "tries": 0},
            RESTART,
        ),
        (FIRST_CARD, RESTART),
        "La carte SIM est bloquée",
        "The SIM card is locked",
    ),
    BadState(
        "sim-fault",
        ({"do": "answer", "command": "+CPIN*", "final": "+CME ERROR: 13", "times": None}, RESTART),
        ({"do": "reset"}, RESTART),
        "La carte SIM ne répond pas",
        "The SIM card does not answer",
    ),
    BadState(
        "no-smsc",
        ({"do": "smsc", "number": ""}, RESTART),
        ({"do": "smsc", "number": Settings().smsc}, RESTART),
        "La carte SIM n’a pas de numéro de centre SMS",
        "The SIM card has no SMS centre number",
    ),
    BadState(
        "refuses",
        (
            {"do": "answer", "command": "+CNMI[?]", "lines": ["+CNMI: 0,0,0,0,0"], "times": None},
            RESTART,
        ),
        ({"do": "reset"}, RESTART),
        "Le modem répond mais ne garde pas ses réglages",
        "The modem answers but does not keep its settings",
    ),
    BadState(
        "no-storage",
        ({"do": "urc", "lines": ["+CMTI: ,-1"]},),
        ({"do": "incoming", "sender": "+33612345678", "text": "there is room again"},),
        "Le modem n’a pas de place pour les messages reçus",
        "The modem has no room for received messages",
    ),
    BadState(
        "no-signal",
        ({"do": "signal", "rssi": 99}, {"do": "registration", "stat": 0}),
        ({"do": "signal", "rssi": 20}, REGISTERED),
        "Pas de réseau, aucun signal",
        "No network, no signal at all",
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
        "L’opérateur refuse les SMS",
        "The operator refuses SMS",
        sends=4,
    ),
    BadState(
        "undervoltage",
        ({"do": "urc", "lines": ["UNDER-VOLTAGE WARNNING"]},),
        (),  # the warning stands for a while: what was weak once will be weak again
        "La tension d’alimentation est trop basse",
        "The supply voltage is too low",
    ),
)
