"""Measurements on the simulated modem for `scripts/bench`; the tests run a short form."""
