"""Format values for AT responses. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

LAC, CELL, TAC, EPS_CELL = "1A2B", "0C3D", "7D01", "01A2B3C4"


def registration(stat: int, mode: int, technology: int | None, *, eps: bool) -> str:
    """Return the parameters of a +CREG URC (27.007 7.2)."""
    if mode < 2 or stat not in (1, 5, 6, 7):
        return str(stat)
    place = (TAC, EPS_CELL) if eps or technology == 7 else (LAC, CELL)
    suffix = "" if technology is None else f",{technology}"
    return f'{stat},"{place[0]}","{place[1]}"{suffix}'


def stamp(moment: datetime) -> str:
    """Return a time stamp with its zone in quarters of an hour: 25/06/01,12:30:00+08."""
    quarters = round((moment.utcoffset() or timedelta()) / timedelta(minutes=15))
    return f"{moment:%y/%m/%d,%H:%M:%S}{'-' if quarters < 0 else '+'}{abs(quarters):02d}"


def zone(moment: datetime) -> str:
    """Return the zone alone: +08."""
    return stamp(moment)[-3:]


def nitz(moment: datetime) -> tuple[str, str]:
    """Return the lines by which SIMCom's GSM modules report the network's time at +CLTS=1, in UTC."""
    utc = moment.astimezone(UTC)
    date = f"{utc.year},{utc.month},{utc.day},{utc.hour},{utc.minute},{utc.second}"
    return (f'*PSUTTZ: {date},"{zone(moment)}",0', "DST: 0")


def hex16(text: str) -> str:
    """Return a text as +CSCS="UCS2" encodes it."""
    return text.encode("utf-16-be", "surrogatepass").hex().upper()


def charset(text: str, cscs: str) -> str:
    """Return a string in the character set of +CSCS (27.007 5.5)."""
    if cscs == "UCS2":
        return hex16(text)
    if cscs == "HEX":
        return text.encode("latin-1", "replace").hex().upper()
    return text
