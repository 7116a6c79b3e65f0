"""The settings of a modem for messages, set and read back; and its identity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from modem.at import responses
from modem.at.errors import CommandError, NoResponse, OutOfStep
from modem.at.session import AtSession
from modem.driver import sim
from modem.driver.sim import Halted
from modem.driver.stored_reports import REPORTS
from modem.error_codes import lookup
from modem.interface import Identity, ModemState

# What is stored on a SIM belongs to that SIM. The modem's own storage is larger, but everything is read
# and deleted at once, so size hardly matters.
_PREFERRED = ("SM", "ME", "MT")
_STARTING = (
    14,
    310,
    314,
    515,
)  # CME and CMS errors of a SIM or message storage that is not ready yet
_STORED, _DIRECT = 1, 2  # <mt> of +CNMI (27.005 3.4.1): +CMTI or +CMT
_STORAGES = 3  # mem1, mem2 and mem3 of +CPMS (27.005 3.2.2); a Huawei E3372-325 takes no fewer
_REPORT_MODES = {0: "none", 1: "direct", 2: "stored"}

# Optional settings, skipped if the modem does not know them.
_WISHES = (
    "AT+COPS=3,0",  # operators by name
    "AT+CREG=1",  # say so when the registration changes
    "AT+CEREG=1",
    "AT+CTZU=1",  # set the clock by the network
    "AT+CTZR=1",
    "AT+CLTS=1",  # the same on SIM800
    "AT+CBATCHK=1",  # SIM800L warns of its supply only then
    "AT+CMMS=2",  # 27.005 3.5.6: keep the radio link open between the parts of a burst
)


class ModemConfiguration(msgspec.Struct, frozen=True):
    """The settings, as read back from the modem."""

    receives: str  # the storage in which messages arrive
    readable: tuple[str, ...]  # all storages that can be read
    report_mode: str  # "direct", "stored", "none"
    acknowledges: bool  # each direct report needs a +CNMA (27.005 4.7)
    has_places: bool = True  # there is a storage with places for messages
    direct_messages: bool = False  # messages come as +CMT, because there is none


class MessageStorage(msgspec.Struct, frozen=True):
    """The storages of a modem: the receiving one, all that can be read, and whether there are places."""

    receives: str
    readable: tuple[str, ...]
    has_places: bool


async def message_store(talk: AtSession) -> MessageStorage:
    """Select the storages as soon as the message service is ready."""
    until = time.monotonic() + talk.timing.store_seconds
    while True:
        try:
            await talk.ask("AT+CMGF=0")  # PDU mode
            offered = await _offered(talk, insist=time.monotonic() < until)
            chosen = [_choose(group) for group in offered] or [_PREFERRED[0]]
            chosen, has_places = await _with_places(talk, offered, chosen)
        except CommandError as refused:
            # CMS 310, 314, a bare ERROR: the SIM is known and its messages are not, for up to 20 s.
            if time.monotonic() >= until:
                raise Halted(
                    ModemState.SIM_FAILURE, f"no message store: {refused.line}", passing=True
                ) from refused
            await asyncio.sleep(talk.timing.sim_poll_seconds)
        else:
            return MessageStorage(chosen[-1], offered[0] if offered else (chosen[0],), has_places)


async def _offered(talk: AtSession, *, insist: bool) -> tuple[tuple[str, ...], ...]:
    """Return the storages that the modem offers, or those selected where it does not know the question.

    Raises CommandError, and `insist`s on the question while the modem may still be starting.
    """
    try:
        return responses.stores_offered(await talk.slow("AT+CPMS=?"))
    except OutOfStep:
        raise
    except CommandError:
        if insist:
            raise
    except NoResponse:
        talk.log.info("storages_not_told")
    found = responses.stores(await talk.slow("AT+CPMS?"))
    return tuple((usage.name,) for usage in found if usage.name)


async def _with_places(
    talk: AtSession, offered: Sequence[Sequence[str]], chosen: list[str]
) -> tuple[list[str], bool]:
    """Select the storages, others if those have no places (some SIMs have none).

    Return the selected ones, and whether they have places.
    """

    async def select(names: Sequence[str]) -> tuple[str, ...]:
        return await talk.slow("AT+CPMS=" + ",".join(f'"{name}"' for name in names))

    async def places(names: Sequence[str]) -> int | None:
        try:
            lines = await select(names)
        except CommandError:
            if len(names) >= _STORAGES:
                raise
            lines = await select([names[0]] * _STORAGES)
        found = responses.stores(lines)
        return found[-1].total if found else None

    if await places(chosen) != 0:
        return chosen, True
    for name in offered[-1] if offered else ():
        if name == chosen[-1]:
            continue
        other = [
            name if name in group else before for group, before in zip(offered, chosen, strict=True)
        ]
        try:
            if await places(other):
                talk.log.warning("storage_without_places", storage=chosen[-1], instead=name)
                return other, True
        except CommandError as refused:
            talk.log.info("storage_refused", storage=name, reason=refused.line)
    talk.log.error("storage_without_places", storage=chosen[-1], instead="")
    await places(chosen)
    return chosen, False


def _choose(group: Sequence[str]) -> str:
    return next((name for name in _PREFERRED if name in group), group[0] if group else "SM")


async def make(
    talk: AtSession, *, stored_reports: bool = False, anyhow: bool = False
) -> ModemConfiguration:
    """Configure sending and receiving, and read the settings back. Raises Halted if they do not hold.

    Reports are stored only if they can be read again: if there is a report storage, or `anyhow`.
    """
    storage = await message_store(talk)
    stored_reports = stored_reports and (anyhow or REPORTS in storage.readable)
    await talk.optional("AT+CSMS=0")
    service = responses.fields(
        responses.value(await talk.optional("AT+CSMS?") or (), "+CSMS") or "0"
    )
    found = await _indications(talk, stored=stored_reports, direct=not storage.has_places)
    await _hear_everything(talk)
    for wish in _WISHES:
        await talk.optional(wish)
    if (mode := responses.value(await talk.ask("AT+CMGF?"), "+CMGF")) != "0":
        raise Halted(
            ModemState.REFUSING,
            f"the modem does not stay in PDU mode (+CMGF: {mode})",
            passing=True,
        )
    return ModemConfiguration(
        storage.receives,
        storage.readable,
        _REPORT_MODES[found[3]],
        acknowledges=service[0] == "1",
        has_places=storage.has_places,
        direct_messages=found[1] == _DIRECT,
    )


async def _hear_everything(talk: AtSession) -> None:
    """Route the unsolicited result codes of a Quectel module to our port."""
    lines = await talk.optional('AT+QURCCFG="urcport"') or ()
    if wanted := responses.urc_port(lines, str(Path(talk.port.port).resolve())):
        talk.log.info("urc_port_changed", now=wanted)
        await talk.optional(f'AT+QURCCFG="urcport","{wanted}"')


async def line_routes(talk: AtSession) -> tuple[str, ...]:
    """Return the commands that may send unsolicited result codes to our port, on Huawei and Quectel modules."""
    routes: list[str] = []
    huawei = responses.value(await talk.optional("AT^PORTSEL?") or (), "^PORTSEL")
    if huawei is not None or "huawei" in (await talk.word("manufacturer")).lower():
        routes += [f"AT^PORTSEL={n}" for n in (0, 1) if str(n) != (huawei or "").strip()]
    quectel = responses.fields(
        responses.value(await talk.optional('AT+QURCCFG="urcport"') or (), "+QURCCFG") or ""
    )
    if len(quectel) > 1:
        current = quectel[1].strip('"')
        ports = (port for port in ("usbat", "usbmodem", "uart1") if port != current)
        routes += [f'AT+QURCCFG="urcport","{port}"' for port in ports]
    return tuple(routes)


async def _indications(talk: AtSession, *, stored: bool, direct: bool) -> tuple[int, ...]:
    """Set +CNMI, with `direct` messages where there is no place to store them; return the values set."""
    try:
        offered = responses.indications_offered(await _once_started(talk, "AT+CNMI=?") or ())
    except OutOfStep:
        raise
    except NoResponse:
        offered = ()  # the settings themselves are read back
    found: tuple[int, ...] = ()
    for wanted in responses.choose_indications(offered, stored=stored, direct=direct):
        command = "AT+CNMI=" + ",".join(map(str, wanted))
        # Try twice: an altered command is refused too, and the second choice may be to have no reports.
        if await _once_started(talk, command) is None and await talk.try_ask(command) is None:
            continue
        found = responses.indications(await talk.ask("AT+CNMI?"))
        if found[:4] == wanted[:4]:
            return found
    raise Halted(
        ModemState.REFUSING, f"the modem does not keep its settings (+CNMI: {found})", passing=True
    )


async def _once_started(talk: AtSession, command: str) -> tuple[str, ...] | None:
    """Return the answer, or None if refused. Waits while the modem is busy. Raises Halted."""
    until = time.monotonic() + talk.timing.store_seconds
    while True:
        try:
            return await talk.ask(command)
        except CommandError as refused:
            fault = lookup.words(refused.line)
            if fault is None or fault.number not in _STARTING:
                talk.log.debug("command_refused", reason=str(refused))
                return None
            if time.monotonic() >= until:
                raise Halted(ModemState.SIM_FAILURE, str(refused), passing=True) from refused
        await asyncio.sleep(talk.timing.sim_poll_seconds)


async def holds(talk: AtSession, settings: ModemConfiguration) -> bool:
    """Return whether the modem still has the settings; after a restart it has not."""
    mode = responses.value(await talk.try_ask("AT+CMGF?") or (), "+CMGF")
    found = responses.indications(await talk.try_ask("AT+CNMI?") or ())
    reports = _REPORT_MODES.get(found[3]) if len(found) > 3 else None
    messages = _DIRECT if settings.direct_messages else _STORED
    return mode == "0" and found[1:2] == (messages,) and reports == settings.report_mode


async def imei(talk: AtSession) -> str:
    """Return the modem's serial number; needs no SIM."""
    return await talk.twice(partial(_imei, talk))


