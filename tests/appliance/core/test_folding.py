"""Texts are folded for searching."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.folding import fold


@pytest.mark.parametrize(
    ("one", "other"),
    [("COMMANDE", "commande"), ("Élève", "eleve"), ("straße", "STRASSE"), ("ﬁn", "fin")],
)
def test_folding_makes_equal_what_a_person_calls_equal(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
