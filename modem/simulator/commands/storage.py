"""Commands for stored messages (27.005 3.2.2, 3.4, 4.1, 4.2)."""

from __future__ import annotations

from modem.simulator.commands.errors import ERROR, cms
from modem.simulator.commands.formats import stamp
from modem.simulator.commands.outcome import OK, CommandOutcome, Response, refuse, respond
from modem.simulator.commands.registry import Commands
from modem.simulator.commands.syntax import Command, CommandKind, SyntaxFault, number
from modem.simulator.equipment import Equipment
from modem.simulator.sim_card import StoredMessage
from modem.sms.tpdu import Deliver, PduError, decode

COMMANDS = Commands()
_STATUS = ("REC UNREAD", "REC READ", "STO UNSENT", "STO SENT", "ALL")


def _memories(modem: Equipment) -> str:
    every = modem.personality.memories
    received = [each for each in every if each != "SR"]
    groups = (every, received, received)
    return ",".join("(" + ",".join(f'"{each}"' for each in group) + ")" for group in groups)


@COMMANDS("+CPMS", needs="sms", test=_memories, syntax=cms(302))
def preferred(modem: Equipment, command: Command) -> CommandOutcome:
    """+CPMS: choose the storages to read, write and receive into; return how full they are."""
    modes = modem.modes
    if modem.storage_lost:
        return refuse(ERROR)
    if command.kind is CommandKind.READ:
        parts = [f'"{name}",{_fill(modem, name)}' for name in modes.memories]
        return respond("+CPMS: " + ",".join(parts))
    chosen = list(modes.memories)
    values = command.arguments
    if modem.personality.three_storages and len(values) != len(chosen):
        return refuse(ERROR)
    if len(values) > len(chosen):
        raise SyntaxFault(command.text)
    for place, value in enumerate(values):
        name = {"MT": "ME"}.get(value.upper(), value.upper())
        allowed = name in modem.personality.memories and (place == 0 or name != "SR")
        if value and not allowed:
            raise SyntaxFault(value)
        chosen[place] = name or chosen[place]
    modes.memories = chosen
    return respond("+CPMS: " + ",".join(_fill(modem, name) for name in chosen))


def _fill(modem: Equipment, name: str) -> str:
    storage = modem.storage(name)
    return f"{len(storage.places)},{storage.slots}"


@COMMANDS("+CMGL", needs="sms", test="(0-4)", syntax=cms(302))
def listing(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMGL: list stored messages of one status or all; unread ones become read."""
    wanted = _wanted(modem, command)
    if not modem.personality.lists_storage:
        return refuse(cms(302))
    name = modem.modes.memories[0]
    if name == "SR" and modem.personality.reports_unreadable:
        return OK
    lines: list[str] = []
    for index, stored in sorted(modem.storage(name).places.items()):
        if wanted not in (4, stored.status):
            continue
        if modem.modes.text_mode:
            lines.append(f'+CMGL: {index},"{_STATUS[stored.status]}",{_in_words(stored)}')
        else:
            lines.append(f"+CMGL: {index},{stored.status},,{stored.length}\r\n{stored.hex}")
        if stored.status == 0:
            stored.status = 1
    return Response(tuple(lines))


def _wanted(modem: Equipment, command: Command) -> int:
    value = command.arguments[0]
    if not modem.modes.text_mode:
        return number(value or "0", range(5))
    if (value or "REC UNREAD").upper() not in _STATUS:
        raise SyntaxFault(value)
    return _STATUS.index((value or "REC UNREAD").upper())


@COMMANDS("+CMGR", needs="sms", test="", syntax=cms(302))
def read(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMGR: return one stored message."""
    name = modem.modes.memories[0]
    stored = modem.storage(name).places.get(number(command.arguments[0], range(256)))
    if stored is None or (name == "SR" and modem.personality.reports_unreadable):
        return refuse(cms(321)) if modem.personality.empty_slot_error else OK
    if modem.modes.text_mode:
        line = f'+CMGR: "{_STATUS[stored.status]}",{_in_words(stored)}'
    else:
        line = f"+CMGR: {stored.status},,{stored.length}\r\n{stored.hex}"
    if stored.status == 0:
        stored.status = 1
    return respond(line)


def _in_words(stored: StoredMessage) -> str:
    """Return a stored message in the form of text mode; other TPDUs than DELIVER in hex."""
    try:
        message = decode(stored.hex)
    except PduError:
        return f"\r\n{stored.hex}"
    if not isinstance(message, Deliver):
        return f"6,{message.reference}"
    sent = stamp(message.sent_at) if message.sent_at else ""
    return f'"{message.sender}",,"{sent}"\r\n{message.text or message.data.hex().upper()}'


@COMMANDS("+CMGD", needs="sms", test="(0-255),(0-4)", syntax=cms(302))
def delete(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMGD: delete one message, or all of a status (27.005 3.5.4)."""
    values = [*command.arguments, ""]
    index = number(values[0], range(256))
    flag = number(values[1] or "0", range(5))
    if not modem.personality.deletes:
        return refuse(cms(320))
    places = modem.storage(modem.modes.memories[0]).places
    if flag == 0:
        if index not in places:
            return refuse(cms(321)) if modem.personality.empty_slot_error else OK
        del places[index]
    else:
        # 1: read ones; 2: also sent; 3: also unsent; 4: all
        gone = {1: (1,), 2: (1, 3), 3: (1, 2, 3), 4: (0, 1, 2, 3)}[flag]
        for each in [i for i, stored in places.items() if stored.status in gone]:
            del places[each]
    modem.arrivals.room_made()
    return OK
