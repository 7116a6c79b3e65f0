"""Timed jobs, backups, updates and the clock of the box."""
