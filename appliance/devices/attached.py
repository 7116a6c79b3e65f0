"""A modem of the box, and the consequences of refusals: rest, hold bulk back, probe."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Literal

from appliance.context import Context
from appliance.core.clock import Clock
from appliance.core.config import Limits, ModemSettings
from modem.interface import Fault, Modem, ModemState, ModemStatus, Outcome, Verdict

IdentifiedBy = Literal["imei", "imei and sim", "sim", "port"]

HOUSEKEEP_REST_SECONDS = 2.0  # time for the driver to read what fills the storage
MOST_BARRED = 1000  # numbers remembered as refused while others are served
PACE_WEIGHT = 0.2  # weight of the newest measurement in the running mean
FIRST_PACE_SECONDS = 4.0  # duration of a part on GSM, until measured


def identified_by(key: str) -> IdentifiedBy:
    """Return what distinguishes the modem of this key (`devices.manager.key_of`) from others."""
    if key.startswith(("iccid:", "port:")):
        return "sim" if key.startswith("iccid:") else "port"
    return "imei and sim" if " " in key else "imei"


class Attached:
    """A modem, with what the box has learnt about it since the start. The store has the rest."""

    def __init__(self, box: Context, settings: ModemSettings, modem: Modem, *, test: bool) -> None:
        self.settings = settings
        self.modem = modem
        self.test = test
        self.number = 0  # until the modem is identified
        self.warned_key = ""  # the last one that was not an IMEI
        self.key = ""  # … by this: see `Devices.key_of`
        self.limits_at_first = settings.limits if settings.limits != Limits() else box.config.limits
        self.limits: Limits = self.limits_at_first
        self.offline_since: float | None = box.clock.monotonic()
        self.been_online = asyncio.Event()
        self.pace_seconds = FIRST_PACE_SECONDS
        self.rest_reason: Fault | None = None
        self.logged: tuple[int | None, ModemState, str, str] | None = (
            None  # by the last `modem_changed`
        )
        self.held_by = ""  # the limit that currently delays the queue
        self.verdicts: Counter[str] = Counter()  # of all submitted parts, for /metrics
        self.balance: float | None = None
        self.balance_text = ""  # the operator's text
        self._sending = box.config.sending
        self._rest_until = 0.0
        self._suspects: set[str] = set()
        self._barred: set[str] = set()  # consecutive recipients that the network refused
        self._barred_alone: set[str] = set()  # those refused while others were served
        self._next_probe = 0.0
        self._was_away = True
        self._sim = ""  # the SIM that `balance` belongs to

    @property
    def status(self) -> ModemStatus:
        return self.modem.status

    @property
    def online(self) -> bool:
        return self.status.state == ModemState.READY

    @property
    def iccid(self) -> str:
        identity = self.status.identity
        return identity.sim if identity else ""

    @property
    def device_id(self) -> str | None:
        return f"device_{self.number}" if self.number else None

    @property
    def identified_by(self) -> IdentifiedBy:
        return identified_by(self.key)

    @property
    def clients(self) -> tuple[int, ...]:
        """The clients that may use it, by the settings; empty: all."""
        return tuple(int(c.removeprefix("client_")) for c in self.settings.clients)

    @property
    def aliases(self) -> tuple[tuple[int, str], ...]:
        """Further ids of the device by the settings, each with its client."""
        pairs = (alias.split("=", 1) for alias in self.settings.aliases)
        return tuple((int(client.removeprefix("client_")), name) for client, name in pairs)

    @property
    def low_credit(self) -> bool:
        return self.balance is not None and self.balance < self.settings.balance.low

    def removed(self) -> None:
        """Forget its number and limits: it was removed as a device."""
        self.number = 0
        self.key = ""
        self.limits = self.limits_at_first

    # --- resting, holding, probing: consequences of refusals -------------------------------------

    def resting(self, clock: Clock) -> bool:
        return clock.monotonic() < self._rest_until

    def rest_seconds(self, clock: Clock) -> float:
        return max(0.0, self._rest_until - clock.monotonic())

    @property
    def refused(self) -> bool:
        """Whether the network refused several different recipients in a row, so that the SIM is suspected."""
        return len(self._suspects) >= self._sending.suspicious_recipients

    def bulk_held(self, clock: Clock) -> bool:
        """Return whether only priority 1 is sent: the operator refuses, or the credit has reached its reserve."""
        reserve = self.settings.balance.reserve
        return self.refused or (self.balance is not None and self.balance < reserve)

    def may_probe(self, clock: Clock) -> bool:
        return self.refused and clock.monotonic() >= self._next_probe

    @property
    def barred(self) -> bool:
        """Whether the network demanded action of the owner and has accepted nothing since."""
        return bool(self._barred)

    def learn(self, outcome: Outcome, recipient: str, clock: Clock) -> Outcome:
        """Learn from an outcome about modem and SIM; return the outcome to record."""
        # Test numbers produce refusals on purpose; they say nothing about a SIM.
        probe_seconds = HOUSEKEEP_REST_SECONDS if self.test else self._sending.probe_minutes * 60
        fault = outcome.fault
        self.verdicts[outcome.verdict] += 1
        if outcome.verdict == Verdict.TAKEN:
            self._suspects.clear()
            self.rest_reason = None
            if len(self._barred_alone) > MOST_BARRED:
                self._barred_alone.clear()
            self._barred_alone |= self._barred
            self._barred.clear()
            self._barred_alone.discard(recipient)
        elif fault is not None and fault.suspicious and not self.test:
            self._suspects.add(recipient)
            self._next_probe = clock.monotonic() + probe_seconds
            self.rest_reason = fault
        if outcome.verdict == Verdict.OWNER and fault and fault.by_network and not self.test:
            if recipient in self._barred_alone:
                # The SIM serves others, so the number is the cause, and the others need not wait.
                return Outcome(Verdict.AGAIN, fault=fault)
            self._barred.add(recipient)
            self.rest_reason = fault
            if len(self._barred) == 1:
                return outcome  # perhaps only this number: the next one shows
        if outcome.verdict == Verdict.OWNER:
            self._rest_until = clock.monotonic() + probe_seconds
            self.rest_reason = fault
        elif outcome.verdict == Verdict.WAIT:
            self._rest_until = clock.monotonic() + self._sending.wait_seconds
        elif outcome.verdict == Verdict.HOUSEKEEP:
            self._rest_until = clock.monotonic() + HOUSEKEEP_REST_SECONDS
        return outcome

    def changed(self, state: ModemState, clock: Clock) -> None:
        """Apply a status change; coming online clears the back-off.

        Its cause may be over then. A change of operator or technology alone does not clear it.
        """
        self._was_away = self._was_away or state is not ModemState.READY
        if not self.online:
            if self.offline_since is None:
                self.offline_since = clock.monotonic()
            return
        self.offline_since = None
        if self.iccid != self._sim:
            # The balance was that of another SIM.
            self._sim, self.balance, self.balance_text = self.iccid, None, ""
        if self._was_away:
            self._was_away = False
            self.awake()

    def awake(self) -> None:
        """Clear all back-off."""
        self._rest_until = 0.0
        self._suspects.clear()
        self._barred.clear()

    def paced(self, seconds: float) -> None:
        self.pace_seconds += PACE_WEIGHT * (seconds - self.pace_seconds)
