"""The modem: power, start-up, the client's settings, and what arrives from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from modem.simulator.arrivals import Arrivals
from modem.simulator.commands import formats
from modem.simulator.commands.errors import ERROR, AtError, cme, cms
from modem.simulator.commands.outcome import CommandOutcome, refuse
from modem.simulator.commands.syntax import Command
from modem.simulator.faults import AnswerFault, Faults
from modem.simulator.network.journal import Journal
from modem.simulator.network.network import CAN_SEND, Arriving, Network, Taken
from modem.simulator.personalities import Personality
from modem.simulator.sending import SubmitSession
from modem.simulator.settings import Settings
from modem.simulator.sim_card import PinState, SimCard, SimulatedStorage
from modem.simulator.terminal import Terminal
from modem.simulator.timers import Timers

AT_PORT = "usbat"  # the one port that this simulator has


class Modes(msgspec.Struct):
    """The client's settings, lost at a reset."""

    cnmi: list[int]
    memories: list[str]  # <mem1> <mem2> <mem3> of +CPMS
    echo: bool = True
    verbose: bool = True
    quiet: bool = False
    cmee: int = 0
    text_mode: bool = False
    csms: int = 0
    csmp: str = "17,167,0,0"
    csdh: int = 0
    creg: int = 0
    cgreg: int = 0
    cereg: int = 0
    cops_format: int = 0
    cscs: str = "IRA"
    ctzu: int = 0
    ctzr: int = 0
    clts: int = 0
    cusd: int = 0
    cmms: int = 0
    clip: int = 0