async def _imei(talk: AtSession) -> str:
    return responses.imei([await talk.word("imei")])


async def _imsi(talk: AtSession) -> str:
    return responses.imsi([await talk.word("imsi")])


async def imsi(talk: AtSession) -> str:
    """Return the subscriber's identity on the SIM."""
    return await talk.twice(partial(_imsi, talk))


async def identity(talk: AtSession) -> Identity:
    """Return the identity of modem and SIM."""
    return Identity(
        imei=await imei(talk),
        manufacturer=_plain(await talk.word("manufacturer"), "+CGMI"),
        model=_plain(await talk.word("model"), "+CGMM"),
        revision=_plain(await talk.word("revision"), "+CGMR").removeprefix("Revision:").strip(),
        imsi=await imsi(talk),
        iccid=await sim.iccid(talk),
        smsc=await smsc(talk),
        phone_number=responses.own_number(await talk.optional("AT+CNUM") or ()),
    )


def _plain(word: str, name: str) -> str:
    """`word`, or what stands behind its name or in its quotes."""
    return (responses.value([word], name) or word).strip(' "')


async def smsc(talk: AtSession) -> str:
    """Return the service centre's number, "" if the SIM has none (CMS 330)."""
    return responses.smsc(await talk.try_ask("AT+CSCA?") or ())


def with_smsc(known: Identity, found: str) -> Identity:
    """Return `known` with the service centre's number."""
    return msgspec.structs.replace(known, smsc=found)


def with_imei(known: Identity, found: str) -> Identity:
    """Return `known` with the modem's serial number."""
    return msgspec.structs.replace(known, imei=found)


async def standing(talk: AtSession) -> responses.Standing:
    """Return whether the network lets this SIM send, by any of the three registrations."""
    stats = []
    for name in ("+CREG", "+CEREG", "+CGREG"):
        ask = talk.try_ask if name == "+CREG" else talk.optional
        lines = await ask(f"AT{name}?")
        stats.append(responses.registration(lines or (), name))
        if (found := responses.standing(*stats)).can_send:
            return found
    return responses.standing(*stats)
