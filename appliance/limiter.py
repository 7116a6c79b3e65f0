"""The request limit of a client: so many in any running minute. In memory: a restart forgives."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from appliance.clock import Clock
from appliance.interface import Allowance
from appliance.refusals import later

WINDOW_SECONDS = 60.0


class Limiter:
    """Counts requests by client (and mode) and kind."""

    def __init__(self, clock: Clock, writes: int, reads: int) -> None:
        self._clock = clock
        self._limits = {"write": writes, "read": reads}
        self._seen: dict[tuple[int, str], deque[float]] = {}

    def admit(self, scope: int, kind: Literal["read", "write"]) -> Allowance | None:
        """Count one request. RATE_LIMIT_EXCEEDED with Retry-After; None where there is no limit."""
        limit = self._limits[kind]
        if not self._limits["write"] or not limit:
            return None
        now = self._clock.monotonic()
        seen = self._seen.setdefault((scope, kind), deque())
        while seen and seen[0] <= now - WINDOW_SECONDS:
            seen.popleft()
        # Rounded up: who comes back when told is let in.
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
        return Allowance(limit, limit - len(seen), reset)
