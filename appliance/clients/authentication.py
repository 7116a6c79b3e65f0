"""Who sends a request to the API, and whether its key may send it."""

from __future__ import annotations

from typing import Literal

from appliance.clients.credentials import Credentials, Key
from appliance.clients.rate_limit import Limiter
from appliance.core.clock import Clock
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.views import Caller, RateLimitState
from appliance.store import clients
from appliance.store.database import Database

KEY_NOTED_EVERY_SECONDS = 60.0  # last_used_at is for people; a write for each request is not


class Authenticator:
    """Authenticates the requests of the API and counts them against the rate limits."""

    def __init__(
        self, credentials: Credentials, clock: Clock, db: Database, limiter: Limiter
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._db = db
        self._limiter = limiter
        self._noted: dict[int, float] = {}

    async def authenticate(
        self, api_key: str, client_id: str | None, device_id: str | None
    ) -> Caller:
        """Return the caller. Without `client_id` the client is the key's.

        Raises INVALID_API_KEY, then INVALID_CLIENT_ID, then INVALID_DEVICE_ID. A revoked key is refused at once,
        also one that the command line has just revoked.
        """
        key = self._credentials.key(api_key)
        now = self._clock.now()
        expired = key is not None and key.expires_at is not None and now >= key.expires_at
        if key is None or not key.usable or expired:
            raise ApiError("INVALID_API_KEY")
        if client_id is not None and ids.parse_decimal("client", client_id) != key.client:
            raise ApiError("INVALID_CLIENT_ID")
        if device_id is not None:
            device_id = self._device(key, device_id)
        await self._note_use(key.id, now)
        return Caller(
            key_id=key.id,
            client_id=key.client,
            client=f"client_{key.client}",
            mode="test" if key.test else "live",
            tenant=key.client * 2 + key.test,
            device_id=device_id,
            permissions=key.permissions,
        )

    def _device(self, key: Key, device_id: str) -> str:
        """Return the box's id of a device, also for an alias. Raises INVALID_DEVICE_ID for another client's.

        A test key may name any device of its client: its messages go to the simulated one.
        """
        number = self._credentials.device(key.client, device_id)
        live = self._credentials.devices(key.client, False)
        test = self._credentials.devices(key.client, True) if key.test else []
        if number not in {row.id for row in (*live, *test)}:
            raise ApiError("INVALID_DEVICE_ID")
        return f"device_{number}"

    async def _note_use(self, key_id: int, now: int) -> None:
        monotonic = self._clock.monotonic()
        if monotonic - self._noted.get(key_id, -KEY_NOTED_EVERY_SECONDS) >= KEY_NOTED_EVERY_SECONDS:
            self._noted[key_id] = monotonic
            await self._db.write_best_effort(clients.used, key_id, now)

    def admit(
        self, caller: Caller, kind: Literal["read", "write"], *, any_key: bool
    ) -> RateLimitState | None:
        """Count one request; return None without a limit. Raises RATE_LIMIT_EXCEEDED.

        Raises KEY_NOT_ALLOWED for a key that may not read, or not send, except on routes for `any_key`.
        """
        may = caller.permissions
        if kind == "read" and not may.read and not any_key:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "read"})
        if kind == "write" and not may.send and not any_key:
            raise ApiError("KEY_NOT_ALLOWED", {"reason": "send"})
        return self._limiter.admit(caller.tenant, kind)
