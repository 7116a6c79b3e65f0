"""Send one SMS-SUBMIT: command, prompt, body, network and response, with the faults at each stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from modem.simulator.commands.errors import AtError, cms
from modem.simulator.commands.formats import stamp
from modem.simulator.commands.outcome import (
    Ask,
    CommandOutcome,
    Dead,
    Response,
    Silence,
    Wait,
    refuse,
)
from modem.simulator.commands.submit_input import understood
from modem.simulator.faults import SendFault, Stage
from modem.simulator.network.handset import whole
from modem.sms.tpdu import PduError, Submit

if TYPE_CHECKING:
    from modem.simulator.equipment import Equipment


class _Part(msgspec.Struct, frozen=True):
    submit: Submit
    hex: str
    answer: str  # "+CMGS" or "+CMSS"


class SubmitSession:
    """The sending side of one modem, one part at a time."""

    def __init__(self, equipment: Equipment) -> None:
        self._equipment = equipment
        self._in_the_air: _Part | None = None  # submitted, and not yet at the network
        self._unanswered = 0  # journal id of a part at the network whose response is not sent yet
        self._link_closes = 0.0  # +CMMS: the radio link is open until then

    @property
    def in_the_air(self) -> bool:
        """Whether a part is between the modem and the network."""
        return self._in_the_air is not None

    def ask(self, read: Callable[[str], str]) -> CommandOutcome:
        """Handle AT+CMGS: prompt for a body that `read` converts to a TPDU in hex (or PduError)."""
        return self._stage(
            "command", "", lambda: Ask(lambda text: self._typed(text, read), self._prompted)
        )

    def _prompted(self) -> None:
        """Apply the faults of the stage after the prompt."""
        fault = self._equipment.faults.send("prompt", "")
        if fault is None:
            return
        for line in fault.urc:
            self._equipment.terminal.send_urc(line, at_once=True)
        if fault.restart or fault.unplug:
            self._break(fault)
        elif fault.hang:
            self._equipment.terminal.off()

    def _typed(self, text: str | None, read: Callable[[str], str]) -> CommandOutcome:
        if text is None:
            says = self._equipment.personality.escape_says
            return Response((), says if says != "OK" else None) if says else Silence()
        try:
            tpdu = read(text)
            submit = understood(tpdu)
        except PduError as error:
            return self._refused(cms(304), "", str(error))
        return self.submit(submit, tpdu)

    def submit(self, submit: Submit, tpdu: str, answer: str = "+CMGS") -> CommandOutcome:
        """Submit a complete TPDU, from the line or from a storage."""
        card = self._equipment.card
        if card is not None and tpdu.startswith("00") and not card.smsc:
            return self._refused(cms(330), submit.recipient, "no SMSC")
        part = _Part(submit, tpdu, answer)
        return self._stage("body", submit.recipient, lambda: self._transmit(part))

    def _transmit(self, part: _Part) -> CommandOutcome:
        seconds = self._equipment.network.latency() + self._link_setup()
        if not seconds:
            return self._reached(part)
        self._in_the_air = part
        return Wait(seconds, lambda: self._reached(part))

    def _link_setup(self) -> float:
        """Return the seconds until there is a channel; 0 if +CMMS kept it open."""
        if self._equipment.clock() < self._link_closes:
            return 0.0
        if self._link_closes and self._equipment.modes.cmms == 1:
            self._equipment.modes.cmms = 0  # 27.005 3.5.6: 1 ends with the link, 2 stays
        self._link_closes = 0.0
        return self._equipment.settings.link_setup

    def _reached(self, part: _Part) -> CommandOutcome:
        """Let the network accept or refuse the part."""
        self._in_the_air = None
        refusal = self._refusal()
        if refusal is not None:
            return self._refused(refusal, part.submit.recipient, part.submit.text)
        reference = self._accept(part)
        return self._stage("taken", part.submit.recipient, lambda: self._answer(part, reference))

    def _refusal(self) -> AtError | None:
        equipment = self._equipment
        if not equipment.can_send:
            return equipment.sms_refusal() or cms(331)
        return equipment.network.refusal()

    def _accept(self, part: _Part) -> int:
        equipment = self._equipment
        assert equipment.card is not None  # registered with it
        reference = equipment.card.take_reference()
        self._unanswered = equipment.network.accept(
            part.submit, part.hex, reference, equipment.card.imsi
        )
        if equipment.modes.cmms:
            self._link_closes = equipment.clock() + equipment.settings.cmms_open
        return reference

    def _answer(self, part: _Part, reference: int) -> CommandOutcome:
        line = self._equipment.personality.cmgs.format(
            answer=part.answer, reference=reference, stamp=stamp(self._equipment.network.now())
        )
        fault = self._fault("answer", part.submit.recipient)
        if fault is None:
            self._unanswered = 0
            return Response((line,))
        if fault.silent or fault.hang:
            self._equipment.send_urc(line, *fault.urc)
            self._without_response()
            return Dead() if fault.hang else Silence()

        def middle() -> None:
            self._equipment.send_urc(*fault.urc)
            if fault.restart or fault.unplug:
                self._break(fault)
            self._unanswered = 0

        return Response((line,), fault.refusal or fault.final, None, middle)

    # -- faults

    def _fault(self, stage: Stage, recipient: str) -> SendFault | None:
        return self._equipment.faults.send(stage, recipient) or (
            self._equipment.network.numbers.send(stage, recipient) if recipient else None
        )

    def _stage(
        self, stage: Stage, recipient: str, go_on: Callable[[], CommandOutcome]
    ) -> CommandOutcome:
        fault = self._fault(stage, recipient)
        if fault is None:
            return go_on()
        self._equipment.send_urc(*fault.urc)
        if fault.late:
            return Wait(fault.late, lambda: self._struck(fault, recipient, go_on))
        return self._struck(fault, recipient, go_on)

    def _struck(
        self, fault: SendFault, recipient: str, go_on: Callable[[], CommandOutcome]
    ) -> CommandOutcome:
        if fault.refusal is not None:
            return self._refused(fault.refusal, recipient, "")
        if fault.final is not None:
            self._without_response()
            return Response((), fault.final)
        if fault.silent or fault.hang:
            self._without_response()
            return Dead() if fault.hang else Silence()
        if fault.restart or fault.unplug:
            self._break(fault)
            return Dead()
        return go_on()

    def _without_response(self) -> None:
        """End a send without a response for the accepted part."""
        if self._unanswered:
            self._equipment.journal.write("unanswered", submit=self._unanswered)
            self._unanswered = 0

    def _break(self, fault: SendFault) -> None:
        if fault.unplug:
            self._equipment.send_urc(*fault.say)
            self._equipment.unplug(None if fault.stays_away else fault.back_after)
        else:
            self._equipment.restart(fault.back_after, fault.say)

    def _refused(self, refusal: AtError, recipient: str, text: str) -> CommandOutcome:
        self._equipment.journal.write(
            "refused",
            kind=refusal.kind,
            code=refusal.number,
            recipient=recipient,
            text=whole(text),
            submit=self._unanswered or None,  # the network has the part nevertheless
        )
        self._unanswered = 0
        return refuse(refusal)

    def interrupted(self) -> None:
        """Stop for a power loss. Whether a part in transit reached the network is random."""
        part, self._in_the_air = self._in_the_air, None
        equipment = self._equipment
        if part is not None:
            lucky = equipment.network.chance.random() < equipment.settings.in_the_air
            if lucky and self._refusal() is None:
                self._accept(part)
            else:
                equipment.journal.write(
                    "lost",
                    recipient=part.submit.recipient,
                    text=whole(part.submit.text),
                    tpdu=part.hex,
                )
        self._without_response()
