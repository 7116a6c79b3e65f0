"""Runs whole boxes."""
