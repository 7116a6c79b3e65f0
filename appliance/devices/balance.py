"""Prepaid credit: asked by USSD on a schedule, parsed by the owner's pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog

from appliance.core.clock import Clock
from appliance.devices.attached import Attached
from modem.interface import UssdError

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 15 * 60.0  # after an operator that did not answer


def amount(text: str, pattern: str) -> float | None:
    """Return the amount in an operator's answer: the pattern's first group, with comma or point.

    With both, the last one starts the decimals: 1.234,56 and 1,234.56. A sign that occurs twice groups digits.
    """
    found = re.search(pattern or r"(\d+(?:[.,]\d+)*)", text)
    if not found:
        return None
    digits = found[1] if found.re.groups else found[0]
    digits = re.sub(r"\s", "", digits or "")
    last = max(digits.rfind(","), digits.rfind("."))
    whole, decimals = (digits[:last], digits[last + 1 :]) if last >= 0 else (digits, "")
    if last >= 0 and digits[last] in whole:
        whole, decimals = digits, ""
    try:
        return float(f"{re.sub('[.,]', '', whole)}.{decimals}")
    except ValueError:
        return None


def record_answer(modem: Attached, text: str) -> None:
    """Note the operator's answer to the balance code, whoever asked."""
    modem.balance_text = text
    modem.balance = amount(text, modem.settings.balance.pattern)
    write_log = log.warning if modem.balance is None or modem.low_credit else log.info
    write_log("balance", device=modem.number, amount=modem.balance, low=modem.low_credit)


class Balances:
    """Asks the balance of each modem with a code, when it is due and the line is free."""

    def __init__(self, clock: Clock, attached: Sequence[Attached]) -> None:
        self._clock = clock
        self._attached = attached
        self._next: dict[tuple[int, str], float] = {}  # a new SIM is asked at once

    async def check(self) -> None:
        """Ask every modem that is due."""
        for modem in self._attached:
            settings = modem.settings.balance
            due = self._clock.monotonic() >= self._next.get((id(modem), modem.iccid), 0.0)
            if settings.code and modem.online and due:
                self._next[id(modem), modem.iccid] = (
                    self._clock.monotonic() + settings.every_hours * 3600
                )
                await self._ask(modem)

    async def _ask(self, modem: Attached) -> None:
        settings = modem.settings.balance
        try:
            text = await modem.modem.ussd(settings.code)
        except UssdError as error:
            self._next[id(modem), modem.iccid] = self._clock.monotonic() + AGAIN_SECONDS
            log.warning("balance_unavailable", device=modem.number, reason=str(error))
            return
        record_answer(modem, text)
