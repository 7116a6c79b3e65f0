"""Monitoring: dashboard, diagnosis, metrics."""
