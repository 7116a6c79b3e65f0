"""`+CME ERROR` (27.007 9.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modem.error_codes import (
    MEMORY,
    MEMORY_FULL,
    MODEM_LOCKED,
    NO_SERVICE,
    NO_SMS_SERVICE,
    NOT_ALLOWED,
    NOT_SUPPORTED,
    OUR_PDU,
    REFUSED_SIM,
    SIM_BUSY,
    SIM_FAILURE,
    SIM_MISSING,
    SIM_PIN,
    SIM_PIN2,
    SIM_PUK,
    SIM_PUK2,
    SIM_WRONG,
    SMS_BARRED,
    Cause,
    again,
    housekeep,
    never,
    owner,
    suspicious,
)

_REFUSED_HERE: Final = "The network refuses this SIM here; ask the operator."
_EMERGENCY_ONLY: Final = "The network allows only emergency calls."


CME: Final[Mapping[int, Cause]] = {
    0: again("DEVICE_ERROR", "phone failure", "The modem failed."),
    1: again(
        "DEVICE_ERROR",
        "no connection to phone",
        "The modem's radio part does not answer.",
    ),
    2: again(
        "DEVICE_ERROR",
        "phone-adaptor link reserved",
        "Another program is using the modem.",
    ),
    3: again("DEVICE_ERROR", "operation not allowed", NOT_ALLOWED),
    4: suspicious("DEVICE_ERROR", "operation not supported", NOT_SUPPORTED),
    5: owner("DEVICE_ERROR", "ph-sim pin required", MODEM_LOCKED),
    6: owner("DEVICE_ERROR", "ph-fsim pin required", MODEM_LOCKED),
    7: owner("DEVICE_ERROR", "ph-fsim puk required", MODEM_LOCKED),
    10: owner("DEVICE_ERROR", "sim not inserted", SIM_MISSING),
    11: owner("DEVICE_ERROR", "sim pin required", SIM_PIN),
    12: owner("DEVICE_ERROR", "sim puk required", SIM_PUK),
    13: owner("DEVICE_ERROR", "sim failure", SIM_FAILURE),
    14: again("DEVICE_ERROR", "sim busy", SIM_BUSY),
    15: owner("DEVICE_ERROR", "sim wrong", SIM_WRONG),
    16: owner(
        "DEVICE_ERROR",
        "incorrect password",
        "The code was wrong.",
    ),
    17: owner("DEVICE_ERROR", "sim pin2 required", SIM_PIN2),
    18: owner("DEVICE_ERROR", "sim puk2 required", SIM_PUK2),
    20: housekeep("memory full", MEMORY_FULL),
    21: housekeep(
        "invalid index",
        "There is no such place in the modem's store.",
    ),
    22: housekeep(
        "not found",
        "The modem did not find what was asked for.",
    ),
    23: housekeep("memory failure", MEMORY),
    24: never("DEVICE_ERROR", "text string too long", OUR_PDU),
    25: never("DEVICE_ERROR", "invalid characters in text string", OUR_PDU),
    26: never("DEVICE_ERROR", "dial string too long", OUR_PDU),
    27: never("DEVICE_ERROR", "invalid characters in dial string", OUR_PDU),
    30: again("NETWORK_ERROR", "no network service", NO_SERVICE),
    31: again(
        "NETWORK_ERROR",
        "network timeout",
        "The network did not answer in time.",
    ),
    32: again("NETWORK_ERROR", "network not allowed - emergency calls only", _EMERGENCY_ONLY),
    40: owner("DEVICE_ERROR", "network personalization pin required", MODEM_LOCKED),
    41: owner("DEVICE_ERROR", "network personalization puk required", MODEM_LOCKED),
    42: owner("DEVICE_ERROR", "network subset personalization pin required", MODEM_LOCKED),
    43: owner("DEVICE_ERROR", "network subset personalization puk required", MODEM_LOCKED),
    44: owner("DEVICE_ERROR", "service provider personalization pin required", MODEM_LOCKED),
    45: owner("DEVICE_ERROR", "service provider personalization puk required", MODEM_LOCKED),
    46: owner("DEVICE_ERROR", "corporate personalization pin required", MODEM_LOCKED),
    47: owner("DEVICE_ERROR", "corporate personalization puk required", MODEM_LOCKED),
    48: owner("DEVICE_ERROR", "hidden key required", MODEM_LOCKED),
    49: suspicious("DEVICE_ERROR", "eap method not supported", NOT_SUPPORTED),
    50: suspicious("DEVICE_ERROR", "incorrect parameters", OUR_PDU),
    51: again("DEVICE_ERROR", "command implemented but currently disabled", NOT_ALLOWED),
    52: again(
        "DEVICE_ERROR",
        "command aborted by user",
        "The modem broke off.",
    ),
    53: again(
        "DEVICE_ERROR",
        "not attached to network due to mt functionality restrictions",
        "The modem's radio is switched off.",
    ),
    54: again(
        "NETWORK_ERROR",
        "modem not allowed - mt restricted to emergency calls only",
        _EMERGENCY_ONLY,
    ),
    55: again(
        "DEVICE_ERROR",
        "operation not allowed because of mt functionality restrictions",
        "The modem's radio is switched off.",
    ),
    56: owner(
        "DEVICE_ERROR",
        "fixed dial number only allowed - called number is not a fixed dial number",
        "The SIM allows only the numbers on its list (fixed dialling).",
    ),
    57: again(
        "DEVICE_ERROR",
        "temporarily out of service due to other mt usage",
        "The modem is busy with something else.",
    ),
    58: never("DEVICE_ERROR", "language/alphabet not supported", NOT_SUPPORTED),
    59: suspicious("DEVICE_ERROR", "unexpected data value", OUR_PDU),
    60: again(
        "DEVICE_ERROR",
        "system failure",
        "The modem had a system failure.",
    ),
    61: suspicious("DEVICE_ERROR", "data missing", OUR_PDU),
    62: owner("NETWORK_ERROR", "call barred", SMS_BARRED),
    100: suspicious(
        "DEVICE_ERROR",
        "unknown",
        "The modem refused without a reason.",
    ),
    103: owner("NETWORK_ERROR", "illegal ms", REFUSED_SIM),
    106: owner(
        "NETWORK_ERROR",
        "illegal me",
        "The network refuses this modem; it may be reported as stolen.",
    ),
    107: again(
        "NETWORK_ERROR",
        "gprs services not allowed",
        "The network allows no data service with this SIM.",
    ),
    111: owner("NETWORK_ERROR", "plmn not allowed", _REFUSED_HERE),
    112: owner("NETWORK_ERROR", "location area not allowed", _REFUSED_HERE),
    113: owner(
        "NETWORK_ERROR",
        "roaming not allowed in this location area",
        "Roaming is not allowed here with this SIM.",
    ),
    132: owner("NETWORK_ERROR", "service option not supported", NO_SMS_SERVICE),
    133: owner("NETWORK_ERROR", "requested service option not subscribed", NO_SMS_SERVICE),
    134: again(
        "NETWORK_ERROR",
        "service option temporarily out of order",
        "The network's service is out of order for the moment.",
    ),
    # A maker's number (Wavecom, and others after it), seen while the modem starts.
    515: again(
        "DEVICE_ERROR",
        "please wait, init or command processing in progress",
        "The modem is still busy.",
    ),
}