class Equipment:
    """A modem, with or without a SIM, on or off."""

    def __init__(
        self,
        settings: Settings,
        personality: Personality,
        journal: Journal,
        faults: Faults,
        network: Network,
        card: SimCard | None,
        write: Callable[[bytes], None],
    ) -> None:
        self.settings, self.personality = settings, personality
        self.journal, self.faults, self.network = journal, faults, network
        self.card = card
        self.storages = {
            "ME": SimulatedStorage(settings.me_slots),
            "SR": SimulatedStorage(settings.report_slots),
        }
        self.timers = Timers()
        self._sim_timers = (
            Timers()
        )  # of the SIM's start, which ends when the SIM is removed or switched off
        self._write = write
        self.terminal = Terminal(self, write)
        self.arrivals = Arrivals(self)
        self.sending = SubmitSession(self)
        self.modes = self._default_modes()
        self.cfun = 1
        self.clock_set = False
        self.storage_lost = False  # see `storage_after_reset`
        self.urc_port = AT_PORT  # the port for URCs; Quectel keeps it through a restart
        self.speed = self.saved_speed = 0  # +IPR, and the speed saved by &W; 0 is auto-baud
        self.powered = self.sim_read = self.sms_ready = self.attached = False
        self.starts = 0
        self.unplug: Callable[[float | None], None] = lambda _back_after: None
        self.line_speed: Callable[[int], None] = lambda _baud: None
        # Set with the two above by whoever builds the modem: the commands know the equipment.
        self.execute: Callable[[Command], CommandOutcome] = lambda _command: refuse(ERROR)
        network.subscriber = self

    def _default_modes(self) -> Modes:
        kind = self.personality
        return Modes(
            cnmi=list(kind.cnmi_default),
            memories=[kind.preferred] * 3,
            cmee=kind.cmee,
            text_mode=kind.text_mode,
        )

    def forget(self) -> None:
        """Restore the settings of a reset: echo on, indications off."""
        self.modes = self._default_modes()
        self.arrivals.forget()
        self.storage_lost = False

    # -- power

    def power_on(self, seconds: float = 0.0) -> None:
        """Start after so many seconds without power, at the earliest in the loop's next iteration."""
        self.timers.later(seconds, self._start)

    def _start(self) -> None:
        scale = self.settings.boot
        self.starts += 1
        self.journal.write("power", on=True, starts=self.starts, iccid=self._iccid())
        self.powered = True
        self.cfun = 1
        self.clock_set = False
        self.speed = self.saved_speed
        self.answered()
        self.forget()
        if self.card:
            self.card.power_up()
            if self.personality.counts_anew and self.starts > 1:
                self.card.next_reference = 0
        self.timers.after(self.personality.alive_after * scale, self.come_alive)

    def come_alive(self) -> None:
        """Make the UART answer."""
        self.terminal.on(speed_known=not self.settings.autobaud or self.saved_speed > 0)
        if self.personality.noise:
            self._write(self.personality.noise)
        self.send_urc(*self.personality.greeting)
        self._look_for_sim()

    def _look_for_sim(self) -> None:
        kind = self.personality
        seconds = (kind.sim_after - kind.alive_after) * self.settings.boot
        self._sim_timers.cancel()
        self._sim_timers.after(seconds, self.read_sim)

    def read_sim(self) -> None:
        """Finish reading the SIM, or finding that there is none."""
        self.sim_read = True
        if self.card is None:
            if self.personality.sim_line:
                self.send_urc("+CPIN: NOT INSERTED")
            return
        if self.personality.sim_line:
            self.send_urc(f"+CPIN: {self.card.state}")
        if self.card.state is PinState.READY:
            self.sim_opened()

    def sim_opened(self) -> None:
        """Start message commands and registration: the SIM is unlocked."""
        scale, kind = self.settings.boot, self.personality
        self._sim_timers.after(kind.sms_after * scale, self.messages_ready)
        self._sim_timers.after(kind.registers_after * scale, self.attach)

    def messages_ready(self) -> None:
        """Make message commands work."""
        self.sms_ready = True
        self.send_urc(*self.personality.ready_lines)

    def attach(self) -> None:
        """Register with the network and bring what waits there."""
        self.attached = True
        self.registration_changed()
        self.network.flush()

    def power_off(self) -> None:
        """Switch off at once, also during a command or a transmission."""
        if self.powered:
            self.journal.write("power", on=False, starts=self.starts)
        self.timers.cancel()
        self._sim_timers.cancel()
        self.sending.interrupted()
        self.terminal.off()
        self.powered = self.sim_read = self.sms_ready = self.attached = False

    def restart(self, seconds: float = 0.0, last_words: tuple[str, ...] = ()) -> None:
        """Switch off and on."""
        if self.powered:
            self.terminal.send_urc(*last_words, at_once=True)
        self.power_off()
        self.power_on(seconds)

    def answered(self) -> None:
        """Apply +IPR: the command line is answered completely (V.250 6.2.10)."""
        self.line_speed(self.speed or self.settings.baud)

    def set_function(self, level: int) -> None:
        """Apply +CFUN: 0 minimum, 4 no radio, 1 full (27.007 8.2)."""
        was, self.cfun = self.cfun, level
        self.storage_lost |= level == 1 and self.personality.storage_after_reset
        if level == was:
            return
        if level == 1:
            if was == 0 and self.card:
                self.card.power_up()
            self.sim_read = self.attached = False
            self._look_for_sim()
            return
        self._sim_timers.cancel()
        self.attached = False
        if level == 0:
            self.sim_read = self.sms_ready = False
        self.registration_changed()

    # -- the SIM

    def insert(self, card: SimCard | None) -> None:
        """Insert another card, or remove it (None), while the modem is on or off."""
        self.card = card
        self.journal.write("sim", iccid=self._iccid(), imsi=card.imsi if card else "")
        self.sim_read = self.sms_ready = self.attached = False
        if not self.powered:
            return
        self._sim_timers.cancel()
        if card is None:
            self.send_urc("+CPIN: NOT READY")
            self.sim_read = True
        else:
            card.power_up()
            self._look_for_sim()
        self.registration_changed()

    def _iccid(self) -> str:
        return self.card.iccid if self.card else ""

    def sim_refusal(self) -> AtError | None:
        """Return the error of a command that needs the unlocked SIM, or None (27.007 9.2)."""
        if not self.sim_read:
            return cme(14)
        if self.card is None:
            return cme(10)
        return {
            PinState.READY: None,
            PinState.PIN: cme(11),
            PinState.PUK: cme(12),
            PinState.BLOCKED: cme(13),
        }[self.card.state]

    def sms_refusal(self) -> AtError | None:
        """Return the error of a message command, or None (27.005 3.2.5)."""
        refusal = self.sim_refusal()
        if refusal is not None:
            return cms({14: 314, 10: 310, 11: 311, 12: 316, 13: 313}[refusal.number])
        return None if self.sms_ready else cms(314)

    def storage(self, name: str) -> SimulatedStorage:
        """Return a message storage by its +CPMS name. Raises ValueError for "SM" without a SIM."""
        if name != "SM":
            return self.storages[name]
        if self.card is None:
            raise ValueError("there is no SIM")
        return self.card.storage

    # -- the network's side

    @property
    def registration(self) -> int:
        """The present <stat> of 27.007 7.2."""
        if self.cfun != 1 or not self.powered:
            return 0
        return self.network.registration if self.attached else 0 if self.card is None else 2

    @property
    def can_send(self) -> bool:
        """Whether the registration allows messages."""
        return self.registration in CAN_SEND

    def own_number(self, dialled: str) -> str:
        """Return the SIM's number if it was dialled, in international or national form; else ""."""
        number = self.card.number if self.card else ""
        at_home = dialled[:1] == "0" and number.endswith(dialled[1:])
        return number if number and (dialled == number or at_home) else ""

    def arrive(self, arriving: Arriving) -> Taken:
        """Take a TPDU from the network."""
        if not (self.can_send and self.sms_ready and self.card):
            return Taken.NOT
        if self.card.imsi != arriving.imsi:
            return Taken.NOT
        return self.arrivals.take(arriving)

    def registration_changed(self) -> None:
        """Send the registration URCs that are switched on."""
        for name, mode in (
            ("CREG", self.modes.creg),
            ("CGREG", self.modes.cgreg),
            ("CEREG", self.modes.cereg if self.personality.eps else 0),
        ):
            if mode and self.powered:
                self.send_urc(f"+{name}: {self.registration_text(name, mode)}")

    def registration_text(self, name: str, mode: int) -> str:
        """Return the parameters of a registration URC."""
        stat = self.registration
        if name == "CREG" and self.personality.cat_m and stat in CAN_SEND:
            stat = 3
        return formats.registration(stat, mode, self.personality.technology, eps=name == "CEREG")

    def network_time_sent(self) -> None:
        """Handle the network's time: set the clock and send URCs as configured (22.042)."""
        if not (self.powered and self.attached):
            return
        now, modes = self.network.now(), self.modes
        self.clock_set = self.clock_set or bool(modes.ctzu or modes.clts)
        if modes.clts and self.personality.clts:
            self.send_urc(*formats.nitz(now))
        elif modes.ctzr == 2:
            self.send_urc(f'+CTZE: "{formats.zone(now)}",0,"{now:%Y/%m/%d,%H:%M:%S}"')
        elif modes.ctzr:
            self.send_urc(f'+CTZV: "{formats.zone(now)}"')

    # -- commands and URCs

    @staticmethod
    def clock() -> float:
        """Return the loop's time in seconds."""
        return asyncio.get_running_loop().time()

    def send_urc(self, *lines: str) -> None:
        """Send URCs, unless they go to another port of the modem."""
        if self.powered and self.urc_port == AT_PORT:
            self.terminal.send_urc(*lines)

    def fault(self, command: Command) -> AnswerFault | None:
        """Return the fault for the response to a command, if any."""
        return self.faults.answer(str(command))
