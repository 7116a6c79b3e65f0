"""`+CMS ERROR` (27.005 3.2.5): to 127 from 24.011 E.2, to 255 from 23.040 9.2.3.22."""

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
TAKEN = Verdict.TAKEN
UNKNOWN = Verdict.UNKNOWN
BARRED = FaultKind.BARRED
DEVICE = FaultKind.DEVICE
NETWORK = FaultKind.NETWORK
NUMBER = FaultKind.NUMBER
TIMEOUT = FaultKind.TIMEOUT

_CONGESTION: Final = "The network is overloaded."
_PROTOCOL: Final = "The network could not make sense of the request; the SMSC number may be wrong."
_PID_REFUSED: Final = "The service centre does not accept this kind of message."
_DCS_REFUSED: Final = "The service centre does not accept this alphabet or message class."
_COMMAND_REFUSED: Final = "The service centre does not accept this command."
_VALIDITY_REFUSED: Final = "The service centre does not accept a validity period; send without one."
_CARD_STORE: Final = "The SIM has no room left for messages."

# number: wording of the standard, verdict, kind, text
# fmt: off
_ROWS: Final[Mapping[int, Row]] = {
    1: ("unassigned (unallocated) number", NEVER, NUMBER, "This number is not assigned."),
    8: ("operator determined barring", OWNER, NETWORK, SMS_BARRED),
    10: ("call barred", OWNER, NETWORK, SMS_BARRED),
    17: ("network failure", AGAIN, NETWORK, "The network failed for the moment."),
    21: ("short message transfer rejected", AGAIN, NETWORK,
        "The network rejected the message; it often means that the SIM has no credit."),
    # 24.011 names it "memory capacity exceeded" for reports; modems word it "congestion".
    22: ("congestion", AGAIN, NETWORK, _CONGESTION),
    23: ("memory failure", HOUSEKEEP, DEVICE, MEMORY),
    27: ("destination out of service", AGAIN, NETWORK, "The destination is out of service for the moment."),
    28: ("unidentified subscriber", OWNER, NETWORK, REFUSED_SIM),
    29: ("facility rejected", OWNER, NETWORK, "The network refuses SMS from this SIM; ask the operator."),
    30: ("unknown subscriber", AGAIN, NETWORK,
        "The network does not know the subscriber: the recipient, or this SIM."),
    34: ("no circuit/channel available", AGAIN, NETWORK,
        "The network gave no channel; some operators answer so to a SIM without credit."),
    38: ("network out of order", AGAIN, NETWORK,
        "The network is out of order, or the SIM has no credit, or the SMSC is wrong."),
    41: ("temporary failure", AGAIN, NETWORK, "The network had a passing fault."),
    42: ("congestion", AGAIN, NETWORK, _CONGESTION),
    47: ("resources unavailable, unspecified", AGAIN, NETWORK, "The network has no resources for the moment."),
    50: ("requested facility not subscribed", OWNER, NETWORK, NO_SMS_SERVICE),
    69: ("requested facility not implemented", AGAIN, NETWORK,
        "The network does not offer SMS this way; the SMSC number may be wrong."),
    81: ("invalid short message transfer reference value", AGAIN, NETWORK, _PROTOCOL),
    95: ("invalid message, unspecified", AGAIN, NETWORK, _PROTOCOL),
    96: ("invalid mandatory information", AGAIN, NETWORK, _PROTOCOL),
    97: ("message type non-existent or not implemented", AGAIN, NETWORK, _PROTOCOL),
    98: ("message not compatible with short message protocol state", AGAIN, NETWORK, _PROTOCOL),
    99: ("information element non-existent or not implemented", AGAIN, NETWORK, _PROTOCOL),
    111: ("protocol error, unspecified", AGAIN, NETWORK, _PROTOCOL),
    127: ("interworking, unspecified", AGAIN, NETWORK,
        "The message could not be handed on between networks, and no reason was given."),
    128: ("telematic interworking not supported", NEVER, NETWORK, _PID_REFUSED),
    129: ("short message type 0 not supported", NEVER, NETWORK, _PID_REFUSED),
    130: ("cannot replace short message", NEVER, NETWORK,
        "The service centre could not replace the earlier message."),
    143: ("unspecified tp-pid error", NEVER, NETWORK, _PID_REFUSED),
    144: ("data coding scheme (alphabet) not supported", NEVER, NETWORK, _DCS_REFUSED),
    145: ("message class not supported", NEVER, NETWORK, _DCS_REFUSED),
    159: ("unspecified tp-dcs error", NEVER, NETWORK, _DCS_REFUSED),
    160: ("command cannot be actioned", NEVER, NETWORK, _COMMAND_REFUSED),
    161: ("command unsupported", NEVER, NETWORK, _COMMAND_REFUSED),
    175: ("unspecified tp-command error", NEVER, NETWORK, _COMMAND_REFUSED),
    176: ("tpdu not supported", NEVER, NETWORK, _PID_REFUSED),
    192: ("sc busy", AGAIN, NETWORK, "The service centre is busy."),
    193: ("no sc subscription", OWNER, NETWORK, NO_SMS_SERVICE),
    194: ("sc system failure", AGAIN, NETWORK, "The service centre failed for the moment."),
    195: ("invalid sme address", NEVER, NUMBER, "The service centre does not accept this number."),
    196: ("destination sme barred", NEVER, BARRED, "The operator bars messages to this number."),
    197: ("sm rejected-duplicate sm", TAKEN, NETWORK, "The service centre has this message already."),
    198: ("tp-vpf not supported", NEVER, NETWORK, _VALIDITY_REFUSED),
    199: ("tp-vp not supported", NEVER, NETWORK, _VALIDITY_REFUSED),
    208: ("(u)sim sms storage full", NEVER, DEVICE, _CARD_STORE),
    209: ("no sms storage capability in (u)sim", NEVER, DEVICE, _CARD_STORE),
    210: ("error in ms", NEVER, DEVICE, "The modem reports an error of its own."),
    211: ("memory capacity exceeded", NEVER, DEVICE, _CARD_STORE),
    212: ("(u)sim application toolkit busy", NEVER, DEVICE, "The SIM's own applications are busy."),
    213: ("(u)sim data download error", NEVER, DEVICE, "The SIM could not take the data."),
    255: ("unspecified error cause", NEVER, NETWORK, "The service centre refused the message without a reason."),
    300: ("me failure", AGAIN, DEVICE, "The modem failed; if it goes on, restart it and look at the SMSC number."),
    301: ("sms service of me reserved", AGAIN, DEVICE, "Another program is using the modem's SMS service."),
    302: ("operation not allowed", AGAIN, DEVICE, NOT_ALLOWED),
    303: ("operation not supported", AGAIN, DEVICE, NOT_SUPPORTED),
    304: ("invalid pdu mode parameter", NEVER, DEVICE, OUR_PDU),
    305: ("invalid text mode parameter", NEVER, DEVICE, OUR_PDU),
    310: ("sim not inserted", OWNER, DEVICE, SIM_MISSING),
    311: ("sim pin required", OWNER, DEVICE, SIM_PIN),
    312: ("ph-sim pin required", OWNER, DEVICE, MODEM_LOCKED),
    313: ("sim failure", OWNER, DEVICE, SIM_FAILURE),
    314: ("sim busy", AGAIN, DEVICE, SIM_BUSY),
    315: ("sim wrong", OWNER, DEVICE, SIM_WRONG),
    316: ("sim puk required", OWNER, DEVICE, SIM_PUK),
    317: ("sim pin2 required", OWNER, DEVICE, SIM_PIN2),
    318: ("sim puk2 required", OWNER, DEVICE, SIM_PUK2),
    320: ("memory failure", HOUSEKEEP, DEVICE, MEMORY),
    321: ("invalid memory index", HOUSEKEEP, DEVICE, "There is no message at that place of the modem's store."),
    322: ("memory full", HOUSEKEEP, DEVICE, MEMORY_FULL),
    330: ("smsc address unknown", OWNER, DEVICE, "The SIM has no service centre number; enter the operator's SMSC."),
    331: ("no network service", AGAIN, NETWORK, NO_SERVICE),
    332: ("network timeout", UNKNOWN, TIMEOUT, "The network did not answer; the message may have left."),
    340: ("no +cnma acknowledgement expected", AGAIN, DEVICE, "The modem did not expect an acknowledgement."),
    500: ("unknown error", AGAIN, NETWORK,
        "The message was refused without a reason; no credit and a wrong SMSC are common ones."),
    # From 512 on each maker counts for itself: these are SIMCom's. Where others mean something
    # else by a number, "again" loses nothing but a few tries.
    512: ("user abort", AGAIN, DEVICE, "The modem broke off."),
    513: ("unable to store", HOUSEKEEP, DEVICE, MEMORY),
    515: ("invalid character in address string", AGAIN, DEVICE, "The modem was not ready for this."),
    516: ("invalid length", AGAIN, DEVICE, OUR_PDU),
    517: ("invalid character in pdu", AGAIN, DEVICE, OUR_PDU),
    518: ("invalid parameter", AGAIN, DEVICE, OUR_PDU),
    519: ("invalid length or character", AGAIN, DEVICE, OUR_PDU),
    520: ("invalid character in text", AGAIN, DEVICE, OUR_PDU),
    521: ("timer expired", UNKNOWN, TIMEOUT, "The modem gave up waiting for the network; the message may have left."),
    522: ("operation temporary not allowed", AGAIN, DEVICE, NOT_ALLOWED),
    532: ("sim not ready", AGAIN, DEVICE, SIM_BUSY),
    535: ("protocol stack busy", AGAIN, DEVICE, "The modem is busy with the network."),
    538: ("invalid parameter", AGAIN, DEVICE, OUR_PDU),
}
# fmt: on

# May pass, but several recipients in a row mean: no credit, a wrong SMSC, a barred SIM.
_SUSPICIOUS: Final = frozenset(
    {
        21,
        30,
        34,
        38,
        69,
        81,
        95,
        96,
        97,
        98,
        99,
        111,
        127,
        300,
        303,
        500,
        516,
        517,
        518,
        519,
        520,
        538,
    }
)

CMS: Final[Mapping[int, Cause]] = causes(_ROWS, _SUSPICIOUS)

# The ranges that 23.040 9.2.3.22 leaves to groups; all of them are final.
CMS_GROUPS: Final[Mapping[range, Cause]] = {
    range(128, 144): CMS[143],
    range(144, 160): CMS[159],
    range(160, 176): CMS[175],
    range(176, 192): CMS[176],
    range(192, 256): CMS[255],
}
