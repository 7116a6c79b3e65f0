"""The recovery steps for a modem that does not answer: order and pauses. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RecoveryStep(StrEnum):
    """Recovery steps, from mild to hard. A complete start-up follows each."""

    RESYNC = "resync"  # ESC, then questions until answers match
    REOPEN = "reopen"
    SOFT_RESET = "soft_reset"  # AT+CFUN=1,1
    RESET = "reset"  # the RESET pin
    POWER_KEY = "power_key"  # PWRKEY off and on; on only where the modem is off
    SUPPLY = "supply"  # USB port or supply off and on


_NEED_PORT = frozenset({RecoveryStep.RESYNC, RecoveryStep.SOFT_RESET})


class PowerCapabilities(msgspec.Struct, frozen=True):
    """What this box can do to its modem besides AT commands."""

    reset: bool = False
    power_key: bool = False
    supply: bool = False

    def allows(self, step: RecoveryStep) -> bool:
        match step:
            case RecoveryStep.RESET:
                return self.reset
            case RecoveryStep.POWER_KEY:
                return self.power_key
            case RecoveryStep.SUPPLY:
                return self.supply
        return True


def steps(
    capabilities: PowerCapabilities, *, port: bool, has_answered: bool
) -> tuple[RecoveryStep, ...]:
    """Return the recovery steps in order.

    Without a port only steps that may bring it back make sense. A modem that has not answered since the box
    started is probably off, so its power key comes first.
    """
    steps_left = [
        step
        for step in RecoveryStep
        if capabilities.allows(step) and (port or step not in _NEED_PORT)
    ]
    if not has_answered:
        steps_left.sort(key=lambda step: step is not RecoveryStep.POWER_KEY)
    return tuple(steps_left)


def pause(failed_recoveries: int, first_seconds: float, longest_seconds: float) -> float:
    """Return the wait after this many failed recoveries in seconds: doubling, up to a maximum."""
    return min(first_seconds * float(2 ** min(failed_recoveries, 30)), longest_seconds)
