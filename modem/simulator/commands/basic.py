"""V.250 commands, identification and power."""

from __future__ import annotations

from modem.simulator.commands import formats
from modem.simulator.commands.errors import ERROR, cme
from modem.simulator.commands.outcome import OK, CommandOutcome, Response, refuse, respond
from modem.simulator.commands.registry import Commands
from modem.simulator.commands.syntax import Command, CommandKind, number
from modem.simulator.equipment import Equipment

COMMANDS = Commands()
_WRONG = cme(50)


@COMMANDS("E")
def echo(modem: Equipment, command: Command) -> CommandOutcome:
    """ATE: set the echo from the next command line on."""
    modem.modes.echo = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("V")
def verbose(modem: Equipment, command: Command) -> CommandOutcome:
    """ATV: choose words or digits as final result codes."""
    modem.modes.verbose = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("Q")
def quiet(modem: Equipment, command: Command) -> CommandOutcome:
    """ATQ: suppress final result codes."""
    modem.modes.quiet = bool(number(command.text or "0", range(2)))
    return OK


@COMMANDS("Z", "&F")
def defaults(modem: Equipment, _command: Command) -> CommandOutcome:
    """ATZ, AT&F: restore the settings of a reset without restarting."""
    modem.forget()
    return OK


@COMMANDS("&C", "&D", "&K", "&S", "X", "H", "L", "M", "S0", "S3", "S4", "S5", "S7", "+IFC", "+ICF")
def accepted(_modem: Equipment, command: Command) -> CommandOutcome:
    """Accept settings that have no effect on messages."""
    if command.kind is CommandKind.READ:
        return respond("000" if command.name.startswith("S") else f"{command.name}: 0,0")
    return OK


@COMMANDS("&W")
def save(modem: Equipment, _command: Command) -> CommandOutcome:
    """AT&W: save the speed, the only setting that survives a restart here."""
    modem.saved_speed = modem.speed
    return OK


@COMMANDS("D", "A")
def dial(_modem: Equipment, _command: Command) -> CommandOutcome:
    """ATD, ATA: voice calls are not simulated."""
    return Response((), "NO CARRIER")


@COMMANDS("I")
def information(modem: Equipment, _command: Command) -> CommandOutcome:
    """ATI: return manufacturer, model and revision."""
    kind = modem.personality
    return respond(kind.manufacturer, kind.model, kind.revision)


@COMMANDS("+CGMI", "+GMI", test="")
def manufacturer(modem: Equipment, command: Command) -> CommandOutcome:
    """Return the manufacturer (27.007 5.1)."""
    return _labelled(modem, command, modem.personality.manufacturer)


@COMMANDS("+CGMM", "+GMM", test="")
def model(modem: Equipment, command: Command) -> CommandOutcome:
    """Return the model (27.007 5.2)."""
    return _labelled(modem, command, modem.personality.model)


@COMMANDS("+CGMR", "+GMR", test="")
def revision(modem: Equipment, command: Command) -> CommandOutcome:
    """Return the firmware revision (27.007 5.3)."""
    return _labelled(modem, command, modem.personality.revision)


@COMMANDS("+CGSN", "+GSN", test="")
def serial_number(modem: Equipment, command: Command) -> CommandOutcome:
    """Return the IMEI (27.007 5.4)."""
    return _labelled(modem, command, modem.settings.imei)


def _labelled(modem: Equipment, command: Command, text: str) -> CommandOutcome:
    if command.kind is not CommandKind.EXECUTE:
        return refuse(ERROR)
    return respond(f"{command.name}: {text}" if modem.personality.labelled else text)


@COMMANDS("+GCAP", test="")
def capabilities(_modem: Equipment, _command: Command) -> CommandOutcome:
    """Return the list of additional capabilities (V.250 6.1.9)."""
    return respond("+GCAP: +CGSM")


@COMMANDS("+CMEE", test="(0-2)", syntax=_WRONG)
def error_words(modem: Equipment, command: Command) -> CommandOutcome:
    """+CMEE: choose ERROR, numbers or words for errors (27.007 9.1)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CMEE: {modem.modes.cmee}")
    modem.modes.cmee = number(command.text or "0", range(3))
    return OK


@COMMANDS("+CFUN", test="(0,1,4),(0,1)", syntax=_WRONG)
def function(modem: Equipment, command: Command) -> CommandOutcome:
    """+CFUN: switch the radio on or off, or reset (27.007 8.2)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CFUN: {modem.cfun}")
    values = command.arguments
    level = number(values[0] or "1", (0, 1, 4))
    if len(values) > 1 and number(values[1], range(2)):
        return Response(after=modem.restart)
    return Response(after=lambda: modem.set_function(level))


@COMMANDS("+CPOF", "+QPOWD", "+CPOWD")
def power_down(modem: Equipment, _command: Command) -> CommandOutcome:
    """Switch off, until a control command switches the modem on."""

    def down() -> None:
        modem.send_urc("NORMAL POWER DOWN")
        modem.power_off()

    return Response(after=down)


