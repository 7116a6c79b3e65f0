"""The settings of a modem for messages, set and read back; and its identity."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from modem.at import responses
from modem.at.errors import CommandError, NoResponse, ResyncFailed
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
_OPTIONAL_COMMANDS = (
    "AT+COPS=3,0",  # operators by name
    "AT+CREG=1",  # report changes of the registration
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


class StorageChoice(msgspec.Struct, frozen=True):
    """The storages of a modem: the receiving one, all that can be read, and whether there are places."""

    receives: str
    readable: tuple[str, ...]
    has_places: bool


async def choose_storage(session: AtSession) -> StorageChoice:
    """Select the storages as soon as the message service is ready."""
    until = time.monotonic() + session.timing.store_seconds
    while True:
        try:
            await session.command("AT+CMGF=0")  # PDU mode
            offered = await _offered(session, must_list=time.monotonic() < until)
            chosen = [_choose(group) for group in offered] or [_PREFERRED[0]]
            chosen, has_places = await _with_places(session, offered, chosen)
        except CommandError as refused:
            # CMS 310, 314, a bare ERROR: the SIM is known and its messages are not, for up to 20 s.
            if time.monotonic() >= until:
                raise Halted(
                    ModemState.SIM_FAILURE, f"no message store: {refused.line}", temporary=True
                ) from refused
            await asyncio.sleep(session.timing.sim_poll_seconds)
        else:
            return StorageChoice(chosen[-1], offered[0] if offered else (chosen[0],), has_places)


async def _offered(session: AtSession, *, must_list: bool) -> tuple[tuple[str, ...], ...]:
    """Return the storages that the modem offers, or those selected where it does not know the question.

    Raises CommandError, and `must_list`s on the question while the modem may still be starting.
    """
    try:
        return responses.stores_offered(await session.slow("AT+CPMS=?"))
    except ResyncFailed:
        raise
    except CommandError:
        if must_list:
            raise
    except NoResponse:
        session.log.info("storages_unknown")
    found = responses.stores(await session.slow("AT+CPMS?"))
    return tuple((usage.name,) for usage in found if usage.name)


async def _with_places(
    session: AtSession, offered: Sequence[Sequence[str]], chosen: list[str]
) -> tuple[list[str], bool]:
    """Select the storages, others if those have no places (some SIMs have none).

    Return the selected ones, and whether they have places.
    """

    async def select(names: Sequence[str]) -> tuple[str, ...]:
        return await session.slow("AT+CPMS=" + ",".join(f'"{name}"' for name in names))

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
                session.log.warning("storage_without_places", storage=chosen[-1], instead=name)
                return other, True
        except CommandError as refused:
            session.log.info("storage_refused", storage=name, reason=refused.line)
    session.log.error("storage_without_places", storage=chosen[-1], instead="")
    await places(chosen)
    return chosen, False


def _choose(group: Sequence[str]) -> str:
    return next((name for name in _PREFERRED if name in group), group[0] if group else "SM")


async def configure(
    session: AtSession, *, stored_reports: bool = False, required: bool = False
) -> ModemConfiguration:
    """Configure sending and receiving, and read the settings back. Raises Halted if they do not hold.

    Reports are stored only if they can be read again: if there is a report storage, or `required`.
    """
    storage = await choose_storage(session)
    stored_reports = stored_reports and (required or REPORTS in storage.readable)
    await session.optional("AT+CSMS=0")
    service = responses.fields(
        responses.value(await session.optional("AT+CSMS?") or (), "+CSMS") or "0"
    )
    found = await _indications(session, stored=stored_reports, direct=not storage.has_places)
    await _route_urcs(session)
    for command_line in _OPTIONAL_COMMANDS:
        await session.optional(command_line)
    if (mode := responses.value(await session.command("AT+CMGF?"), "+CMGF")) != "0":
        raise Halted(
            ModemState.REFUSING,
            f"the modem does not stay in PDU mode (+CMGF: {mode})",
            temporary=True,
        )
    return ModemConfiguration(
        storage.receives,
        storage.readable,
        _REPORT_MODES[found[3]],
        acknowledges=service[0] == "1",
        has_places=storage.has_places,
        direct_messages=found[1] == _DIRECT,
    )


async def _route_urcs(session: AtSession) -> None:
    """Route the unsolicited result codes of a Quectel module to our port."""
    lines = await session.optional('AT+QURCCFG="urcport"') or ()
    if wanted := responses.urc_port(lines, str(Path(session.port.port).resolve())):
        session.log.info("urc_port_changed", now=wanted)
        await session.optional(f'AT+QURCCFG="urcport","{wanted}"')


async def urc_route_commands(session: AtSession) -> tuple[str, ...]:
    """Return the commands that may send unsolicited result codes to our port, on Huawei and Quectel modules."""
    routes: list[str] = []
    huawei = responses.value(await session.optional("AT^PORTSEL?") or (), "^PORTSEL")
    if huawei is not None or "huawei" in (await session.word("manufacturer")).lower():
        routes += [f"AT^PORTSEL={n}" for n in (0, 1) if str(n) != (huawei or "").strip()]
    quectel = responses.fields(
        responses.value(await session.optional('AT+QURCCFG="urcport"') or (), "+QURCCFG") or ""
    )
    if len(quectel) > 1:
        current = quectel[1].strip('"')
        ports = (port for port in ("usbat", "usbmodem", "uart1") if port != current)
        routes += [f'AT+QURCCFG="urcport","{port}"' for port in ports]
    return tuple(routes)


async def _indications(session: AtSession, *, stored: bool, direct: bool) -> tuple[int, ...]:
    """Set +CNMI, with `direct` messages where there is no place to store them; return the values set."""
    try:
        offered = responses.indications_offered(await _once_started(session, "AT+CNMI=?") or ())
    except ResyncFailed:
        raise
    except NoResponse:
        offered = ()  # the settings themselves are read back
    found: tuple[int, ...] = ()
    for wanted in responses.choose_indications(offered, stored=stored, direct=direct):
        command = "AT+CNMI=" + ",".join(map(str, wanted))
        # Try twice: an altered command is refused too, and the second choice may be to have no reports.
        if (
            await _once_started(session, command) is None
            and await session.try_command(command) is None
        ):
            continue
        found = responses.indications(await session.command("AT+CNMI?"))
        if found[:4] == wanted[:4]:
            return found
    raise Halted(
        ModemState.REFUSING,
        f"the modem does not keep its settings (+CNMI: {found})",
        temporary=True,
    )


async def _once_started(session: AtSession, command: str) -> tuple[str, ...] | None:
    """Return the answer, or None if refused. Waits while the modem is busy. Raises Halted."""
    until = time.monotonic() + session.timing.store_seconds
    while True:
        try:
            return await session.command(command)
        except CommandError as refused:
            fault = lookup.words(refused.line)
            if fault is None or fault.number not in _STARTING:
                session.log.debug("command_refused", reason=str(refused))
                return None
            if time.monotonic() >= until:
                raise Halted(ModemState.SIM_FAILURE, str(refused), temporary=True) from refused
        await asyncio.sleep(session.timing.sim_poll_seconds)


async def is_kept(session: AtSession, settings: ModemConfiguration) -> bool:
    """Return whether the modem still has the settings; after a restart it has not."""
    mode = responses.value(await session.try_command("AT+CMGF?") or (), "+CMGF")
    found = responses.indications(await session.try_command("AT+CNMI?") or ())
    reports = _REPORT_MODES.get(found[3]) if len(found) > 3 else None
    messages = _DIRECT if settings.direct_messages else _STORED
    return mode == "0" and found[1:2] == (messages,) and reports == settings.report_mode


async def imei(session: AtSession) -> str:
    """Return the modem's serial number; needs no SIM."""
    return await session.twice(partial(_imei, session))


