"""Reading the credit from an operator's answer."""

from __future__ import annotations

import pytest

from appliance.devices import balance


@pytest.mark.parametrize(
    ("text", "pattern", "amount"),
    [
        ("Votre solde est de 12,34 EUR", "", 12.34),
        ("Credit: EUR 5.00 valid until 31.12.2026", r"EUR (\d+\.\d+)", 5.0),
        ("Solde 1 234,50 EUR", r"Solde ([\d ,]+) EUR", 1234.5),
        ("Guthaben 1.234,56 EUR", "", 1234.56),
        ("Balance: 1,234.56", "", 1234.56),
        ("Solde: 1.234.567 FCFA", "", 1234567.0),
        ("Solde: 1\u202f234,50 EUR", r"([\d\s,]+) EUR", 1234.5),
        ("Solde: 2500 FCFA. Valable 30 jours.", "", 2500.0),
        ("Service indisponible", "", None),
        ("Credit: ten", r"Credit: (\w+)", None),
        ("no credit", r"(\d+) EUR|no credit", None),
    ],
)
def test_the_balance_is_read_by_the_configured_pattern(
    text: str, pattern: str, amount: float | None
) -> None:
    assert balance.amount(text, pattern) == amount
