"""Webhooks: registration, delivery, and where they may be sent."""
