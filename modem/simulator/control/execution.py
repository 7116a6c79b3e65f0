"""Doing orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from modem.simulator.control import requests
from modem.simulator.distortion import CLEAN, Distortion
from modem.simulator.faults import AnswerFault, EchoFault, ReportFault, SendFault
from modem.simulator.network.delivery import IncomingSms, deliveries
from modem.simulator.network.handset import Reply
from modem.simulator.network.ussd import UssdAnswer
from modem.simulator.sim_card import SimCard, StoredMessage
from modem.sms.tpdu_fields import encode_time

if TYPE_CHECKING:
    from modem.simulator.simulator import Simulator


def execute(simulator: Simulator, order: requests.AnyOrder) -> dict[str, Any]:
    """Do it now; what is worth saying about it. Raises ValueError where it cannot be done."""
    modem, network, faults = simulator.equipment, simulator.network, simulator.faults
    match order:
        case SendFault():
            faults.sends.add(order)
        case ReportFault():
            faults.reports.add(order)
        case AnswerFault():
            faults.answers.add(order)
        case EchoFault():
            faults.echoes.add(order)
        case Distortion():
            simulator.line.distortion = order
        case IncomingSms():
            return {"parts": simulator.bring(order)}
        case requests.Say():
            _say(simulator, order)
        case requests.Raw():
            simulator.line.write(bytes.fromhex(order.hex))
        case requests.Restart():
            modem.restart(order.seconds, order.say)
        case requests.Hang():
            modem.terminal.off()
        case requests.Off():
            modem.power_off()
        case requests.Forget():
            if order.only_echo:
                modem.modes.echo = True
            else:
                modem.forget()
        case requests.Unplug():
            simulator.unplug(order.back_after)
        case requests.Plug():
            simulator.plug()
        case requests.Registration():
            before = network.registration
            network.register(order.stat)
            if order.seconds is not None:
                simulator.timers.later(order.seconds, lambda: network.register(before))
        case requests.Signal():
            network.signal = order.rssi
        case requests.Operator():
            network.operator = order.name
            network.plmn = order.plmn or network.plmn
        case requests.SimRequest():
            _change_sim(simulator, order)
        case requests.Pin():
            _set_pin(simulator, order)
        case requests.Smsc():
            if modem.card:
                modem.card.smsc = order.number
        case requests.Fill():
            return {"stored": _fill(simulator, order)}
        case requests.Credit():
            network.credit = order.left
        case UssdAnswer():
            order.line("IRA")  # ValueError now, for a text that cannot be spelled so
            network.ussd.answers.append(order)
        case requests.Time():
            _set_time(simulator, order)
        case Reply():
            simulator.handsets.replies.append(order)
        case requests.Release():
            return {"reports": network.release()}
        case requests.Quirks():
            _set_quirks(simulator, order)
        case requests.NetworkRequest():
            given = {k: v for k, v in msgspec.structs.asdict(order).items() if v is not None}
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
            assert_never(order)
    return {}


def _say(simulator: Simulator, order: requests.Say) -> None:
    if order.at == "prompt":
        simulator.faults.sends.add(SendFault(at="command", urc=order.lines))
    elif order.at == "answer" or order.cut is not None:
        simulator.faults.answers.add(AnswerFault(urc=order.lines, cut=order.cut))
    else:
        simulator.equipment.terminal.say(*order.lines, at_once=True)


def _change_sim(simulator: Simulator, order: requests.SimRequest) -> None:
    modem = simulator.equipment
    if not order.present:
        modem.insert(None)
        return
    chosen = order.iccid or (modem.card.iccid if modem.card else simulator.settings.iccid)
    if chosen not in simulator.cards:
        named = {k: v for k, v in msgspec.structs.asdict(order).items() if v is not None}
        del named["present"]
        settings = msgspec.structs.replace(simulator.settings, pin="", reference=0)
        simulator.cards[chosen] = SimCard(msgspec.structs.replace(settings, **named))
    modem.insert(simulator.cards[chosen])


def _set_pin(simulator: Simulator, order: requests.Pin) -> None:
    card = simulator.equipment.card
    if card is None:
        raise ValueError("there is no SIM")
    if order.tries is not None:
        card.pin_left = order.tries
    if order.puk_tries is not None:
        card.puk_left = order.puk_tries
    if order.wanted is not None:
        card.locked = order.wanted


def _fill(simulator: Simulator, order: requests.Fill) -> int:
    modem = simulator.equipment
    store = modem.store(order.store)
    wanted = store.slots - len(store.places) if order.count is None else order.count
    sent_at = simulator.network.now() - timedelta(hours=order.hours_ago)
    for n in range(wanted):
        message = IncomingSms(sender=order.sender, text=order.text.replace("{n}", str(n + 1)))
        smsc = simulator.settings.smsc
        tpdu = deliveries(message, sent_at, simulator.network.chance, smsc)[0]
        stored = StoredMessage(int(order.read), tpdu.hex, tpdu.length)
        if store.put(stored, modem.personality.first_index) is None:
            return n
    return wanted


def _set_time(simulator: Simulator, order: requests.Time) -> None:
    network, offset = simulator.network, 0.0
    if order.at is not None:
        wanted = datetime.fromisoformat(order.at)
        encode_time(wanted)  # PduError for a time that no stamp can tell
        offset = (wanted - datetime.now(UTC)).total_seconds()
    if order.zone_quarters is not None:
        network.zone_quarters = order.zone_quarters
    network.clock_offset = offset
    if order.tell:
        simulator.equipment.time_told()


def _set_quirks(simulator: Simulator, order: requests.Quirks) -> None:
    given = {k: v for k, v in msgspec.structs.asdict(order).items() if v is not None}
    if given.pop("honest_cdsi"):
        given["cdsi"] = None
    modem = simulator.equipment
    if order.cnmi is not None and len(order.cnmi) != len(modem.personality.cnmi):
        raise ValueError("+CNMI has five values")
    if order.cmgs is not None:
        _spelled(order.cmgs)
    modem.urc_port = given.pop("urc_port", modem.urc_port)
    modem.personality = msgspec.structs.replace(modem.personality, **given)


def _spelled(form: str) -> None:
    try:
        form.format(answer="+CMGS", reference=0, stamp="")
    except (LookupError, AttributeError) as error:
        raise ValueError(f"not a form of +CMGS: {form!r}") from error


def _status(simulator: Simulator) -> dict[str, Any]:
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
            "stored": len(card.store.places),
        },
        "stored": {name: len(store.places) for name, store in modem.stores.items()},
        "parts": network.parts,
        "credit": network.credit,
        "waiting": len(network.waiting),
        "held": len(network.held),
        "incomplete": simulator.handsets.incomplete,
        "faults": simulator.faults.standing(),
        "bytes_lost": simulator.line.lost,
    }
