"""Commands about the line and the modem: V.250, identity, power."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modem.simulator.commands import formats
from modem.simulator.commands.errors import ERROR, cme
from modem.simulator.commands.outcome import OK, Response, Step, refuse, tell
from modem.simulator.commands.registry import Commands
from modem.simulator.commands.syntax import Command, CommandKind, number

if TYPE_CHECKING:
    from modem.simulator.equipment import Equipment

COMMANDS = Commands()
_WRONG = cme(50)


@COMMANDS("E")
def echo(modem: Equipment, command: Command) -> Step:
    """ATE: from the next command line on."""
    modem.modes.echo = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("V")
def verbose(modem: Equipment, command: Command) -> Step:
    """ATV: words or digits as final results."""
    modem.modes.verbose = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("Q")
def quiet(modem: Equipment, command: Command) -> Step:
    """ATQ: no final results at all."""
    modem.modes.quiet = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("Z", "&F")
def defaults(modem: Equipment, _command: Command) -> Step:
    """ATZ, AT&F: as after a reset, but without one."""
    modem.forget()
    return OK


@COMMANDS("&C", "&D", "&K", "&S", "X", "H", "L", "M", "S0", "S3", "S4", "S5", "S7", "+IFC", "+ICF")
def accepted(_modem: Equipment, command: Command) -> Step:
    """Nothing that matters to messages."""
    if command.kind is CommandKind.READ:
        return tell("000" if command.name.startswith("S") else f"{command.name}: 0,0")
    return OK


@COMMANDS("&W")
def save(modem: Equipment, _command: Command) -> Step:
    """Of the settings, only the speed outlives a restart here."""
    modem.saved_speed = modem.speed
    return OK


@COMMANDS("D", "A")
def dial(_modem: Equipment, _command: Command) -> Step:
    """No calls here."""
    return Response((), "NO CARRIER")


@COMMANDS("I")
def information(modem: Equipment, _command: Command) -> Step:
    """ATI."""
    kind = modem.personality
    return tell(kind.manufacturer, kind.model, kind.revision)


@COMMANDS("+CGMI", "+GMI", test="")
def manufacturer(modem: Equipment, command: Command) -> Step:
    """Who made it."""
    return _labelled(modem, command, modem.personality.manufacturer)


@COMMANDS("+CGMM", "+GMM", test="")
def model(modem: Equipment, command: Command) -> Step:
    """What it is."""
    return _labelled(modem, command, modem.personality.model)


@COMMANDS("+CGMR", "+GMR", test="")
def revision(modem: Equipment, command: Command) -> Step:
    """Its firmware."""
    return _labelled(modem, command, modem.personality.revision)


@COMMANDS("+CGSN", "+GSN", test="")
def serial_number(modem: Equipment, command: Command) -> Step:
    """The IMEI."""
    return _labelled(modem, command, modem.settings.imei)


def _labelled(modem: Equipment, command: Command, text: str) -> Step:
    if command.kind is not CommandKind.EXECUTE:
        return refuse(ERROR)
    return tell(f"{command.name}: {text}" if modem.personality.labelled else text)


@COMMANDS("+GCAP", test="")
def capabilities(_modem: Equipment, _command: Command) -> Step:
    """Roughly what it can."""
    return tell("+GCAP: +CGSM")


@COMMANDS("+CMEE", test="(0-2)", syntax=_WRONG)
def error_words(modem: Equipment, command: Command) -> Step:
    """ERROR, numbers, or words (27.007 9.1)."""
    if command.kind is CommandKind.READ:
        return tell(f"+CMEE: {modem.modes.cmee}")
    modem.modes.cmee = number(command.text or "0", range(3))
    return OK


@COMMANDS("+CFUN", test="(0,1,4),(0,1)", syntax=_WRONG)
def function(modem: Equipment, command: Command) -> Step:
    """Radio on and off, and the reset (27.007 8.2)."""
    if command.kind is CommandKind.READ:
        return tell(f"+CFUN: {modem.cfun}")
    values = command.arguments
    level = number(values[0] or "1", (0, 1, 4))
    if len(values) > 1 and number(values[1], range(2)):
        return Response(after=modem.restart)
    return Response(after=lambda: modem.set_function(level))


@COMMANDS("+CPOF", "+QPOWD", "+CPOWD")
def power_down(modem: Equipment, _command: Command) -> Step:
    """Off, until it is switched on by command."""

    def down() -> None:
        modem.say("NORMAL POWER DOWN")
        modem.power_off()

    return Response(after=down)


@COMMANDS("+CRESET", "+CREBOOT", "+QRST")
def reset(modem: Equipment, _command: Command) -> Step:
    """As +CFUN=1,1."""
    return Response(after=modem.restart)


@COMMANDS("+CPAS", test="(0,2-5)")
def activity(_modem: Equipment, _command: Command) -> Step:
    """Ready (27.007 8.1)."""
    return tell("+CPAS: 0")


@COMMANDS("+CBC", test="(0-2),(1-100),(voltage)")
def battery(modem: Equipment, _command: Command) -> Step:
    """Supply voltage: SIM7600 in volts, the others in millivolts."""
    millivolts = modem.personality.voltage
    if modem.personality.name in ("sim7600", "a7670"):
        return tell(f"+CBC: {millivolts / 1000:.3f}V")
    return tell(f"+CBC: 0,90,{millivolts}")


@COMMANDS("+IPR", test="(0,9600,19200,38400,57600,115200)", syntax=_WRONG)
def speed(modem: Equipment, command: Command) -> Step:
    """The speed of the UART, from the OK on; without &W the next start has the old one again."""
    if command.kind is CommandKind.READ:
        return tell(f"+IPR: {modem.speed}")
    modem.speed = number(command.text, (0, 9600, 19200, 38400, 57600, 115200))
    return OK


@COMMANDS("+CSCS", test='("GSM","IRA","UCS2","HEX")', syntax=_WRONG)
def character_set(modem: Equipment, command: Command) -> Step:
    """Of strings in answers; PDU mode does not ask it (27.007 5.5)."""
    if command.kind is CommandKind.READ:
        return tell(f'+CSCS: "{modem.modes.cscs}"')
    chosen = command.arguments[0].upper()
    if chosen not in ("GSM", "IRA", "UCS2", "HEX"):
        return refuse(_WRONG)
    modem.modes.cscs = chosen
    return OK


@COMMANDS("+CCLK", test="", syntax=_WRONG)
def clock(modem: Equipment, command: Command) -> Step:
    """The modem's clock; as unset clocks do, it stands in 1980 until the network told the time."""
    if command.kind is not CommandKind.READ:
        modem.clock_set = True
        return OK
    if not modem.clock_set:
        return tell('+CCLK: "80/01/06,00:00:12+00"')
    return tell(f'+CCLK: "{formats.stamp(modem.network.now())}"')


