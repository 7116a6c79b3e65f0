"""The AT commands that the simulated modem answers."""
