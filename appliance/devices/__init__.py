"""The modems of the box."""
