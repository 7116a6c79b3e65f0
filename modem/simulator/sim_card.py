"""The SIM: who it is, its PIN and PUK, and the places for messages on it and in the modem."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from modem.simulator.commands.errors import AtError, cme
from modem.simulator.settings import Settings


class PinState(StrEnum):
    """What +CPIN? says (27.007 8.3)."""

    READY = "READY"
    PIN = "SIM PIN"
    PUK = "SIM PUK"
    BLOCKED = "BLOCKED"  # PUK tries used up: for ever; +CPIN? answers CME 13


class StoredMessage(msgspec.Struct):
    """A message in a store. `status` as in +CMGL: 0 unread, 1 read, 2 not sent, 3 sent."""

    status: int
    hex: str
    length: int


class MessageStorage:
    """A message memory with a fixed number of places."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.places: dict[int, StoredMessage] = {}

    @property
    def full(self) -> bool:
        """No place is left."""
        return len(self.places) >= self.slots

    def put(self, stored: StoredMessage, first: int) -> int | None:
        """Its index (the lowest free one from `first` on), or None when full."""
        if self.full:
            return None
        index = next(i for i in range(first, first + self.slots) if i not in self.places)
        self.places[index] = stored
        return index


class SimCard:
    """One card. It remembers its tries wherever it is put."""

    def __init__(self, settings: Settings) -> None:
        self.iccid, self.imsi = settings.iccid, settings.imsi
        self.number, self.smsc = settings.number, settings.smsc
        self.pin, self.puk = settings.pin or "0000", settings.puk
        self.locked = bool(settings.pin)  # asks for the PIN at each power-up (+CLCK "SC")
        self.pin_left = self.pin_most = settings.pin_tries
        self.puk_left = self.puk_most = settings.puk_tries
        self.store = MessageStorage(settings.sim_slots)
        self.next_reference = settings.reference  # TP-MR lives on the SIM (EF SMSS)
        self.open = False  # since this power-up

    @property
    def state(self) -> PinState:
        """Where the card stands."""
        if self.puk_left <= 0:
            return PinState.BLOCKED
        if self.pin_left <= 0:
            return PinState.PUK
        return PinState.PIN if self.locked and not self.open else PinState.READY

    def power_up(self) -> None:
        """A new power-up or insertion: the PIN is wanted again."""
        self.open = False

    def verify(self, pin: str) -> AtError | None:
        """A try of the PIN, counted. Afterwards `open`, or why not."""
        if self.pin_left <= 0:
            return cme(12 if self.puk_left > 0 else 13)
        if pin != self.pin:
            self.pin_left -= 1
            return cme(16 if self.pin_left else 12)
        self.pin_left = self.pin_most
        self.open = True
        return None

    def unblock(self, puk: str, new_pin: str) -> AtError | None:
        """A try of the PUK, counted; it sets a new PIN."""
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
        """The TP-MR of the next accepted part: one octet, counted here (23.040 9.2.3.6)."""
        reference = self.next_reference
        self.next_reference = (reference + 1) % 256
        return reference
