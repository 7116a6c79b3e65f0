"""The rate limit and its Retry-After."""

import pytest

from appliance.clients.rate_limit import Limiter
from appliance.domain.errors import ApiError
from tests.manual_clock import ManualClock

SCOPE = 2


def refused(limiter: Limiter) -> int:
    """The seconds of its Retry-After."""
    with pytest.raises(ApiError) as caught:
        limiter.admit(SCOPE, "write")
    assert caught.value.headers["RateLimit-Reset"] == caught.value.headers["Retry-After"]
    return int(caught.value.headers["Retry-After"])


@pytest.mark.parametrize("passed", [0.0, 0.2, 0.6, 30.4, 59.4, 59.9])
def test_a_client_that_waits_for_retry_after_is_admitted(passed: float) -> None:
    clock = ManualClock()
    limiter = Limiter(clock, 1, 1)
    assert limiter.admit(SCOPE, "write")
    clock.advance(passed)
    clock.advance(refused(limiter))
    assert limiter.admit(SCOPE, "write")


def test_reads_writes_and_clients_are_counted_separately() -> None:
    limiter = Limiter(ManualClock(), 1, 2)
    result = [
        limiter.admit(SCOPE, "write"),
        limiter.admit(SCOPE, "read"),
        limiter.admit(4, "write"),
    ]
    assert [allowance and allowance.remaining for allowance in result] == [0, 1, 0]
    assert refused(limiter) == 60
