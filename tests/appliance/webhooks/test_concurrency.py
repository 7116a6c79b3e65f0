"""Concurrency limits: slow receivers leave room for others."""

from __future__ import annotations

from appliance.webhooks.concurrency import ConcurrencyLimiter, ConcurrencyLimits

PLACES = ConcurrencyLimits(total=8, of_receiver=2, of_host=4, slow=4, slow_of_host=2)


def fill(turns: ConcurrencyLimiter, receiver: str, host: str) -> int:
    """Takes all the places this receiver can get; how many."""
    taken = 0
    while turns.free(receiver, host):
        turns.take(receiver, host)
        taken += 1
    return taken


def slow(turns: ConcurrencyLimiter, receiver: str, host: str) -> None:
    turns.take(receiver, host)
    turns.give_back(receiver, host, slow=True)


def test_a_receiver_has_its_share_and_no_more() -> None:
    turns = ConcurrencyLimiter(PLACES)
    assert fill(turns, "a", "one") == 2
    assert fill(turns, "b", "two") == 2
    assert turns.open == 4


def test_a_host_has_its_share_however_many_receivers_it_serves() -> None:
    turns = ConcurrencyLimiter(PLACES)
    assert [fill(turns, name, "one") for name in "abc"] == [2, 2, 0]
    assert fill(turns, "d", "two") == 2


def test_all_places_are_never_exceeded() -> None:
    turns = ConcurrencyLimiter(PLACES)
    assert sum(fill(turns, f"r{n}", f"h{n}") for n in range(10)) == 8


def test_slow_receivers_together_leave_places_for_the_others() -> None:
    turns = ConcurrencyLimiter(PLACES)
    for n in range(10):
        slow(turns, f"slow{n}", f"h{n}")
    assert sum(fill(turns, f"slow{n}", f"h{n}") for n in range(10)) == 4
    assert fill(turns, "quick", "q") == 2


def test_a_slow_receiver_leaves_places_at_its_host_for_the_hosts_other_receivers() -> None:
    turns = ConcurrencyLimiter(PLACES)
    slow(turns, "stuck", "one")
    slow(turns, "stuck too", "one")
    assert fill(turns, "stuck", "one") + fill(turns, "stuck too", "one") == 2
    assert fill(turns, "well", "one") == 2


def test_a_receiver_that_answers_quickly_again_is_not_slow() -> None:
    turns = ConcurrencyLimiter(PLACES)
    for name in ("a", "b", "c"):
        slow(turns, name, "one")
    assert sum(fill(turns, name, "one") for name in "abc") == 2
    turns.give_back("a", "one", slow=False)
    assert turns.free("a", "one")


def test_a_place_is_given_back() -> None:
    turns = ConcurrencyLimiter(PLACES)
    fill(turns, "a", "one")
    turns.give_back("a", "one", slow=False)
    assert fill(turns, "a", "one") == 1


def test_the_receiver_served_longest_ago_comes_first() -> None:
    turns = ConcurrencyLimiter(PLACES)
    for name in ("b", "a", "b"):
        turns.take(name, "one" + name)
    assert turns.in_order(["a", "b", "new"]) == ["new", "a", "b"]
    assert turns.in_order(["b"]) == ["b"]
    assert turns.in_order(["a", "b"]) == ["a", "b"]  # a wanted nothing and was forgotten
