"""One modem of the box, and what a run of refusals says of it: rest, hold bulk back, probe."""

from __future__ import annotations

import asyncio
from collections import Counter

from appliance.context import Box
from appliance.core.clock import Clock
from appliance.core.config import Limits, ModemSettings
from modem.interface import Fault, Modem, Outcome, State, Status, Verdict

HOUSEKEEP_REST_SECONDS = 2.0  # time for the driver to read and hand out what fills its store
MOST_BARRED = 1000  # numbers remembered that only they are refused
PACE_WEIGHT = 0.2  # of the newest measurement in the running mean
FIRST_PACE_SECONDS = 4.0  # a part on GSM, until measured


class Attached:
    """One modem with what the box has learnt of it since it started. The store has the rest."""

    def __init__(self, box: Box, settings: ModemSettings, modem: Modem, *, test: bool) -> None:
        self.settings = settings
        self.modem = modem
        self.test = test
        self.number = 0  # until the IMEI is known
        self.limits_at_first = settings.limits if settings.limits != Limits() else box.config.limits
        self.limits: Limits = self.limits_at_first
        self.offline_since: float | None = box.clock.monotonic()
        self.been_online = asyncio.Event()
        self.pace_seconds = FIRST_PACE_SECONDS
        self.rest_reason: Fault | None = None
        self.held_by = ""  # the limit that delays the queue just now
        self.verdicts: Counter[str] = Counter()  # of all parts handed over, for /metrics
        self.balance: float | None = None
        self.balance_text = ""  # the operator's own words
        self._sending = box.config.sending
        self._rest_until = 0.0
        self._suspects: set[str] = set()
        self._barred: set[str] = set()  # recipients that the network would not serve, in a row
        self._barred_alone: set[str] = set()  # … while it served others
        self._next_probe = 0.0
        self._was_away = True
        self._sim = ""  # whose credit `balance` is

    @property
    def status(self) -> Status:
        return self.modem.status

    @property
    def online(self) -> bool:
        return self.status.state == State.READY

    @property
    def iccid(self) -> str:
        identity = self.status.identity
        return identity.sim if identity else ""

    @property
    def device_id(self) -> str | None:
        return f"device_{self.number}" if self.number else None

    @property
    def clients(self) -> tuple[int, ...]:
        """Whose it is, as the settings say; empty: everybody's."""
        return tuple(int(c.removeprefix("client_")) for c in self.settings.clients)

    @property
    def low_credit(self) -> bool:
        return self.balance is not None and self.balance < self.settings.balance.low

    def removed(self) -> None:
        """It was removed as a device: what the owner set for it has gone with its number."""
        self.number = 0
        self.limits = self.limits_at_first

    # --- resting, holding, probing: what a run of refusals means ---------------------------------

    def resting(self, clock: Clock) -> bool:
        return clock.monotonic() < self._rest_until

    def rest_seconds(self, clock: Clock) -> float:
        return max(0.0, self._rest_until - clock.monotonic())

    @property
    def refused(self) -> bool:
        """Several different recipients in a row: it is not them, it is this SIM."""
        return len(self._suspects) >= self._sending.suspicious_recipients

    def bulk_held(self, clock: Clock) -> bool:
        """Only priority 1 goes: the operator refuses, or the credit is down to its reserve."""
        reserve = self.settings.balance.reserve
        return self.refused or (self.balance is not None and self.balance < reserve)

    def may_probe(self, clock: Clock) -> bool:
        return self.refused and clock.monotonic() >= self._next_probe

    @property
    def barred(self) -> bool:
        """The network said that the owner must act, and has taken nothing since."""
        return bool(self._barred)

    def learn(self, outcome: Outcome, recipient: str, clock: Clock) -> Outcome:
        """What the last answer says of the modem and its SIM; the answer as it is to be taken."""
        # A test key's refusals are asked for by number: they say nothing of a SIM.
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
                # The SIM may write to others: it is this number, and no reason for them to wait.
                return Outcome(Verdict.AGAIN, fault=fault)
            self._barred.add(recipient)
            self.rest_reason = fault
            if len(self._barred) == 1:
                return outcome  # perhaps this number only: another one tells
        if outcome.verdict == Verdict.OWNER:
            self._rest_until = clock.monotonic() + probe_seconds
            self.rest_reason = fault
        elif outcome.verdict == Verdict.WAIT:
            self._rest_until = clock.monotonic() + self._sending.wait_seconds
        elif outcome.verdict == Verdict.HOUSEKEEP:
            self._rest_until = clock.monotonic() + HOUSEKEEP_REST_SECONDS
        return outcome

    def changed(self, state: State, clock: Clock) -> None:
        """It was at this state, and stands as it stands by now. What it rested for may be over when it
        is back from somewhere else; an operator or a technology that changes is no news of that.
        """
        self._was_away = self._was_away or state is not State.READY
        if not self.online:
            if self.offline_since is None:
                self.offline_since = clock.monotonic()
            return
        self.offline_since = None
        if self.iccid != self._sim:
            self._sim, self.balance, self.balance_text = self.iccid, None, ""  # another's credit
        if self._was_away:
            self._was_away = False
            self.awake()

    def awake(self) -> None:
        """Nothing is held against it any more."""
        self._rest_until = 0.0
        self._suspects.clear()
        self._barred.clear()

    def paced(self, seconds: float) -> None:
        self.pace_seconds += PACE_WEIGHT * (seconds - self.pace_seconds)
