"""Network commands: registration, signal, operator, USSD."""

from __future__ import annotations

from modem.simulator.commands import formats
from modem.simulator.commands.errors import ERROR, cme
from modem.simulator.commands.outcome import OK, CommandOutcome, Response, Wait, refuse, respond
from modem.simulator.commands.registry import Commands
from modem.simulator.commands.syntax import Command, CommandKind, number
from modem.simulator.equipment import Equipment

COMMANDS = Commands()
_WRONG = cme(50)


@COMMANDS("+CREG", "+CGREG", "+CEREG", test="(0-2)", syntax=_WRONG)
def registered(modem: Equipment, command: Command) -> CommandOutcome:
    """+CREG, +CGREG, +CEREG: return or report the registration (27.007 7.2, 10.1.20, 10.1.22)."""
    name = command.name[1:]
    if name == "CEREG" and not modem.personality.eps:
        return refuse(ERROR)
    if command.kind is CommandKind.READ:
        mode = getattr(modem.modes, name.lower())
        return respond(f"{command.name}: {mode},{modem.registration_text(name, mode)}")
    setattr(modem.modes, name.lower(), number(command.text or "0", range(3)))
    return OK


@COMMANDS("+CSQ", test="(0-31,99),(0-7,99)")
def signal(modem: Equipment, _command: Command) -> CommandOutcome:
    """+CSQ: return the signal, 99 without a network (27.007 8.5)."""
    rssi = modem.network.signal if modem.cfun == 1 and modem.attached else 99
    return respond(f"+CSQ: {rssi},{99 if rssi == 99 else 0}")


@COMMANDS("+COPS", syntax=_WRONG, test="(0-4),(0-2)")
def operator(modem: Equipment, command: Command) -> CommandOutcome:
    """+COPS: return the operator in the format chosen by +COPS=3 (27.007 7.3)."""
    modes, network = modem.modes, modem.network
    if command.kind is CommandKind.SET:
        values = [*command.arguments, "", ""]
        if number(values[0], range(5)) == 3 or values[1]:
            modes.cops_format = number(values[1], range(3))
        return OK
    if not modem.can_send:
        return respond("+COPS: 0")
    numeric = modes.cops_format == 2
    name = network.plmn if numeric else formats.charset(network.operator, modes.cscs)
    technology = modem.personality.technology
    suffix = "" if technology is None else f",{technology}"
    return respond(f'+COPS: 0,{modes.cops_format},"{name}"{suffix}')


@COMMANDS("+CGATT", test="(0,1)", syntax=_WRONG)
def attached(modem: Equipment, command: Command) -> CommandOutcome:
    """+CGATT: return whether packet service is attached."""
    if command.kind is CommandKind.READ:
        return respond(f"+CGATT: {int(modem.can_send)}")
    number(command.text, range(2))
    return OK


@COMMANDS("+CUSD", test="(0-2)", syntax=_WRONG)
def ussd(modem: Equipment, command: Command) -> CommandOutcome:
    """+CUSD: send a USSD request; the answer follows the OK (27.007 7.15)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CUSD: {modem.modes.cusd}")
    values = [*command.arguments, "", ""]
    mode = number(values[0] or "0", range(3))
    if mode < 2:
        modem.modes.cusd = mode
    if not values[1]:
        return OK
    refusal = modem.sim_refusal() or (None if modem.can_send else cme(30))
    if refusal is not None:
        return refuse(refusal)
    question = _question(values[1], modem.modes.cscs)
    reply = modem.network.ussd.answer(question)
    if reply.cme is not None:
        return refuse(cme(reply.cme))

    def answer() -> None:
        if modem.modes.cusd or not reply.only_if_asked:
            modem.send_urc(reply.line(modem.modes.cscs))

    if reply.before_ok:
        return Wait(reply.after, lambda: Response(middle=answer))
    return Response(after=lambda: modem.timers.after(reply.after, answer))


def _question(text: str, cscs: str) -> str:
    """Return the USSD request as text; with +CSCS="UCS2" it arrives in hex."""
    if cscs != "UCS2":
        return text
    try:
        return bytes.fromhex(text).decode("utf-16-be")
    except (ValueError, UnicodeDecodeError):
        return ""
