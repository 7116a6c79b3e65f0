"""Measurements on the simulated modem for `scripts/bench`; the tests run a short form."""

from pathlib import Path

BASELINE = Path(__file__).with_name("baseline.json")  # checked by tests/web/test_costs.py
