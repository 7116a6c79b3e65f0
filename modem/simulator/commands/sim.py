"""SIM commands: PIN and PUK, identity, own number."""

from __future__ import annotations

from modem.simulator.commands.errors import ERROR, AtError, cme
from modem.simulator.commands.formats import charset
from modem.simulator.commands.outcome import OK, CommandOutcome, Response, refuse, respond
from modem.simulator.commands.registry import Commands
from modem.simulator.commands.syntax import Command, CommandKind, number
from modem.simulator.equipment import Equipment
from modem.simulator.sim_card import PinState, SimCard

COMMANDS = Commands()
_WRONG = cme(50)


@COMMANDS("+CPIN", test="", syntax=_WRONG)
def pin(modem: Equipment, command: Command) -> CommandOutcome:
    """+CPIN: return what the SIM asks for, or enter PIN or PUK (27.007 8.3)."""
    if not modem.sim_read:
        return refuse(cme(13 if modem.personality.sim_fails_first else 14))
    if modem.card is None:
        return refuse(cme(10))
    if command.kind is CommandKind.READ:
        if modem.card.state is PinState.BLOCKED:
            return refuse(cme(13))
        return respond(f"+CPIN: {modem.card.state}")
    if command.kind is not CommandKind.SET:
        return refuse(ERROR)
    return _enter(modem, modem.card, command.arguments)


def _enter(modem: Equipment, card: SimCard, values: list[str]) -> CommandOutcome:
    state = card.state
    if state is PinState.READY:
        return refuse(cme(3))
    if len(values) == 1:
        refusal = card.verify(values[0])
    elif len(values) == 2 and state is not PinState.PIN:
        refusal = card.unblock(values[0], values[1])
    else:
        return refuse(_WRONG)
    _record(modem, card, refusal, "PIN" if len(values) == 1 else "PUK")
    if refusal is not None:
        return refuse(refusal)

    def opened() -> None:
        if modem.personality.sim_line:
            modem.send_urc("+CPIN: READY")
        modem.sim_opened()

    return Response(after=opened)


def _record(modem: Equipment, card: SimCard, refusal: AtError | None, what: str) -> None:
    modem.journal.write(
        "pin",
        what=what,
        iccid=card.iccid,
        right=refusal is None,
        pin_left=card.pin_left,
        puk_left=card.puk_left,
    )


@COMMANDS("+CPINR", test="")
def tries_left(modem: Equipment, _command: Command) -> CommandOutcome:
    """+CPINR: return the attempts left (27.007 8.65)."""
    if modem.personality.tries != "+CPINR" or modem.card is None:
        return refuse(ERROR)
    card = modem.card
    return respond(
        f"+CPINR: SIM PIN,{card.pin_left},{card.pin_most}",
        f"+CPINR: SIM PUK,{card.puk_left},{card.puk_most}",
    )


@COMMANDS("+SPIC", test="")
def tries_left_simcom(modem: Equipment, _command: Command) -> CommandOutcome:
    """+SPIC: return the attempts left for PIN, PUK, PIN2 and PUK2 (SIMCom)."""
    if modem.personality.tries != "+SPIC" or modem.card is None:
        return refuse(ERROR)
    return respond(f"+SPIC: {modem.card.pin_left},{modem.card.puk_left},3,10")


@COMMANDS("+QPINC", test='("SC","P2")')
def tries_left_quectel(modem: Equipment, command: Command) -> CommandOutcome:
    """+QPINC: return the attempts left for PIN and PUK (Quectel)."""
    if modem.personality.tries != "+QPINC" or modem.card is None:
        return refuse(ERROR)
    main = f'+QPINC: "SC",{modem.card.pin_left},{modem.card.puk_left}'
    if command.kind is CommandKind.SET:
        return respond(main if command.arguments[0] == "SC" else '+QPINC: "P2",3,10')
    return respond(main, '+QPINC: "P2",3,10')


@COMMANDS("+CLCK", test='("SC")', syntax=_WRONG)
def lock(modem: Equipment, command: Command) -> CommandOutcome:
    """+CLCK: return or set whether the SIM asks for its PIN at power-up (27.007 7.4)."""
    values = [*command.arguments, "", ""]
    card = modem.card
    if card is None:
        return refuse(cme(10))
    if values[0] != "SC":
        return refuse(cme(4))
    mode = number(values[1], range(3))
    if mode == 2:
        return respond(f"+CLCK: {int(card.locked)}")
    refusal = card.verify(values[2])
    _record(modem, card, refusal, "PIN")
    if refusal is not None:
        return refuse(refusal)
    card.locked = bool(mode)
    return OK


@COMMANDS("+CPWD", test='("SC",8)', needs="sim")
def password(modem: Equipment, command: Command) -> CommandOutcome:
    """+CPWD: change the PIN (27.007 7.5)."""
    values = command.arguments
    card = modem.card
    if card is None or len(values) != 3 or values[0] != "SC":
        return refuse(_WRONG)
    refusal = card.verify(values[1])
    _record(modem, card, refusal, "PIN")
    if refusal is not None:
        return refuse(refusal)
    card.pin = values[2]
    return OK


@COMMANDS("+CIMI", test="", needs="sim")
def imsi(modem: Equipment, command: Command) -> CommandOutcome:
    """Return the IMSI (27.007 5.6)."""
    assert modem.card is not None  # needs="sim"
    return respond(
        f"{command.name}: {modem.card.imsi}" if modem.personality.labelled else modem.card.imsi
    )


@COMMANDS("+CCID", "+ICCID", "+QCCID", "+CICCID", "^ICCID", test="")
def iccid(modem: Equipment, command: Command) -> CommandOutcome:
    """Return the ICCID, readable without the PIN. The command's name differs between modules."""
    form = modem.personality.iccid
    name = form.partition(":")[0] if form.startswith(("+", "^")) else "+CCID"
    if command.name != name or not form:
        return refuse(ERROR)
    if not modem.sim_read or modem.card is None:
        return refuse(cme(10))
    return respond(form.format(iccid=modem.card.iccid))


@COMMANDS("+CNUM", test="", needs="sim")
def own_number(modem: Equipment, _command: Command) -> CommandOutcome:
    """+CNUM: return the number stored on the SIM; many SIMs have none (27.007 7.1)."""
    assert modem.card is not None  # needs="sim"
    if not modem.card.number:
        return OK
    return respond(f'+CNUM: "{charset("", modem.modes.cscs)}","{modem.card.number}",145')
