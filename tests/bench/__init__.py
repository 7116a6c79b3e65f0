"""Measurements on the simulated modem; `scripts/bench` runs them, the tests run a short form of them."""
