"""A modem in software that answers AT on a pseudo-terminal, with SIM, network and phones behind it."""

from modem.simulator.personalities import EVERY as PERSONALITIES
from modem.simulator.settings import Settings
from modem.simulator.simulator import Simulator

__all__ = ["PERSONALITIES", "Settings", "Simulator"]
