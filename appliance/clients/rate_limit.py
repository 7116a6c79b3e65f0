"""Rate limits per client over a sliding minute. In memory: a restart resets them."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from appliance.core.clock import Clock
from appliance.domain.errors import later
from appliance.domain.views import RateLimitState

WINDOW_SECONDS = 60.0


class Limiter:
    """Counts requests by client, mode and kind."""

    def __init__(self, clock: Clock, writes: int, reads: int) -> None:
        self._clock = clock
        self._limits = {"write": writes, "read": reads}
        self._seen: dict[tuple[int, str], deque[float]] = {}

    def admit(self, tenant: int, kind: Literal["read", "write"]) -> RateLimitState | None:
        """Count one request. Return None without a limit. Raises RATE_LIMIT_EXCEEDED with Retry-After."""
        limit = self._limits[kind]
        if not self._limits["write"] or not limit:
            return None
        now = self._clock.monotonic()
        seen = self._seen.setdefault((tenant, kind), deque())
        while seen and seen[0] <= now - WINDOW_SECONDS:
            seen.popleft()
        # Rounded up, so that a client that waits this long is accepted.
        reset = math.ceil(seen[0] + WINDOW_SECONDS - now) if seen else round(WINDOW_SECONDS)
        if len(seen) >= limit:
            refusal = later("RATE_LIMIT_EXCEEDED", reset, {"limit": limit})
            refusal.headers |= {
                "RateLimit-Limit": str(limit),
                "RateLimit-Remaining": "0",
                "RateLimit-Reset": str(reset),
            }
            raise refusal
        seen.append(now)
        return RateLimitState(limit, limit - len(seen), reset)
