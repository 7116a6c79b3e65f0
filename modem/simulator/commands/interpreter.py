"""Execute the commands of a command line by the tables of this package."""

from __future__ import annotations

from modem.simulator.commands import basic, network, sim, sms, storage
from modem.simulator.commands.errors import ERROR, AtError
from modem.simulator.commands.outcome import OK, CommandOutcome, Response, refuse, respond
from modem.simulator.commands.registry import CommandHandler
from modem.simulator.commands.syntax import Command, CommandKind, SyntaxFault
from modem.simulator.equipment import Equipment

CHATTINESS = 0.2  # probability of a URC before the response to a command

HANDLERS = {
    **basic.COMMANDS,
    **sim.COMMANDS,
    **network.COMMANDS,
    **sms.COMMANDS,
    **storage.COMMANDS,
}


def execute(modem: Equipment, command: Command) -> CommandOutcome:
    """Execute one command and return its outcome."""
    if not command.name:
        return OK
    handler = HANDLERS.get(command.name)
    if handler is None or (modem.cfun == 0 and handler.needs):
        return refuse(ERROR)
    refusal = _precondition(modem, handler)
    if refusal is not None:
        return refuse(refusal)
    _chatter(modem)
    if command.kind is CommandKind.TEST:
        return _formatted(modem, _tested(modem, command, handler))
    try:
        return _formatted(modem, handler.run(modem, command))
    except SyntaxFault:
        return refuse(handler.syntax)


def _chatter(modem: Equipment) -> None:
    """Send a random URC before the response, as some modules do."""
    lines, chance = modem.personality.chatter, modem.network.chance
    if lines and chance.random() < CHATTINESS:
        modem.send_urc(chance.choice(lines))


def _precondition(modem: Equipment, handler: CommandHandler) -> AtError | None:
    if handler.needs == "sim":
        return modem.sim_refusal()
    return modem.sms_refusal() if handler.needs == "sms" else None


def _formatted(modem: Equipment, outcome: CommandOutcome) -> CommandOutcome:
    """Return the response with or without a blank after the colon, as the module writes it."""
    if modem.personality.blank_after_colon or not isinstance(outcome, Response):
        return outcome
    lines = tuple(
        line.replace(": ", ":", 1) if line.startswith("+") else line for line in outcome.lines
    )
    return Response(lines, outcome.final, outcome.after, outcome.middle)


def _tested(modem: Equipment, command: Command, handler: CommandHandler) -> CommandOutcome:
    storages_refused = modem.storage_lost or modem.personality.storages_untold
    if handler.test is None or (command.name == "+CPMS" and storages_refused):
        return refuse(ERROR)
    text = handler.test if isinstance(handler.test, str) else handler.test(modem)
    return respond(f"{command.name}: {text}") if text else OK
