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
    again,
    housekeep,
    never,
    owner,
    suspicious,
    unknown,
)
from modem.interface import Verdict

_CONGESTION: Final = "The network is overloaded."
_PROTOCOL: Final = "The network could not make sense of the request; the SMSC number may be wrong."
_PID_REFUSED: Final = "The service centre does not accept this kind of message."
_DCS_REFUSED: Final = "The service centre does not accept this alphabet or message class."
_COMMAND_REFUSED: Final = "The service centre does not accept this command."
_VALIDITY_REFUSED: Final = "The service centre does not accept a validity period; send without one."
_CARD_STORE: Final = "The SIM has no room left for messages."

CMS: Final[Mapping[int, Cause]] = {
    1: never(
        "INVALID_NUMBER",
        "unassigned (unallocated) number",
        "This number is not assigned.",
    ),
    8: owner("NETWORK_ERROR", "operator determined barring", SMS_BARRED),
    10: owner("NETWORK_ERROR", "call barred", SMS_BARRED),
    17: again(
        "NETWORK_ERROR",
        "network failure",
        "The network failed for the moment.",
    ),
    21: suspicious(
        "NETWORK_ERROR",
        "short message transfer rejected",
        "The network rejected the message; a SIM without credit is often told so.",
    ),
    # 24.011 names it "memory capacity exceeded" for reports; modems word it "congestion".
    22: again("NETWORK_ERROR", "congestion", _CONGESTION),
    23: housekeep("memory failure", MEMORY),
    27: again(
        "NETWORK_ERROR",
        "destination out of service",
        "The destination is out of service for the moment.",
    ),
    28: owner("NETWORK_ERROR", "unidentified subscriber", REFUSED_SIM),
    29: owner(
        "NETWORK_ERROR",
        "facility rejected",
        "The network refuses SMS from this SIM; ask the operator.",
    ),
    30: suspicious(
        "NETWORK_ERROR",
        "unknown subscriber",
        "The network does not know the subscriber: the recipient, or this SIM.",
    ),
    34: suspicious(
        "NETWORK_ERROR",
        "no circuit/channel available",
        "The network gave no channel; some operators answer so to a SIM without credit.",
    ),
    38: suspicious(
        "NETWORK_ERROR",
        "network out of order",
        "The network is out of order, or the SIM has no credit, or the SMSC is wrong.",
    ),
    41: again(
        "NETWORK_ERROR",
        "temporary failure",
        "The network had a passing fault.",
    ),
    42: again("NETWORK_ERROR", "congestion", _CONGESTION),
    47: again(
        "NETWORK_ERROR",
        "resources unavailable, unspecified",
        "The network has no resources for the moment.",
    ),
    50: owner("NETWORK_ERROR", "requested facility not subscribed", NO_SMS_SERVICE),
    69: suspicious(
        "NETWORK_ERROR",
        "requested facility not implemented",
        "The network does not offer SMS this way; the SMSC number may be wrong.",
    ),
    81: suspicious("NETWORK_ERROR", "invalid short message transfer reference value", _PROTOCOL),
    95: suspicious("NETWORK_ERROR", "invalid message, unspecified", _PROTOCOL),
    96: suspicious("NETWORK_ERROR", "invalid mandatory information", _PROTOCOL),
    97: suspicious("NETWORK_ERROR", "message type non-existent or not implemented", _PROTOCOL),
    98: suspicious(
        "NETWORK_ERROR", "message not compatible with short message protocol state", _PROTOCOL
    ),
    99: suspicious(
        "NETWORK_ERROR", "information element non-existent or not implemented", _PROTOCOL
    ),
    111: suspicious("NETWORK_ERROR", "protocol error, unspecified", _PROTOCOL),
    127: suspicious(
        "NETWORK_ERROR",
        "interworking, unspecified",
        "The message could not be handed on between networks, and no reason was given.",
    ),
    128: never("NETWORK_ERROR", "telematic interworking not supported", _PID_REFUSED),
    129: never("NETWORK_ERROR", "short message type 0 not supported", _PID_REFUSED),
    130: never(
        "NETWORK_ERROR",
        "cannot replace short message",
        "The service centre could not replace the earlier message.",
    ),
    143: never("NETWORK_ERROR", "unspecified tp-pid error", _PID_REFUSED),
    144: never("NETWORK_ERROR", "data coding scheme (alphabet) not supported", _DCS_REFUSED),
    145: never("NETWORK_ERROR", "message class not supported", _DCS_REFUSED),
    159: never("NETWORK_ERROR", "unspecified tp-dcs error", _DCS_REFUSED),
    160: never("NETWORK_ERROR", "command cannot be actioned", _COMMAND_REFUSED),
    161: never("NETWORK_ERROR", "command unsupported", _COMMAND_REFUSED),
    175: never("NETWORK_ERROR", "unspecified tp-command error", _COMMAND_REFUSED),
    176: never("NETWORK_ERROR", "tpdu not supported", _PID_REFUSED),
    192: again(
        "NETWORK_ERROR",
        "sc busy",
        "The service centre is busy.",
    ),
    193: owner("NETWORK_ERROR", "no sc subscription", NO_SMS_SERVICE),
    194: again(
        "NETWORK_ERROR",
        "sc system failure",
        "The service centre failed for the moment.",
    ),
    195: never(
        "INVALID_NUMBER",
        "invalid sme address",
        "The service centre does not accept this number.",
    ),
    196: never(
        "BLOCKED_NUMBER",
        "destination sme barred",
        "The operator bars messages to this number.",
    ),
    197: Cause(
        "sm rejected-duplicate sm",
        Verdict.TAKEN,
        "NETWORK_ERROR",
        "The service centre has this message already.",
    ),
    198: never("NETWORK_ERROR", "tp-vpf not supported", _VALIDITY_REFUSED),
    199: never("NETWORK_ERROR", "tp-vp not supported", _VALIDITY_REFUSED),
    208: never("DEVICE_ERROR", "(u)sim sms storage full", _CARD_STORE),
    209: never("DEVICE_ERROR", "no sms storage capability in (u)sim", _CARD_STORE),
    210: never(
        "DEVICE_ERROR",
        "error in ms",
        "The modem reports an error of its own.",
    ),
    211: never("DEVICE_ERROR", "memory capacity exceeded", _CARD_STORE),
    212: never(
        "DEVICE_ERROR",
        "(u)sim application toolkit busy",
        "The SIM's own applications are busy.",
    ),
    213: never(
        "DEVICE_ERROR",
        "(u)sim data download error",
        "The SIM could not take the data.",
    ),
    255: never(
        "NETWORK_ERROR",
        "unspecified error cause",
        "The service centre refused the message without a reason.",
    ),
    300: suspicious(
        "DEVICE_ERROR",
        "me failure",
        "The modem failed; if it goes on, restart it and look at the SMSC number.",
    ),
    301: again(
        "DEVICE_ERROR",
        "sms service of me reserved",
        "Another program is using the modem's SMS service.",
    ),
    302: again("DEVICE_ERROR", "operation not allowed", NOT_ALLOWED),
    303: suspicious("DEVICE_ERROR", "operation not supported", NOT_SUPPORTED),
    304: never("DEVICE_ERROR", "invalid pdu mode parameter", OUR_PDU),
    305: never("DEVICE_ERROR", "invalid text mode parameter", OUR_PDU),
    310: owner("DEVICE_ERROR", "sim not inserted", SIM_MISSING),
    311: owner("DEVICE_ERROR", "sim pin required", SIM_PIN),
    312: owner("DEVICE_ERROR", "ph-sim pin required", MODEM_LOCKED),
    313: owner("DEVICE_ERROR", "sim failure", SIM_FAILURE),
    314: again("DEVICE_ERROR", "sim busy", SIM_BUSY),
    315: owner("DEVICE_ERROR", "sim wrong", SIM_WRONG),
    316: owner("DEVICE_ERROR", "sim puk required", SIM_PUK),
    317: owner("DEVICE_ERROR", "sim pin2 required", SIM_PIN2),
    318: owner("DEVICE_ERROR", "sim puk2 required", SIM_PUK2),
    320: housekeep("memory failure", MEMORY),
    321: housekeep(
        "invalid memory index",
        "There is no message at that place of the modem's store.",
    ),
    322: housekeep("memory full", MEMORY_FULL),
    330: owner(
        "DEVICE_ERROR",
        "smsc address unknown",
        "The SIM has no service centre number; enter the operator's SMSC.",
    ),
    331: again("NETWORK_ERROR", "no network service", NO_SERVICE),
    332: unknown(
        "network timeout",
        "The network did not answer; the message may have left.",
    ),
    340: again(
        "DEVICE_ERROR",
        "no +cnma acknowledgement expected",
        "The modem did not expect an acknowledgement.",
    ),
    500: suspicious(
        "NETWORK_ERROR",
        "unknown error",
        "The message was refused without a reason; no credit and a wrong SMSC are common ones.",
    ),
    # From 512 on each maker counts for itself: these are SIMCom's. Where others mean something
    # else by a number, "again" loses nothing but a few tries.
    512: again(
        "DEVICE_ERROR",
        "user abort",
        "The modem broke off.",
    ),
    513: housekeep("unable to store", MEMORY),
    515: again(
        "DEVICE_ERROR",
        "invalid character in address string",
        "The modem was not ready for this.",
    ),
    516: suspicious("DEVICE_ERROR", "invalid length", OUR_PDU),
    517: suspicious("DEVICE_ERROR", "invalid character in pdu", OUR_PDU),
    518: suspicious("DEVICE_ERROR", "invalid parameter", OUR_PDU),
    519: suspicious("DEVICE_ERROR", "invalid length or character", OUR_PDU),
    520: suspicious("DEVICE_ERROR", "invalid character in text", OUR_PDU),
    521: unknown(
        "timer expired",
        "The modem gave up waiting for the network; the message may have left.",
    ),
    522: again("DEVICE_ERROR", "operation temporary not allowed", NOT_ALLOWED),
    532: again("DEVICE_ERROR", "sim not ready", SIM_BUSY),
    535: again(
        "DEVICE_ERROR",
        "protocol stack busy",
        "The modem is busy with the network.",
    ),
    538: suspicious("DEVICE_ERROR", "invalid parameter", OUR_PDU),
}

# The ranges that 23.040 9.2.3.22 leaves to groups; all of them are final.
CMS_GROUPS: Final[Mapping[range, Cause]] = {
    range(128, 144): CMS[143],
    range(144, 160): CMS[159],
    range(160, 176): CMS[175],
    range(176, 192): CMS[176],
    range(192, 256): CMS[255],
}
