"""Who binds: the client and the password that the owner has made for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

import msgspec

from appliance.context import Context
from appliance.domain import ids
from appliance.domain.errors import ApiError
from appliance.domain.views import Caller
from appliance.store import clients

# A wrong password is answered after this, and an address has so many attempts in a minute.
WRONG_PASSWORD_SECONDS = 1.0
WRONG_PASSWORDS = 5
WINDOW_SECONDS = 60.0
ADDRESSES_KEPT = 1000


class Account(msgspec.Struct, frozen=True):
    """A client that has shown its password."""

    client: int
    hash: bytes


class Accounts:
    """Checks passwords, slowly, and what a client may do at this time."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self._hashing = asyncio.Lock()  # 16 MiB and a processor: one at a time
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    async def bind(self, system_id: str, password: str, address: str) -> Account | None:
        """Return the account of a client id and its password; None after a while if they are wrong.

        An address that was wrong too often is refused for a minute, whatever it sends.
        """
        client = ids.parse_decimal("client", system_id)
        possible = client is not None and len(password) <= clients.PASSWORD_OCTETS
        if client is not None and possible and self._may_try(address):
            async with self._hashing:
                digest = await asyncio.to_thread(clients.hashed_password, client, password)
            account = Account(client, digest)
            if self._key(account) is not None:
                self._wrong.pop(address, None)
                return account
        self._count(address)
        await asyncio.sleep(WRONG_PASSWORD_SECONDS)
        return None

    def _may_try(self, address: str) -> bool:
        seen = self._wrong.get(address, deque())
        now = self._box.clock.monotonic()
        while seen and seen[0] <= now - WINDOW_SECONDS:
            seen.popleft()
        return len(seen) < WRONG_PASSWORDS

    def _count(self, address: str) -> None:
        seen = self._wrong.setdefault(address, deque(maxlen=WRONG_PASSWORDS))
        seen.append(self._box.clock.monotonic())
        self._wrong.move_to_end(address)
        while len(self._wrong) > ADDRESSES_KEPT:
            self._wrong.popitem(last=False)

    def caller(self, account: Account) -> Caller:
        """Return what the client may do now. Raises INVALID_API_KEY if its password was revoked or has expired."""
        key = self._key(account)
        if key is None:
            raise ApiError("INVALID_API_KEY")
        return key

    def _key(self, account: Account) -> Caller | None:
        key = self._box.credentials.by_hash(account.hash)
        if key is None or not key.usable or key.client != account.client:
            return None
        if key.expires_at is not None and self._box.clock.now() >= key.expires_at:
            return None
        return Caller(
            key_id=key.id,
            client_id=key.client,
            client=f"client_{key.client}",
            mode="test" if key.test else "live",
            tenant=key.client * 2 + key.test,
            permissions=key.permissions,
        )