async def _imei(session: AtSession) -> str:
    return responses.imei([await session.word("imei")])


async def _imsi(session: AtSession) -> str:
    return responses.imsi([await session.word("imsi")])


async def imsi(session: AtSession) -> str:
    """Return the subscriber's identity on the SIM."""
    return await session.twice(partial(_imsi, session))


async def identity(session: AtSession) -> Identity:
    """Return the identity of modem and SIM."""
    return Identity(
        imei=await imei(session),
        manufacturer=_plain(await session.word("manufacturer"), "+CGMI"),
        model=_plain(await session.word("model"), "+CGMM"),
        revision=_plain(await session.word("revision"), "+CGMR").removeprefix("Revision:").strip(),
        imsi=await imsi(session),
        iccid=await sim.iccid(session),
        smsc=await smsc(session),
        phone_number=responses.own_number(await session.optional("AT+CNUM") or ()),
    )


def _plain(word: str, name: str) -> str:
    """Return `word` without its name and quotes."""
    return (responses.value([word], name) or word).strip(' "')


async def smsc(session: AtSession) -> str:
    """Return the service centre's number, "" if the SIM has none (CMS 330)."""
    return responses.smsc(await session.try_command("AT+CSCA?") or ())


def with_smsc(known: Identity, found: str) -> Identity:
    """Return `known` with the service centre's number."""
    return msgspec.structs.replace(known, smsc=found)


def with_imei(known: Identity, found: str) -> Identity:
    """Return `known` with the modem's serial number."""
    return msgspec.structs.replace(known, imei=found)


async def registration(session: AtSession) -> responses.NetworkRegistration:
    """Return whether the network lets this SIM send, by any of the three registrations."""
    stats = []
    for name in ("+CREG", "+CEREG", "+CGREG"):
        command = session.try_command if name == "+CREG" else session.optional
        lines = await command(f"AT{name}?")
        stats.append(responses.registration(lines or (), name))
        if (found := responses.combined_registration(*stats)).can_send:
            return found
    return responses.combined_registration(*stats)
