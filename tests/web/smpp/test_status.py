"""Every error of the box has its SMPP status, as docs/smpp.md says."""

from __future__ import annotations

from appliance.core.config import SmppSettings
from tests.docs.test_tables import rows
from web.smpp.reading import STATES
from web.smpp.status import STATUS_OF, CommandStatus, status_of


def test_the_documented_statuses_are_those_of_the_code() -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows("smpp", "Answers", 3)}
    assert documented == {code: status.name for code, status in STATUS_OF.items()}


def test_the_documented_states_are_those_of_the_code() -> None:
    documented = {row[0].strip("`"): int(row[1]) for row in rows("smpp", "Receipts", 3)}
    assert documented == {word: state.value for state, word in STATES.items() if word != "ACCEPTD"}


def test_an_error_without_a_row_is_a_refusal() -> None:
    assert status_of("INVALID_WEBHOOK_URL") is CommandStatus.ESME_RSUBMITFAIL


def test_the_server_is_off_as_shipped() -> None:
    assert (SmppSettings().listen, SmppSettings().tls_listen) == ("", "")
