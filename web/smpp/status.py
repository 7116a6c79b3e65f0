"""The command_status of SMPP 3.4 (5.1.3), and which of them answers which error of the box."""

from __future__ import annotations

from enum import IntEnum

from appliance.domain.errors import Code


class CommandStatus(IntEnum):
    """The values that the box answers, with the names of the specification."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RCANCELFAIL = 0x11
    ESME_RMSGQFUL = 0x14
    ESME_RINVESMCLASS = 0x43
    ESME_RSUBMITFAIL = 0x45
    ESME_RTHROTTLED = 0x58
    ESME_RINVSCHED = 0x61
    ESME_RINVEXPIRY = 0x62
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RINVOPTPARSTREAM = 0xC0
    ESME_RINVPARLEN = 0xC2
    ESME_RINVOPTPARAMVAL = 0xC4


# docs/smpp.md has this table for people (tests/web/smpp/test_status.py). Engines submit again after ESME_RTHROTTLED,
# ESME_RMSGQFUL, ESME_RSYSERR and ESME_RX_T_APPN; what passes by itself is answered by these.
STATUS_OF: dict[Code, CommandStatus] = {
    "INVALID_PHONE_NUMBER": CommandStatus.ESME_RINVDSTADR,
    "BLOCKED_NUMBER": CommandStatus.ESME_RSUBMITFAIL,
    "KEY_NOT_ALLOWED": CommandStatus.ESME_RSUBMITFAIL,
    "INVALID_REQUEST": CommandStatus.ESME_RSUBMITFAIL,
    "INVALID_API_KEY": CommandStatus.ESME_RSUBMITFAIL,
    "INVALID_DEVICE_ID": CommandStatus.ESME_RSUBMITFAIL,
    "MESSAGE_TOO_LONG": CommandStatus.ESME_RINVMSGLEN,
    "INVALID_SCHEDULED_DATE": CommandStatus.ESME_RINVSCHED,
    "RATE_LIMIT_EXCEEDED": CommandStatus.ESME_RTHROTTLED,
    "QUOTA_EXCEEDED": CommandStatus.ESME_RTHROTTLED,
    "QUEUE_FULL": CommandStatus.ESME_RMSGQFUL,
    "STORAGE_FULL": CommandStatus.ESME_RSYSERR,
    "INTERNAL_ERROR": CommandStatus.ESME_RSYSERR,
    "DEVICE_OFFLINE": CommandStatus.ESME_RX_T_APPN,
    "NO_DEVICE_AVAILABLE": CommandStatus.ESME_RX_T_APPN,
    "MESSAGE_NOT_FOUND": CommandStatus.ESME_RINVMSGID,
    "CANNOT_CANCEL_MESSAGE": CommandStatus.ESME_RCANCELFAIL,
}


def status_of(code: Code) -> CommandStatus:
    """Return what answers an error of the box."""
    return STATUS_OF.get(code, CommandStatus.ESME_RSUBMITFAIL)