@COMMANDS("+CRESET", "+CREBOOT", "+QRST")
def reset(modem: Equipment, _command: Command) -> CommandOutcome:
    """Reset, as +CFUN=1,1 does."""
    return Response(after=modem.restart)


@COMMANDS("+CPAS", test="(0,2-5)")
def activity(_modem: Equipment, _command: Command) -> CommandOutcome:
    """+CPAS: report "ready" (27.007 8.1)."""
    return respond("+CPAS: 0")


@COMMANDS("+CBC", test="(0-2),(1-100),(voltage)")
def battery(modem: Equipment, _command: Command) -> CommandOutcome:
    """+CBC: return the supply voltage, in volts on SIM7600 and in millivolts on the others."""
    millivolts = modem.personality.voltage
    if modem.personality.name in ("sim7600", "a7670"):
        return respond(f"+CBC: {millivolts / 1000:.3f}V")
    return respond(f"+CBC: 0,90,{millivolts}")


@COMMANDS("+IPR", test="(0,9600,19200,38400,57600,115200)", syntax=_WRONG)
def speed(modem: Equipment, command: Command) -> CommandOutcome:
    """+IPR: set the UART speed after the OK; without &W it is lost at the next start."""
    if command.kind is CommandKind.READ:
        return respond(f"+IPR: {modem.speed}")
    modem.speed = number(command.text, (0, 9600, 19200, 38400, 57600, 115200))
    return OK


@COMMANDS("+CSCS", test='("GSM","IRA","UCS2","HEX")', syntax=_WRONG)
def character_set(modem: Equipment, command: Command) -> CommandOutcome:
    """+CSCS: set the character set of strings; PDU mode ignores it (27.007 5.5)."""
    if command.kind is CommandKind.READ:
        return respond(f'+CSCS: "{modem.modes.cscs}"')
    chosen = command.arguments[0].upper()
    if chosen not in ("GSM", "IRA", "UCS2", "HEX"):
        return refuse(_WRONG)
    modem.modes.cscs = chosen
    return OK


@COMMANDS("+CCLK", test="", syntax=_WRONG)
def clock(modem: Equipment, command: Command) -> CommandOutcome:
    """+CCLK: return the modem's clock, which shows 1980 until the network has sent its time."""
    if command.kind is not CommandKind.READ:
        modem.clock_set = True
        return OK
    if not modem.clock_set:
        return respond('+CCLK: "80/01/06,00:00:12+00"')
    return respond(f'+CCLK: "{formats.stamp(modem.network.now())}"')


@COMMANDS("+CTZU", test="(0,1)", syntax=_WRONG)
def zone_update(modem: Equipment, command: Command) -> CommandOutcome:
    """+CTZU: let the network's time set the clock (27.007 8.40)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CTZU: {modem.modes.ctzu}")
    modem.modes.ctzu = number(command.text, range(2))
    return OK


@COMMANDS("+CTZR", test="(0-2)", syntax=_WRONG)
def zone_report(modem: Equipment, command: Command) -> CommandOutcome:
    """+CTZR: report the network's time by URC (27.007 8.41)."""
    if command.kind is CommandKind.READ:
        return respond(f"+CTZR: {modem.modes.ctzr}")
    modem.modes.ctzr = number(command.text, range(3))
    return OK


@COMMANDS("+CLTS", test='("0-1")', syntax=_WRONG)
def local_time_stamp(modem: Equipment, command: Command) -> CommandOutcome:
    """+CLTS: SIMCom's command for +CTZU and +CTZR together."""
    if not modem.personality.clts:
        return refuse(ERROR)
    if command.kind is CommandKind.READ:
        return respond(f"+CLTS: {modem.modes.clts}")
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
def noted(_modem: Equipment, _command: Command) -> CommandOutcome:
    """Accept the command without effect."""
    return OK


@COMMANDS("^PORTSEL", test="(0,1)", syntax=_WRONG)
def port_of_lines_huawei(modem: Equipment, command: Command) -> CommandOutcome:
    """^PORTSEL: choose the port for URCs (Huawei): 0 is the modem port, the only one of the simulator."""
    if not modem.personality.portsel:
        return refuse(ERROR)
    if command.kind is CommandKind.READ:
        return respond(f"^PORTSEL: {int(modem.urc_port != 'usbat')}")
    modem.urc_port = ("usbat", "pcui")[number(command.text, range(2))]
    return OK


@COMMANDS("+QURCCFG", test='"urcport",("usbat","usbmodem","uart1")')
def port_of_lines(modem: Equipment, command: Command) -> CommandOutcome:
    """+QURCCFG: choose the port for URCs (Quectel). The simulator has only the AT port (usbat)."""
    if modem.personality.tries != "+QPINC":
        return refuse(ERROR)
    values = command.arguments
    if len(values) == 2:
        modem.urc_port = values[1]
        return OK
    return respond(f'+QURCCFG: "urcport","{modem.urc_port}"')
