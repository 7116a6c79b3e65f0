"""A modem as the box knows it at one moment. Page, metrics, diagnosis and doctor read this form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from appliance.core.clock import Clock
from appliance.core.config import Balance, Limits
from appliance.devices.attached import Attached, IdentifiedBy
from appliance.domain.limits import Usage
from modem.at.network_port import is_network
from modem.interface import Fault, ModemState, ModemStatus

# Thresholds of one to four bars in dBm: CSQ 2, 6, 10 and 15 (27.007 8.5).
_BARS = (-109, -101, -93, -83)


class LimitUse(msgspec.Struct, frozen=True):
    """The use of one limit; `name` is the field of `Limits`."""

    name: str
    used: int
    most: int


class ModemSnapshot(msgspec.Struct, frozen=True):
    """The status that the driver reports, and what the box has learnt and been set to."""

    name: str
    status: ModemStatus
    number: int = 0  # 0 until the modem is identified
    port: str = ""
    identified_by: IdentifiedBy = "imei"
    limits: Limits = Limits()
    usage: Usage = Usage()
    held_by: str = ""  # the limit that delays the queue
    refused: bool = False  # the operator refuses several recipients in a row
    fault: Fault | None = None  # why the modem rests
    balance: float | None = None
    balance_text: str = ""  # the operator's text
    balance_settings: Balance = Balance()
    pace_seconds: float = 0.0  # running mean of the time for a part
    verdicts: Mapping[str, int] = {}

    @property
    def state(self) -> ModemState:
        return self.status.state

    @property
    def simulated(self) -> bool:
        return self.port == "sim"

    @property
    def network(self) -> bool:
        """Whether the port is behind a serial server in the network."""
        return is_network(self.port)

    @property
    def bars(self) -> int:
        """0 to 4 bars, as on a phone."""
        dbm = self.status.signal_dbm
        return 0 if dbm is None else sum(dbm >= step for step in _BARS)

    @property
    def model(self) -> str:
        """The common name of the model; "" if unknown."""
        return model_name(self.status)

    @property
    def phone_number(self) -> str:
        identity = self.status.identity
        return identity.phone_number if identity else ""

    @property
    def sim(self) -> str:
        """The last digits of the ICCID, to recognise the card."""
        identity = self.status.identity
        return identity.sim[-4:] if identity else ""

    @property
    def balance_low(self) -> bool:
        low = self.balance_settings.low
        return bool(low) and self.balance is not None and self.balance < low

    @property
    def limit_uses(self) -> tuple[LimitUse, ...]:
        """The limits that are set, with their use."""
        found = (
            LimitUse("per_minute", self.usage.minute, self.limits.per_minute),
            LimitUse("per_hour", self.usage.hour, self.limits.per_hour),
            LimitUse("per_day", self.usage.day, self.limits.per_day),
            LimitUse("per_month", self.usage.month, self.limits.per_month),
            LimitUse(
                "recipients_per_month", self.usage.recipients, self.limits.recipients_per_month
            ),
        )
        return tuple(use for use in found if use.most)


def take(attached: Attached, usage: Usage, clock: Clock, name: str) -> ModemSnapshot:
    """Return the present snapshot of a modem."""
    # A single refusal concerns its message; it concerns the SIM once the modem rests because of it.
    rests = attached.refused or attached.barred or attached.resting(clock)
    return ModemSnapshot(
        name=name,
        status=attached.status.current(),
        number=attached.number,
        port=attached.settings.port,
        identified_by=attached.identified_by,
        limits=attached.limits,
        usage=usage,
        held_by=attached.held_by,
        refused=attached.refused,
        fault=attached.rest_reason if rests else None,
        balance=attached.balance,
        balance_text=attached.balance_text,
        balance_settings=attached.settings.balance,
        pace_seconds=attached.pace_seconds,
        verdicts=dict(attached.verdicts),
    )


def names_of(attached: Sequence[Attached]) -> list[str]:
    """Return the names of the modems: as set, else the model, numbered where two are equal."""
    names = [a.settings.name or model_name(a.status) or "Modem" for a in attached]
    return [
        name if names.count(name) == 1 else f"{name} {place}" for place, name in enumerate(names, 1)
    ]


def model_name(status: ModemStatus) -> str:
    """Return the common name of a model: `SIMCOM_SIM7600E-H` of SIMCOM INCORPORATED is SIM7600E-H."""
    identity = status.identity
    if identity is None:
        return ""
    maker, model = identity.manufacturer.partition(" ")[0], identity.model
    rest = model.removeprefix(maker).lstrip("_ -") if maker else model
    return rest or model or identity.manufacturer
