"""Which texts opt a sender out or in."""

import pytest

from appliance.core.stop_words import START_WORDS, STOP_WORDS, opt_keyword


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("STOP 36180", "stop"),
        ("STOP au 36180", "stop"),
        ("Stop svp", "stop"),
        ("stop s’il vous plaît, merci", "stop"),
        ("STOP STOP", "stop"),
        ("STOP SMS", "stop"),
        ("Merci, désabonner", "stop"),
        ("STOP!!!", "stop"),
        ("START merci", "start"),
        ("STOPPER", None),
        ("STOP START", None),
        ("STOP 0612345678", None),
        ("STOP 36180 36181", None),
        ("stop by tomorrow please", None),
        ("non stop", None),
        ("36180", None),
        ("merci", None),
        ("", None),
    ],
)
def test_what_counts_as_stop_and_start(text: str, outcome: str | None) -> None:
    assert opt_keyword(text, STOP_WORDS, START_WORDS) == outcome
