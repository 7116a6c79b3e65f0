"""The simulated mobile network: message centre, handsets, journal."""
