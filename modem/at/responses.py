"""Parsing of AT responses. Pure; every function takes the lines of one response.

Modems differ in blanks, in fields left out and in fields added: nothing here raises, and what
cannot be read is None, "" or an empty tuple.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from modem.at.line_parser import with_smsc
from modem.interface import Slot

Lines = Sequence[str]

_FIELD = re.compile(r'"[^"]*"|\([^)]*\)|[^,]+|(?<=,)(?=,|$)|^(?=,)')


def value(lines: Lines, name: str) -> str | None:
    """Return what follows `+NAME:` in the first such line."""
    for line in lines:
        head, colon, rest = line.partition(":")
        if colon and head.strip().upper() == name.upper():
            return rest.strip()
    return None


def fields(text: str) -> tuple[str, ...]:
    """Return the comma-separated fields of `text`; quotes and brackets are kept and not split."""
    return tuple(field.strip() for field in _FIELD.findall(text))


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _unquoted(text: str) -> str:
    return text.strip().strip('"')


# The SIM (27.007 8.3)


def pin_state(lines: Lines) -> str:
    """Return `READY`, `SIM PIN`, `SIM PUK`, `NOT INSERTED`, …; "" for an answer without one."""
    return _unquoted(value(lines, "+CPIN") or "").upper()


def tries_left(lines: Lines) -> int | None:
    """Return the PIN attempts left from +CPINR (27.007 8.65), SIMCom's +SPIC or Quectel's +QPINC."""
    for line in lines:
        name, _, rest = line.partition(":")
        found = fields(rest)
        match name.strip().upper():
            case "+CPINR" if found and _unquoted(found[0]).upper() == "SIM PIN":
                return _number(found[1]) if len(found) > 1 else None
            case "+SPIC" if found:
                return _number(found[0])
            case "+QPINC" if len(found) > 1 and _unquoted(found[0]).upper() == "SC":
                return _number(found[1])
    return None


# The network


def registration(lines: Lines, name: str) -> int | None:
    """Return <stat> of +CREG, +CGREG or +CEREG (27.007 7.2), with or without <n>."""
    for line in reversed(lines):
        head, _, rest = line.partition(":")
        if head.strip().upper() != name:
            continue
        found = fields(rest)
        # `stat`, `n,stat…` or, unsolicited, `stat,"lac","ci"…`: locations are quoted, <stat> is not.
        if len(found) == 1 or (len(found) > 1 and found[1].startswith('"')):
            return _number(found[0])
        if len(found) > 1:
            return _number(found[1])
    return None


# Home and roaming; both for SMS only (6, 7); both on LTE where calls would not fall back (9, 10).
_SENDING = frozenset({1, 5, 6, 7, 9, 10})
_ROAMING = frozenset({5, 7, 10})
_DENIED = 3


class NetworkRegistration(msgspec.Struct, frozen=True):
    """The combined <stat> of +CREG, +CGREG and +CEREG: one that can send is enough."""

    stat: int | None = None
    can_send: bool = False
    denied: bool = False
    roaming: bool = False


def combined_registration(*stats: int | None) -> NetworkRegistration:
    """Combine the <stat> of circuits, packets and LTE. A Cat-M module is denied one of them."""
    for stat in stats:
        if stat in _SENDING:
            return NetworkRegistration(stat, can_send=True, roaming=stat in _ROAMING)
    known = [stat for stat in stats if stat is not None]
    if _DENIED in known:
        return NetworkRegistration(_DENIED, denied=True)
    return NetworkRegistration(known[0] if known else None)


def signal_dbm(lines: Lines) -> int | None:
    """Return +CSQ (27.007 8.5) in dBm; None for 99 (unknown) and values out of range."""
    found = fields(value(lines, "+CSQ") or "")
    rssi = _number(found[0]) if found else None
    return None if rssi is None or rssi > 31 else -113 + 2 * rssi


_TECHNOLOGIES = {
    0: "GSM",
    1: "GSM",
    3: "EDGE",
    7: "LTE",
    8: "LTE-M",
    9: "NB-IoT",
    11: "5G",
    12: "5G",
}


def operator(lines: Lines) -> tuple[str, str]:
    """Return name and technology from +COPS? (27.007 7.3); both "" without a network."""
    found = fields(value(lines, "+COPS") or "")
    if len(found) < 3:
        return "", ""
    access = _number(found[3]) if len(found) > 3 else None
    technology = "" if access is None else _TECHNOLOGIES.get(access, "UMTS" if access < 7 else "")
    return _unquoted(found[2]), technology


_OLDEST_YEAR, _LATEST_YEAR = 2024, 2069  # unset clocks show 1970, 1980 or 2004


def clock(lines: Lines) -> float | None:
    """Return +CCLK (27.007 8.15) as seconds since the epoch; None for a clock that is not set."""
    return stamp(_unquoted(value(lines, "+CCLK") or ""))


def stamp(text: str) -> float | None:
    """Return `yy/MM/dd,hh:mm:ss±zz` (local time, zone in quarters of an hour) as seconds since the epoch."""
    match = re.fullmatch(
        r"(\d\d(?:\d\d)?)/(\d\d?)/(\d\d?),(\d\d?):(\d\d?):(\d\d?)(?:,?([+-]\d\d?))?",
        text.replace('"', ""),
    )
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    quarters = int(match[7] or 0)
    try:
        local = datetime(year % 100 + 2000, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    if not _OLDEST_YEAR <= local.year <= _LATEST_YEAR or abs(quarters) > 56:
        return None
    return (local - timedelta(minutes=15 * quarters)).timestamp()


def network_time(line: str) -> float | None:
    """Return the time in an unsolicited `*PSUTTZ: 2025,6,1,10,20,30,"+8",1` (UTC) or `+CTZE: "+08",0,"…"`."""
    name, _, rest = line.partition(":")
    match name.strip().upper():
        case "*PSUTTZ" | "+PSUTTZ":
            parts = [_number(field) for field in fields(rest)[:6]]
            if len(parts) < 6 or None in parts:
                return None
            year, *others = (part for part in parts if part is not None)
            text = "{:02d}/{:02d}/{:02d},{:02d}:{:02d}:{:02d}".format(year % 100, *others)
            return stamp(text + "+0")
        case "+CTZE":
            found = fields(rest)
            if len(found) < 3:
                return None
            return stamp(_unquoted(found[2]) + _unquoted(found[0]))
    return None


# Message stores (27.005)


class StorageUsage(msgspec.Struct, frozen=True):
    """A storage of +CPMS: its name, used and total places."""

    name: str
    used: int
    total: int


def stores_offered(lines: Lines) -> tuple[tuple[str, ...], ...]:
    """Return from +CPMS=? the storages that mem1, mem2 and mem3 can be."""
    text = value(lines, "+CPMS") or ""
    groups = re.findall(r"\(([^()]*)\)", text)
    return tuple(tuple(re.findall(r'"([^"]+)"', group)) for group in groups)


def stores(lines: Lines) -> tuple[StorageUsage, ...]:
    """Return from +CPMS? name, used and total of mem1, mem2 and mem3; without names after a setting."""
    found = fields(value(lines, "+CPMS") or "")
    if found and found[0].startswith('"'):
        groups = [found[i : i + 3] for i in range(0, len(found) - 2, 3)]
    else:
        groups = [("", *found[i : i + 2]) for i in range(0, len(found) - 1, 2)]
    return tuple(
        StorageUsage(_unquoted(name), int(used), int(total))
        for name, used, total in groups
        if _number(used) is not None and _number(total) is not None
    )


class StoredPdu(msgspec.Struct, frozen=True):
    """A stored PDU from +CMGL or +CMGR: the announced length in octets, the PDU in hex.

    A damaged record may be no hex; it is kept as it is, so that its place can be freed.
    """

    index: int
    length: int | None
    hex: str


def listed(lines: Lines) -> tuple[StoredPdu, ...]:
    """Return the PDUs of +CMGL in PDU mode: `+CMGL: index,stat,[alpha],length`, then the PDU."""
    return tuple(
        _stored(index, found[-1] if len(found) > 2 else "", pdu)
        for head, pdu in itertools.pairwise(lines)
        if (found := fields(value([head], "+CMGL") or ""))
        and (index := _number(found[0])) is not None
        and value([pdu], "+CMGL") is None
    )


def read(lines: Lines, index: int) -> StoredPdu | None:
    """Return the PDU of +CMGR in PDU mode; None for an empty place (a bare OK)."""
    for head, pdu in itertools.pairwise(lines):
        found = fields(value([head], "+CMGR") or "")
        if found:
            return _stored(index, found[-1] if len(found) > 1 else "", pdu)
    return None


def _stored(index: int, announced: str, pdu: str) -> StoredPdu:
    length = _number(announced)
    return StoredPdu(index, length, pdu if length is None else with_smsc(pdu, length))


def slot(line: str) -> Slot | None:
    """Return the slot in `+CMTI: "SM",3` or `+CDSI: "SR",1`."""
    found = fields(line.partition(":")[2])
    index = _number(found[1]) if len(found) > 1 else None
    return None if index is None else Slot(_unquoted(found[0]).upper(), index)


Cnmi = tuple[int, int, int, int, int]


def _range(text: str) -> frozenset[int]:
    """Return the numbers of `(0-3)`, `(0,2)`, `(0-1,3)` or a bare `2`."""
    found: set[int] = set()
    for part in text.strip("() ").split(","):
        low, _, high = part.strip().partition("-")
        first, last = _number(low), _number(high or low)
        if first is not None and last is not None:
            found.update(range(first, last + 1))
    return frozenset(found)


def indications_offered(lines: Lines) -> tuple[frozenset[int], ...]:
    """Return from +CNMI=? (27.005 3.4.1) the values of <mode>, <mt>, <bm>, <ds> and <bfr>."""
    return tuple(_range(field) for field in fields(value(lines, "+CNMI") or ""))


def choose_indications(
    offered: Sequence[frozenset[int]], *, stored: bool = False, direct: bool = False
) -> tuple[Cnmi, ...]:
    """Return the settings of +CNMI to try, best first.

    Messages are stored and announced (<mt> 1). Reports come directly (<ds> 1) if possible, because stored ones
    cannot be found on some modules (EC25, SIM7600); stored ones are the second choice, and polled. With
    `stored` it is the other way round. With `direct` the messages come directly too (<mt> 2) if possible, because
    there is no place for them.
    """
    reported = (2, 1, 0) if stored else (1, 2, 0)
    preferences: tuple[tuple[int, ...], ...] = ((2, 1, 3), (1,), (0,), reported, (0, 1))
    messages = (2, 1) if direct else (1,)
    known = len(offered) == len(preferences)

    def pick(place: int, first: int | None = None) -> int:
        wanted = preferences[place] if first is None else (first, *preferences[place])
        if not known:
            return wanted[0]
        return next(
            (one for one in wanted if one in offered[place]), min(offered[place], default=0)
        )

    reports = dict.fromkeys(pick(3, first) for first in preferences[3])
    ways = dict.fromkeys(pick(1, first) for first in messages)
    return tuple((pick(0), mt, pick(2), ds, pick(4)) for mt in ways for ds in reports)


def indications(lines: Lines) -> tuple[int, ...]:
    """Return the values set, from +CNMI?."""
    numbers = (_number(field) for field in fields(value(lines, "+CNMI") or ""))
    return tuple(number for number in numbers if number is not None)


def reference(lines: Lines) -> int | None:
    """Return TP-MR from `+CMGS: 12`, `+CMGS:12` or `+CMGS: 12,"26/01/02,…"`.

    None if another line interrupted it, so that its last digits stand alone.
    """
    if any(line.isdecimal() for line in lines):
        return None
    found = fields(value(lines, "+CMGS") or "")
    number = _number(found[0]) if found else None
    return number if number is not None and number < 256 else None


def urc_port(lines: Lines, device: str) -> str:
    """Return the port to which a Quectel module should send URCs (`AT+QURCCFG="urcport"`).

    "" if that is the open port already, or if it is not known.
    """
    found = fields(value(lines, "+QURCCFG") or "")
    current = _unquoted(found[1]) if len(found) > 1 else ""
    name = device.rpartition("/")[2]
    if name.startswith(("ttyAMA", "ttyS", "serial")) and current not in ("", "uart1", "all"):
        return "uart1"
    if name.startswith(("ttyUSB", "ttyACM")) and current == "uart1":
        return "usbat"
    return ""


# Identities (27.007 5, 8)


def imei(lines: Lines) -> str:
    """Return the 15 digits (16 and 17 exist) of +CGSN."""
    return _digits(lines, 14, 17)


def iccid(lines: Lines) -> str:
    """Return the 18 to 20 digits of +CCID, +ICCID or +QCCID; a last F is padding."""
    return _digits(lines, 18, 20)


def imsi(lines: Lines) -> str:
    """Return the 14 or 15 digits of +CIMI."""
    return _digits(lines, 14, 15)


def _digits(lines: Lines, least: int, most: int) -> str:
    pattern = rf"(?<![0-9]){'[0-9]' * least}[0-9]{{0,{most - least}}}(?![0-9])"
    for line in lines:
        if found := re.search(pattern, line):
            return found[0]
    return ""


def smsc(lines: Lines) -> str:
    """Return the service centre of +CSCA? (27.005 3.3.1)."""
    found = fields(value(lines, "+CSCA") or "")
    return _unquoted(found[0]) if found else ""


def own_number(lines: Lines) -> str:
    """Return the number of +CNUM, which few SIMs know."""
    found = fields(value(lines, "+CNUM") or "")
    return _unquoted(found[1]) if len(found) > 1 else ""
