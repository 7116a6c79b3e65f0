"""The control socket of the simulator."""
