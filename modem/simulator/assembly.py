"""Build the simulated modem: line, modem, SIM, network, handsets and journal."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from functools import partial
from pathlib import Path

from modem.simulator.commands.interpreter import execute
from modem.simulator.equipment import Equipment
from modem.simulator.faults import Faults
from modem.simulator.network.delivery import IncomingSms, deliveries
from modem.simulator.network.handset import Handsets, Reply
from modem.simulator.network.journal import Journal
from modem.simulator.network.network import Arriving, Network
from modem.simulator.network.test_numbers import NumberOutcomes
from modem.simulator.personalities import EVERY
from modem.simulator.settings import Settings
from modem.simulator.sim_card import SimCard
from modem.simulator.timers import Timers
from modem.simulator.trace import Trace
from modem.simulator.virtual_port import VirtualPort


class SimulatedModem:
    """The parts of one simulated modem on a pseudo-terminal, and what happens to it from outside."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        journal: Path | None = None,
        link: Path | None = None,
        trace: Path | None = None,
    ) -> None:
        self.settings = settings = settings or Settings()
        if settings.personality not in EVERY:
            known = ", ".join(EVERY)
            raise ValueError(f"no personality {settings.personality!r}; there are {known}")
        chance = random.Random(settings.seed)
        self.timers = Timers()
        self.journal = Journal(journal)
        self.faults = Faults(_clock, chance)
        numbers = NumberOutcomes(settings)
        self.handsets = Handsets(self.journal, numbers, self._answer)
        self.network = Network(settings, self.journal, self.faults, numbers, self.handsets, chance)
        self._trace = Trace(trace) if trace else None
        self.line = VirtualPort(
            lambda data: self.equipment.terminal.feed(data),
            chance,
            link=link,
            baud=settings.baud,
            fixed=settings.fixed_baud,
            trace=self._trace,
        )
        self.cards = {settings.iccid: SimCard(settings)}
        self.equipment = Equipment(
            settings,
            EVERY[settings.personality],
            self.journal,
            self.faults,
            self.network,
            self.cards[settings.iccid],
            self.line.write,
        )
        self.equipment.unplug = self.unplug
        self.equipment.line_speed = self.line.set_speed
        self.equipment.execute = partial(execute, self.equipment)

    def open(self) -> str:
        """Create the port and switch the modem on. Return the name of the port, or of its link."""
        name = self.line.open()
        chosen = self.settings
        self.journal.write("start", personality=chosen.personality, imei=chosen.imei, port=name)
        self.equipment.power_on()
        return name

    def close(self) -> None:
        """Switch off, and remove the port and its link."""
        self.timers.cancel()
        self.network.timers.cancel()
        self.equipment.power_off()
        self.line.close()
        self.journal.close()
        if self._trace:
            self._trace.close()

    def unplug(self, back_after: float | None) -> None:
        """Remove the port; create it again after so many seconds, unless None."""
        self.equipment.power_off()
        self.line.close()
        if back_after is not None:
            self.timers.later(back_after, self.plug)

    def plug(self) -> None:
        """Create the port again and start the modem."""
        if not self.line.plugged:
            self.line.open()
            self.equipment.restart()  # switches off first: the modem may have been started without a port

    def bring(self, message: IncomingSms) -> int:
        """Send a message to the modem. Return the number of its parts. Raises PduError."""
        card = self.equipment.card
        sent_at = self.network.now() - timedelta(hours=message.hours_ago)
        tpdus = deliveries(message, sent_at, self.network.chance, self.settings.smsc)
        for tpdu in tpdus:
            self.network.bring(
                Arriving(
                    imsi=card.imsi if card else "",
                    tpdu=tpdu,
                    sender=message.sender,
                    text=message.text,
                    flash=message.flash,
                )
            )
        return len(tpdus)

    def _answer(self, number: str, reply: Reply, received: str) -> None:
        text = reply.text.replace("{text}", received)
        message = IncomingSms(sender=number, text=text)
        self.timers.later(reply.after, lambda: self.bring_reply(message))

    def bring_reply(self, message: IncomingSms) -> None:
        """Send a phone's reply to the modem."""
        self.bring(message)


def _clock() -> float:
    return asyncio.get_running_loop().time()
