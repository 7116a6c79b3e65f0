"""A simulated modem: AT commands on a pseudo-terminal, with a SIM, a network and phones."""

from modem.simulator.personalities import EVERY as PERSONALITIES
from modem.simulator.settings import Settings
from modem.simulator.simulator import Simulator

__all__ = ["PERSONALITIES", "Settings", "Simulator"]
