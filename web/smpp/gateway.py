"""What the sessions use of the box."""

from __future__ import annotations

from appliance.clients.rate_limit import Limiter
from appliance.context import Context
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.phone_numbers import NumberReader
from appliance.domain.views import Caller
from appliance.services import Services
from appliance.smpp.accounts import Accounts
from appliance.smpp.deliveries import EngineDeliveries
from appliance.smpp.submissions import EngineSubmissions


class SmppGateway:
    """The services of the box for engines."""

    def __init__(self, services: Services) -> None:
        box: Context = services.context
        self._box = box
        self.settings = box.config.smpp
        self.accounts = Accounts(box)
        self.submissions = EngineSubmissions(box, services.intake, services.tracking)
        self.deliveries = EngineDeliveries(box)
        self._limiter = Limiter(box.clock, self.settings.rate_limit, 0)

    @property
    def now(self) -> int:
        """The wall time in epoch milliseconds."""
        return self._box.clock.now()

    @property
    def numbers(self) -> NumberReader:
        """How the box reads numbers."""
        return self._box.numbers

    def check_rate(self, caller: Caller) -> None:
        """Count a submission. Raises KEY_NOT_ALLOWED, RATE_LIMIT_EXCEEDED."""
        if not caller.permissions.send:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "send"})
        self._limiter.admit(caller.tenant, "write")

    def message_id(self, number: int) -> str:
        """Return a message's id as the API writes it."""
        return ids.message_id(number)
