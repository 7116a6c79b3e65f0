"""Execute control requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import msgspec

from modem.simulator.assembly import SimulatedModem
from modem.simulator.control import requests
from modem.simulator.distortion import CLEAN, Distortion
from modem.simulator.faults import AnswerFault, EchoFault, ReportFault, SendFault
from modem.simulator.network.delivery import IncomingSms, deliveries
from modem.simulator.network.handset import Reply
from modem.simulator.network.ussd import UssdAnswer
from modem.simulator.sim_card import SimCard, StoredMessage
from modem.sms.tpdu_fields import encode_time


def execute(simulator: SimulatedModem, request: requests.AnyControlRequest) -> dict[str, Any]:
    """Execute a request and return the result to report. Raises ValueError if it is impossible."""
    modem, network, faults = simulator.equipment, simulator.network, simulator.faults
    match request:
        case SendFault():
            faults.sends.add(request)
        case ReportFault():
            faults.reports.add(request)
        case AnswerFault():
            faults.answers.add(request)
        case EchoFault():
            faults.echoes.add(request)
        case Distortion():
            simulator.line.distortion = request
        case IncomingSms():
            return {"parts": simulator.bring(request)}
        case requests.Say():
            _say(simulator, request)
        case requests.Raw():
            simulator.line.write(bytes.fromhex(request.hex))
        case requests.Restart():
            modem.restart(request.seconds, request.say)
        case requests.Hang():
            modem.terminal.off()
        case requests.Off():
            modem.power_off()
        case requests.Forget():
            if request.only_echo:
                modem.modes.echo = True
            else:
                modem.forget()
        case requests.Unplug():
            simulator.unplug(request.back_after)
        case requests.Plug():
            if request.imei is not None:
                modem.settings = msgspec.structs.replace(modem.settings, imei=request.imei)
            simulator.plug()
        case requests.Registration():
            before = network.registration
            network.register(request.stat)
            if request.seconds is not None:
                simulator.timers.later(request.seconds, lambda: network.register(before))
        case requests.Signal():
            network.signal = request.rssi
        case requests.Operator():
            network.operator = request.name
            network.plmn = request.plmn or network.plmn
        case requests.SimRequest():
            _change_sim(simulator, request)
        case requests.Pin():
            _set_pin(simulator, request)
        case requests.Smsc():
            if modem.card:
                modem.card.smsc = request.number
        case requests.Fill():
            return {"stored": _fill(simulator, request)}
        case requests.Credit():
            network.credit = request.left
        case UssdAnswer():
            request.line("IRA")  # raises ValueError for a text that this form cannot encode
            network.ussd.answers.append(request)
        case requests.Time():
            _set_time(simulator, request)
        case Reply():
            simulator.handsets.replies.append(request)
        case requests.Release():
            return {"reports": network.release()}
        case requests.Quirks():
            _set_quirks(simulator, request)
        case requests.NetworkRequest():
            given = {k: v for k, v in msgspec.structs.asdict(request).items() if v is not None}
            network.settings = msgspec.structs.replace(network.settings, **given)
            modem.settings = msgspec.structs.replace(modem.settings, **given)
        case requests.Clear():
            faults.clear()
            simulator.handsets.say_nothing()
            simulator.line.distortion = CLEAN
        case requests.StatusRequest():
            return _status(simulator)
        case requests.CountersRequest():
            return {"counters": dict(simulator.journal.counts)}
        case _:
            assert_never(request)
    return {}


def _say(simulator: SimulatedModem, request: requests.Say) -> None:
    if request.at == "prompt":
        simulator.faults.sends.add(SendFault(at="command", urc=request.lines))
    elif request.at == "answer" or request.cut is not None:
        simulator.faults.answers.add(AnswerFault(urc=request.lines, cut=request.cut))
    else:
        simulator.equipment.terminal.send_urc(*request.lines, at_once=True)


def _change_sim(simulator: SimulatedModem, request: requests.SimRequest) -> None:
    modem = simulator.equipment
    if not request.present:
        modem.insert(None)
        return
    chosen = request.iccid or (modem.card.iccid if modem.card else simulator.settings.iccid)
    if chosen not in simulator.cards:
        named = {k: v for k, v in msgspec.structs.asdict(request).items() if v is not None}
        del named["present"]
        settings = msgspec.structs.replace(simulator.settings, pin="", reference=0)
        simulator.cards[chosen] = SimCard(msgspec.structs.replace(settings, **named))
    modem.insert(simulator.cards[chosen])


def _set_pin(simulator: SimulatedModem, request: requests.Pin) -> None:
    card = simulator.equipment.card
    if card is None:
        raise ValueError("there is no SIM")
    if request.tries is not None:
        card.pin_left = request.tries
    if request.puk_tries is not None:
        card.puk_left = request.puk_tries
    if request.wanted is not None:
        card.locked = request.wanted


def _fill(simulator: SimulatedModem, request: requests.Fill) -> int:
    modem = simulator.equipment
    storage = modem.storage(request.store)
    wanted = storage.slots - len(storage.places) if request.count is None else request.count
    sent_at = simulator.network.now() - timedelta(hours=request.hours_ago)
    for n in range(wanted):
        message = IncomingSms(sender=request.sender, text=request.text.replace("{n}", str(n + 1)))
        smsc = simulator.settings.smsc
        tpdu = deliveries(message, sent_at, simulator.network.chance, smsc)[0]
        stored = StoredMessage(int(request.read), request.record or tpdu.hex, tpdu.length)
        if storage.put(stored, modem.personality.first_index) is None:
            return n
    return wanted


def _set_time(simulator: SimulatedModem, request: requests.Time) -> None:
    network, offset = simulator.network, 0.0
    if request.at is not None:
        wanted = datetime.fromisoformat(request.at)
        encode_time(wanted)  # raises PduError for a time outside the range of a time stamp
        offset = (wanted - datetime.now(UTC)).total_seconds()
    if request.zone_quarters is not None:
        network.zone_quarters = request.zone_quarters
    network.clock_offset = offset
    if request.tell:
        simulator.equipment.network_time_sent()


def _set_quirks(simulator: SimulatedModem, request: requests.Quirks) -> None:
    given = {k: v for k, v in msgspec.structs.asdict(request).items() if v is not None}
    if given.pop("honest_cdsi"):
        given["cdsi"] = None
    modem = simulator.equipment
    if request.cnmi is not None and len(request.cnmi) != len(modem.personality.cnmi):
        raise ValueError("+CNMI has five values")
    if request.cmgs is not None:
        _spelled(request.cmgs)
    modem.urc_port = given.pop("urc_port", modem.urc_port)
    modem.personality = msgspec.structs.replace(modem.personality, **given)


def _spelled(form: str) -> None:
    try:
        form.format(answer="+CMGS", reference=0, stamp="")
    except (LookupError, AttributeError) as error:
        raise ValueError(f"not a form of +CMGS: {form!r}") from error


def _status(simulator: SimulatedModem) -> dict[str, Any]:
    modem, network, card = simulator.equipment, simulator.network, simulator.equipment.card
    return {
        "personality": modem.personality.name,
        "plugged": simulator.line.plugged,
        "powered": modem.powered,
        "starts": modem.starts,
        "sms_ready": modem.sms_ready,
        "registration": modem.registration,
        "signal": network.signal,
        "in_the_air": modem.sending.in_the_air,
        "cnmi": list(modem.modes.cnmi),
        "echo": modem.modes.echo,
        "sim": card
        and {
            "iccid": card.iccid,
            "state": card.state,
            "pin_left": card.pin_left,
            "puk_left": card.puk_left,
            "next_reference": card.next_reference,
            "stored": len(card.storage.places),
        },
        "stored": {name: len(storage.places) for name, storage in modem.storages.items()},
        "parts": network.parts,
        "credit": network.credit,
        "waiting": len(network.waiting),
        "held": len(network.held),
        "incomplete": simulator.handsets.incomplete,
        "faults": simulator.faults.active(),
        "bytes_lost": simulator.line.lost,
    }
