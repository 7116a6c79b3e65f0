"""Message commands that configure and send (27.005 chapters 3 and 4)."""

from __future__ import annotations

from modem.simulator.commands.errors import ERROR, cms
from modem.simulator.commands.outcome import (
    OK,
    Ask,
    CommandOutcome,
    Response,
    Silence,
    refuse,
    respond,
)
from modem.simulator.commands.registry import Commands
from modem.simulator.commands.submit_input import LONGEST_TPDU, read_pdu, read_text, understood
from modem.simulator.commands.syntax import Command, CommandKind, SyntaxFault, number
from modem.simulator.equipment import Equipment
from modem.simulator.sim_card import StoredMessage
from modem.sms.tpdu import PduError

COMMANDS = Commands()
_WRONG = cms(302)


@COMMANDS("+CSMS", test="(0,1)", syntax=_WRONG)
def service(modem: Equipment, command: Command) -> CommandOutcome:
    """+CSMS: with 1, the client must acknowledge each +CDS and +CMT (27.005 3.2.1)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CSMS: {modem.modes.csms},1,1,1")
    modem.modes.csms = number(command.text, range(2))
    return respond("+CSMS: 1,1,1")


@COMMANDS("+CMGF", test="(0,1)", syntax=_WRONG)
def form(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMGF: choose PDU or text mode (27.005 3.2.3)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CMGF: {int(modem.modes.text_mode)}")
    modem.modes.text_mode = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("+CSCA", needs="sms", syntax=_WRONG)
def service_centre(modem: Equipment, command: Command) -> CommandOutcome:
    """+CSCA: return or set the SIM's service centre (27.005 3.3.1)."""
    assert modem.card is not None  # needs="sms"
    if command.kind is CommandKind.READ:
        if not modem.card.smsc:
            return refuse(cms(330))
        kind = 145 if modem.card.smsc.startswith("+") else 129
        return respond(f'+CSCA: "{modem.card.smsc}",{kind}')
    modem.card.smsc = command.arguments[0]
    return OK


def _cnmi_ranges(modem: Equipment) -> str:
    return ",".join(f"({','.join(map(str, each))})" for each in modem.personality.cnmi)


@COMMANDS("+CNMI", needs="sms", test=_cnmi_ranges, syntax=cms(303))
def indications(modem: Equipment, command: Command) -> CommandOutcome:
    """+CNMI: choose how arrivals are indicated; omitted values stay unchanged (27.005 3.4.1)."""
    if command.kind is CommandKind.READ:
        return respond("+CNMI: " + ",".join(map(str, modem.modes.cnmi)))
    chosen = list(modem.modes.cnmi)
    values = command.arguments
    if len(values) > len(chosen):
        raise SyntaxFault(command.text)
    for place, value in enumerate(values):
        if value:
            chosen[place] = number(value, modem.personality.cnmi[place])
    modem.modes.cnmi = chosen
    modem.arrivals.indications_changed()
    return OK


@COMMANDS("+CNMA", needs="sms", test="(0-2)", syntax=_WRONG)
def acknowledge(modem: Equipment, command: Command) -> CommandOutcome:
    """+CNMA: acknowledge a +CDS or +CMT at +CSMS=1 (27.005 4.7)."""
    values = command.arguments
    way = number(values[0] or "0", range(3))
    if not modem.arrivals.awaits_acknowledgement:
        return refuse(cms(340))
    if way and len(values) > 1:
        return Ask(lambda text: _acknowledged(modem, text is not None and way == 1))
    return _acknowledged(modem, way != 2)


def _acknowledged(modem: Equipment, good: bool) -> CommandOutcome:
    modem.arrivals.acknowledge(good=good)
    return OK


@COMMANDS("+CMMS", test="(0-2)", syntax=_WRONG)
def more_messages(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMMS: keep the radio link open for the next message (27.005 3.5.6)."""
    if not modem.personality.cmms:
        return refuse(cms(500))
    if command.kind is CommandKind.READ:
        return respond(f"+CMMS: {modem.modes.cmms}")
    modem.modes.cmms = number(command.text, range(3))
    return OK


@COMMANDS("+CSMP", test="", syntax=_WRONG)
def text_parameters(modem: Equipment, command: Command) -> CommandOutcome:
    """+CSMP: set first octet, validity, protocol and alphabet of text mode (27.005 3.3.2)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CSMP: {modem.modes.csmp}")
    modem.modes.csmp = command.text
    return OK


@COMMANDS("+CSDH", "+CSCB", "+CSAS", "+CRES", "+CGSMS", test="(0,1)")
def accepted(_modem: Equipment, command: Command) -> CommandOutcome:
    """Accept settings that have no effect in PDU mode."""
    return respond(f"{command.name}: 0") if command.kind is CommandKind.READ else OK


@COMMANDS("+CMGS", needs="sms", test="", syntax=cms(304))
def send(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMGS: send a message (27.005 4.3, 3.5.1)."""
    if command.kind is not CommandKind.SET:
        return refuse(ERROR)
    if modem.modes.text_mode:
        recipient = command.arguments[0]
        if not recipient.lstrip("+").isdigit():
            return refuse(cms(305))
        return modem.sending.ask(read_text(recipient, modem.modes.csmp))
    return modem.sending.ask(read_pdu(number(command.arguments[0], range(7, LONGEST_TPDU + 1))))


@COMMANDS("+CMGW", needs="sms", test="", syntax=cms(304))
def write(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMGW: store a message for sending (27.005 4.4)."""
    if modem.modes.text_mode:
        read = read_text(command.arguments[0], modem.modes.csmp)
    else:
        read = read_pdu(number(command.arguments[0], range(7, LONGEST_TPDU + 1)))

    def typed(text: str | None) -> CommandOutcome:
        if text is None:
            return Response() if modem.personality.escape_says else Silence()
        try:
            tpdu = read(text)
        except PduError:
            return refuse(cms(304))
        length = len(tpdu) // 2 - 1 - int(tpdu[:2], 16)
        storage = modem.storage(modem.modes.memories[1])
        index = storage.put(StoredMessage(2, tpdu, length), modem.personality.first_index)
        return refuse(cms(322)) if index is None else respond(f"+CMGW: {index}")

    return Ask(typed)


@COMMANDS("+CMSS", needs="sms", test="", syntax=cms(321))
def send_stored(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMSS: send a stored message; the response is +CMSS, not +CMGS (27.005 3.5.2)."""
    index = number(command.arguments[0], range(256))
    stored = modem.storage(modem.modes.memories[1]).places.get(index)
    if stored is None:
        return refuse(cms(321))
    try:
        submit = understood(stored.hex)
    except PduError:
        return refuse(cms(304))
    stored.status = 3
    return modem.sending.submit(submit, stored.hex, "+CMSS")
