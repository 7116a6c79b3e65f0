"""The SIM: identity, PIN, PUK, and the message storages of SIM and modem."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from modem.simulator.commands.errors import AtError, cme
from modem.simulator.settings import Settings


class PinState(StrEnum):
    """The responses of +CPIN? (27.007 8.3)."""

    READY = "READY"
    PIN = "SIM PIN"
    PUK = "SIM PUK"
    BLOCKED = "BLOCKED"  # no PUK attempts left, permanent; +CPIN? returns CME 13


class StoredMessage(msgspec.Struct):
    """A stored message. `status` as in +CMGL: 0 unread, 1 read, 2 unsent, 3 sent."""

    status: int
    hex: str
    length: int


class SimulatedStorage:
    """A message storage with a fixed number of places."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.places: dict[int, StoredMessage] = {}

    @property
    def full(self) -> bool:
        """Whether no place is free."""
        return len(self.places) >= self.slots

    def put(self, stored: StoredMessage, first: int) -> int | None:
        """Store a message at the lowest free index from `first` on; return the index, or None if full."""
        if self.full:
            return None
        index = next(i for i in range(first, first + self.slots) if i not in self.places)
        self.places[index] = stored
        return index


class SimCard:
    """One card. It keeps its attempts left in every modem."""

    def __init__(self, settings: Settings) -> None:
        self.iccid, self.imsi = settings.iccid, settings.imsi
        self.number, self.smsc = settings.number, settings.smsc
        self.pin, self.puk = settings.pin or "0000", settings.puk
        self.locked = bool(settings.pin)  # asks for the PIN at each power-up (+CLCK "SC")
        self.pin_left = self.pin_most = settings.pin_tries
        self.puk_left = self.puk_most = settings.puk_tries
        self.storage = SimulatedStorage(settings.sim_slots)
        self.next_reference = settings.reference  # TP-MR is stored on the SIM (EF SMSS)
        self.open = False  # since this power-up

    @property
    def state(self) -> PinState:
        """Whether the card is ready, or wants PIN or PUK."""
        if self.puk_left <= 0:
            return PinState.BLOCKED
        if self.pin_left <= 0:
            return PinState.PUK
        return PinState.PIN if self.locked and not self.open else PinState.READY

    def power_up(self) -> None:
        """Lock the card again after power-up or insertion."""
        self.open = False

    def verify(self, pin: str) -> AtError | None:
        """Try a PIN and count the attempt. Return the error, or None if the card is unlocked."""
        if self.pin_left <= 0:
            return cme(12 if self.puk_left > 0 else 13)
        if pin != self.pin:
            self.pin_left -= 1
            return cme(16 if self.pin_left else 12)
        self.pin_left = self.pin_most
        self.open = True
        return None

    def unblock(self, puk: str, new_pin: str) -> AtError | None:
        """Try a PUK and count the attempt; set a new PIN on success. Return the error, or None."""
        if self.puk_left <= 0:
            return cme(13)
        if not (4 <= len(new_pin) <= 8 and new_pin.isascii() and new_pin.isdigit()):
            return cme(50)
        if puk != self.puk:
            self.puk_left -= 1
            return cme(16 if self.puk_left else 13)
        self.pin, self.open = new_pin, True
        self.pin_left, self.puk_left = self.pin_most, self.puk_most
        return None

    def take_reference(self) -> int:
        """Return the TP-MR of the next accepted part, one octet, and count on (23.040 9.2.3.6)."""
        reference = self.next_reference
        self.next_reference = (reference + 1) % 256
        return reference
