"""Concurrency limits: slow receivers leave room for others."""

from __future__ import annotations

from appliance.webhooks.concurrency import ConcurrencyLimiter, ConcurrencyLimits

PLACES = ConcurrencyLimits(total=8, of_receiver=2, of_host=4, slow=4, slow_of_host=2)


def fill(limiter: ConcurrencyLimiter, receiver: str, host: str) -> int:
    """Takes all the places this receiver can get; how many."""
    taken = 0
    while limiter.free(receiver, host):
        limiter.take(receiver, host)
        taken += 1
    return taken


def slow(limiter: ConcurrencyLimiter, receiver: str, host: str) -> None:
    limiter.take(receiver, host)
    limiter.give_back(receiver, host, slow=True)


def test_a_receiver_has_its_share_and_no_more() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    assert fill(limiter, "a", "one") == 2
    assert fill(limiter, "b", "two") == 2
    assert limiter.open == 4


def test_a_host_has_its_share_however_many_receivers_it_serves() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    assert [fill(limiter, name, "one") for name in "abc"] == [2, 2, 0]
    assert fill(limiter, "d", "two") == 2


def test_all_places_are_never_exceeded() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    assert sum(fill(limiter, f"r{n}", f"h{n}") for n in range(10)) == 8


def test_slow_receivers_together_leave_places_for_the_others() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    for n in range(10):
        slow(limiter, f"slow{n}", f"h{n}")
    assert sum(fill(limiter, f"slow{n}", f"h{n}") for n in range(10)) == 4
    assert fill(limiter, "quick", "q") == 2


def test_a_slow_receiver_leaves_places_at_its_host_for_the_hosts_other_receivers() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    slow(limiter, "stuck", "one")
    slow(limiter, "stuck too", "one")
    assert fill(limiter, "stuck", "one") + fill(limiter, "stuck too", "one") == 2
    assert fill(limiter, "well", "one") == 2


def test_a_receiver_that_answers_quickly_again_is_not_slow() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    for name in ("a", "b", "c"):
        slow(limiter, name, "one")
    assert sum(fill(limiter, name, "one") for name in "abc") == 2
    limiter.give_back("a", "one", slow=False)
    assert limiter.free("a", "one")


def test_a_place_is_given_back() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    fill(limiter, "a", "one")
    limiter.give_back("a", "one", slow=False)
    assert fill(limiter, "a", "one") == 1


def test_the_receiver_served_longest_ago_comes_first() -> None:
    limiter = ConcurrencyLimiter(PLACES)
    for name in ("b", "a", "b"):
        limiter.take(name, "one" + name)
    assert limiter.in_order(["a", "b", "new"]) == ["new", "a", "b"]
    assert limiter.in_order(["b"]) == ["b"]
    assert limiter.in_order(["a", "b"]) == ["a", "b"]  # a wanted nothing and was forgotten
