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
    Row,
    causes,
)
from modem.interface import FaultKind, Verdict

AGAIN = Verdict.AGAIN
HOUSEKEEP = Verdict.HOUSEKEEP
NEVER = Verdict.NEVER
OWNER = Verdict.OWNER
DEVICE = FaultKind.DEVICE
NETWORK = FaultKind.NETWORK

_REFUSED_HERE: Final = "The network refuses this SIM here; ask the operator."
_EMERGENCY_ONLY: Final = "The network allows only emergency calls."

# number: wording of the standard, verdict, kind, text
# fmt: off
_ROWS: Final[Mapping[int, Row]] = {
    0: ("phone failure", AGAIN, DEVICE, "The modem failed."),
    1: ("no connection to phone", AGAIN, DEVICE, "The modem's radio part does not answer."),
    2: ("phone-adaptor link reserved", AGAIN, DEVICE, "Another program is using the modem."),
    3: ("operation not allowed", AGAIN, DEVICE, NOT_ALLOWED),
    4: ("operation not supported", AGAIN, DEVICE, NOT_SUPPORTED),
    5: ("ph-sim pin required", OWNER, DEVICE, MODEM_LOCKED),
    6: ("ph-fsim pin required", OWNER, DEVICE, MODEM_LOCKED),
    7: ("ph-fsim puk required", OWNER, DEVICE, MODEM_LOCKED),
    10: ("sim not inserted", OWNER, DEVICE, SIM_MISSING),
    11: ("sim pin required", OWNER, DEVICE, SIM_PIN),
    12: ("sim puk required", OWNER, DEVICE, SIM_PUK),
    13: ("sim failure", OWNER, DEVICE, SIM_FAILURE),
    14: ("sim busy", AGAIN, DEVICE, SIM_BUSY),
    15: ("sim wrong", OWNER, DEVICE, SIM_WRONG),
    16: ("incorrect password", OWNER, DEVICE, "The code was wrong."),
    17: ("sim pin2 required", OWNER, DEVICE, SIM_PIN2),
    18: ("sim puk2 required", OWNER, DEVICE, SIM_PUK2),
    20: ("memory full", HOUSEKEEP, DEVICE, MEMORY_FULL),
    21: ("invalid index", HOUSEKEEP, DEVICE, "There is no such place in the modem's store."),
    22: ("not found", HOUSEKEEP, DEVICE, "The modem did not find what was asked for."),
    23: ("memory failure", HOUSEKEEP, DEVICE, MEMORY),
    24: ("text string too long", NEVER, DEVICE, OUR_PDU),
    25: ("invalid characters in text string", NEVER, DEVICE, OUR_PDU),
    26: ("dial string too long", NEVER, DEVICE, OUR_PDU),
    27: ("invalid characters in dial string", NEVER, DEVICE, OUR_PDU),
    30: ("no network service", AGAIN, NETWORK, NO_SERVICE),
    31: ("network timeout", AGAIN, NETWORK, "The network did not answer in time."),
    32: ("network not allowed - emergency calls only", AGAIN, NETWORK, _EMERGENCY_ONLY),
    40: ("network personalization pin required", OWNER, DEVICE, MODEM_LOCKED),
    41: ("network personalization puk required", OWNER, DEVICE, MODEM_LOCKED),
    42: ("network subset personalization pin required", OWNER, DEVICE, MODEM_LOCKED),
    43: ("network subset personalization puk required", OWNER, DEVICE, MODEM_LOCKED),
    44: ("service provider personalization pin required", OWNER, DEVICE, MODEM_LOCKED),
    45: ("service provider personalization puk required", OWNER, DEVICE, MODEM_LOCKED),
    46: ("corporate personalization pin required", OWNER, DEVICE, MODEM_LOCKED),
    47: ("corporate personalization puk required", OWNER, DEVICE, MODEM_LOCKED),
    48: ("hidden key required", OWNER, DEVICE, MODEM_LOCKED),
    49: ("eap method not supported", AGAIN, DEVICE, NOT_SUPPORTED),
    50: ("incorrect parameters", AGAIN, DEVICE, OUR_PDU),
    51: ("command implemented but currently disabled", AGAIN, DEVICE, NOT_ALLOWED),
    52: ("command aborted by user", AGAIN, DEVICE, "The modem broke off."),
    53: ("not attached to network due to mt functionality restrictions", AGAIN, DEVICE,
        "The modem's radio is switched off."),
    54: ("modem not allowed - mt restricted to emergency calls only", AGAIN, NETWORK, _EMERGENCY_ONLY),
    55: ("operation not allowed because of mt functionality restrictions", AGAIN, DEVICE,
        "The modem's radio is switched off."),
    56: ("fixed dial number only allowed - called number is not a fixed dial number", OWNER, DEVICE,
        "The SIM allows only the numbers on its list (fixed dialling)."),
    57: ("temporarily out of service due to other mt usage", AGAIN, DEVICE, "The modem is busy with something else."),
    58: ("language/alphabet not supported", NEVER, DEVICE, NOT_SUPPORTED),
    59: ("unexpected data value", AGAIN, DEVICE, OUR_PDU),
    60: ("system failure", AGAIN, DEVICE, "The modem had a system failure."),
    61: ("data missing", AGAIN, DEVICE, OUR_PDU),
    62: ("call barred", OWNER, NETWORK, SMS_BARRED),
    100: ("unknown", AGAIN, DEVICE, "The modem refused without a reason."),
    103: ("illegal ms", OWNER, NETWORK, REFUSED_SIM),
    106: ("illegal me", OWNER, NETWORK, "The network refuses this modem; it may be reported as stolen."),
    107: ("gprs services not allowed", AGAIN, NETWORK, "The network allows no data service with this SIM."),
    111: ("plmn not allowed", OWNER, NETWORK, _REFUSED_HERE),
    112: ("location area not allowed", OWNER, NETWORK, _REFUSED_HERE),
    113: ("roaming not allowed in this location area", OWNER, NETWORK, "Roaming is not allowed here with this SIM."),
    132: ("service option not supported", OWNER, NETWORK, NO_SMS_SERVICE),
    133: ("requested service option not subscribed", OWNER, NETWORK, NO_SMS_SERVICE),
    134: ("service option temporarily out of order", AGAIN, NETWORK,
        "The network's service is out of order for the moment."),
    # A maker's number (Wavecom, and others after it), seen while the modem starts.
    515: ("please wait, init or command processing in progress", AGAIN, DEVICE, "The modem is still busy."),
}
# fmt: on

# May pass, but several recipients in a row mean: no credit, a wrong SMSC, a barred SIM.
_SUSPICIOUS: Final = frozenset({4, 49, 50, 59, 61, 100})

CME: Final[Mapping[int, Cause]] = causes(_ROWS, _SUSPICIOUS)
