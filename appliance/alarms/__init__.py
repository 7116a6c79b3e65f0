"""Alarms to the owner; imported only when they are set up."""
