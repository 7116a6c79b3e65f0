"""CME and CMS errors, with the words of +CMEE=2 (27.007 9.2, 27.005 3.2.5)."""

from __future__ import annotations

from typing import Literal

import msgspec


class AtError(msgspec.Struct, frozen=True):
    """A final result code other than OK. `kind` "" is the plain ERROR."""

    kind: Literal["", "CME", "CMS"] = ""
    number: int = 0

    def result_line(self, cmee: int) -> str:
        """Return the final result line for this value of +CMEE."""
        if not self.kind or cmee == 0:
            return "ERROR"
        words = (CME if self.kind == "CME" else CMS).get(self.number, "unknown error")
        return f"+{self.kind} ERROR: {words if cmee == 2 else self.number}"


ERROR = AtError()


def cme(number: int) -> AtError:
    """Return a +CME ERROR."""
    return AtError("CME", number)


def cms(number: int) -> AtError:
    """Return a +CMS ERROR."""
    return AtError("CMS", number)


CME = {
    0: "phone failure",
    3: "operation not allowed",
    4: "operation not supported",
    10: "SIM not inserted",
    11: "SIM PIN required",
    12: "SIM PUK required",
    13: "SIM failure",
    14: "SIM busy",
    15: "SIM wrong",
    16: "incorrect password",
    17: "SIM PIN2 required",
    18: "SIM PUK2 required",
    20: "memory full",
    21: "invalid index",
    22: "not found",
    30: "no network service",
    31: "network timeout",
    32: "network not allowed - emergency calls only",
    50: "incorrect parameters",
    100: "unknown",
    103: "illegal MS",
    106: "illegal ME",
    112: "location area not allowed",
    113: "roaming not allowed in this location area",
}

CMS = {
    1: "unassigned (unallocated) number",
    8: "operator determined barring",
    10: "call barred",
    17: "network failure",
    21: "short message transfer rejected",
    22: "memory capacity exceeded",
    27: "destination out of order",
    28: "unidentified subscriber",
    29: "facility rejected",
    30: "unknown subscriber",
    38: "network out of order",
    41: "temporary failure",
    42: "congestion",
    47: "resources unavailable, unspecified",
    50: "requested facility not subscribed",
    69: "requested facility not implemented",
    111: "protocol error, unspecified",
    127: "interworking, unspecified",
    192: "SC busy",
    194: "SC system failure",
    195: "invalid SME address",
    196: "destination SME barred",
    197: "SM rejected-duplicate SM",
    300: "ME failure",
    301: "SMS service of ME reserved",
    302: "operation not allowed",
    303: "operation not supported",
    304: "invalid PDU mode parameter",
    305: "invalid text mode parameter",
    310: "SIM not inserted",
    311: "SIM PIN required",
    312: "PH-SIM PIN required",
    313: "SIM failure",
    314: "SIM busy",
    315: "SIM wrong",
    316: "SIM PUK required",
    320: "memory failure",
    321: "invalid memory index",
    322: "memory full",
    330: "SMSC address unknown",
    331: "no network service",
    332: "network timeout",
    340: "no +CNMA acknowledgement expected",
    500: "unknown error",
    515: "please wait, initialisation in progress",
}
