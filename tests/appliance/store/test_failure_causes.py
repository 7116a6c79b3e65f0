"""Causes of failures: the API's codes for a modem's faults, and texts that are stored and read back."""

from __future__ import annotations

from appliance.core.i18n import Text
from appliance.store.failure_causes import (
    FAILURE_CODES,
    NO_ANSWER,
    fault_cause,
    fault_text,
    stored_cause,
)
from modem.error_codes import lookup
from modem.interface import FaultKind


def test_every_kind_of_fault_has_a_code_of_the_api() -> None:
    assert set(FAILURE_CODES) == set(FaultKind)


def test_a_modem_s_own_words_are_kept_in_the_translation() -> None:
    fault = lookup.words("+CMS ERROR: frobnication {denied}")
    assert fault is not None
    text = fault_text(fault)
    assert text.plain("en") == str(fault)
    assert text.plain("fr") == ("Le modem a refusé avec le message : « frobnication {denied} ».")


def test_an_unlisted_number_is_shown_in_every_language() -> None:
    text = fault_text(lookup.cms(409))
    assert "409" in text.plain("fr") and "409" in text.plain("en")


def test_a_fault_is_read_back_as_it_was_stored() -> None:
    found = stored_cause(fault_cause(lookup.cms(42)))
    assert (found.source, found.number) == ("CMS", 42)
    assert found.text == Text("The network is overloaded.")


def test_a_cause_of_the_box_has_a_text_and_no_number() -> None:
    found = stored_cause(NO_ANSWER)
    assert found.text is not None and found.text.plain("fr").startswith("Le message")
    assert (found.source, found.number) == (None, None)


def test_a_message_without_a_stored_cause_has_an_empty_one() -> None:
    assert stored_cause(None).text is None
    assert fault_cause(None) is None
