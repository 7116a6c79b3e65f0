"""What people type on the page becomes the number they mean, or stays what it was."""

from __future__ import annotations

import pytest

from appliance.admin.phone_numbers import international, region


@pytest.mark.parametrize(
    ("typed", "country", "meant"),
    [
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("06.12.34.56.78", "FR", "+33612345678"),
        ("06\u202f12\u202f34\u202f56\u202f78", "FR", "+33612345678"),
        ("0033 6 12 34 56 78", "FR", "+33612345678"),
        ("+33 (0)6 12 34 56 78", "FR", "+33612345678"),
        ("+33 (0)6 12 34 56 78", None, "+33612345678"),
        ("+41 79 123 45 67", "FR", "+41791234567"),
        ("079 123 45 67", "CH", "+41791234567"),
        ("06 698 1234", "IT", "+39066981234"),  # Italy keeps its 0
        ("20 12 34 56", "DK", "+4520123456"),
        ("(201) 555-0123", "US", "+12015550123"),
    ],
)
def test_a_number_of_the_country_is_that_number(
    typed: str, country: str | None, meant: str
) -> None:
    assert international(typed, country) == meant


@pytest.mark.parametrize(
    ("typed", "country"),
    [
        ("36180", "FR"),  # short codes
        ("02000", "NO"),  # … also where it is a number of the country
        ("06 12 34 56", "FR"),
        ("0612345678", None),
        ("0612345678", "US"),
        ("Appelez 0612345678", "FR"),
        ("0612345678;ext=5", "FR"),
        ("0800 ANNIVERS", "FR"),
        ("", "FR"),
        ("+", "FR"),
        ("+33612345678" * 30, "FR"),
        ("٠٦١٢٣٤٥٦٧٨", "FR"),
    ],
)
def test_what_is_no_number_of_the_country_stays_as_typed(typed: str, country: str | None) -> None:
    assert international(typed, country) == typed


def test_the_country_is_that_of_the_own_number_else_that_of_the_time_zone() -> None:
    assert region("+41791234567", "Europe/Paris") == "CH"
    assert region("", "Europe/Paris") == "FR"
    assert region("", "Europe/Zurich") == "CH"
    assert region("+99999999999", "Indian/Reunion") == "RE"
    assert region("", "UTC") is None