@COMMANDS("+CTZU", test="(0,1)", syntax=_WRONG)
def zone_update(modem: Equipment, command: Command) -> Step:
    """The network's time sets the clock (27.007 8.40)."""
    if command.kind is CommandKind.READ:
        return tell(f"+CTZU: {modem.modes.ctzu}")
    modem.modes.ctzu = number(command.text, range(2))
    return OK


@COMMANDS("+CTZR", test="(0-2)", syntax=_WRONG)
def zone_report(modem: Equipment, command: Command) -> Step:
    """The network's time is told unasked (27.007 8.41)."""
    if command.kind is CommandKind.READ:
        return tell(f"+CTZR: {modem.modes.ctzr}")
    modem.modes.ctzr = number(command.text, range(3))
    return OK


@COMMANDS("+CLTS", test='("0-1")', syntax=_WRONG)
def local_time_stamp(modem: Equipment, command: Command) -> Step:
    """SIMCom's own for both of these."""
    if not modem.personality.clts:
        return refuse(ERROR)
    if command.kind is CommandKind.READ:
        return tell(f"+CLTS: {modem.modes.clts}")
    modem.modes.clts = number(command.text, range(2))
    return OK


@COMMANDS(
    "+CBATCHK",
    "+CLIP",
    "+CRC",
    "+COLP",
    "+CCWA",
    "+CR",
    "+CGEREP",
    "+QINDCFG",
    "+CSSN",
    test="(0,1)",
)
def noted(_modem: Equipment, _command: Command) -> Step:
    """Taken without effect here."""
    return OK


@COMMANDS("+QURCCFG", test='"urcport",("usbat","usbmodem","uart1")')
def port_of_lines(modem: Equipment, command: Command) -> Step:
    """Quectel: on which port unsolicited lines come. Here is only the AT port (usbat)."""
    if modem.personality.tries != "+QPINC":
        return refuse(ERROR)
    values = command.arguments
    if len(values) == 2:
        modem.urc_port = values[1]
        return OK
    return tell(f'+QURCCFG: "urcport","{modem.urc_port}"')
