"""The modem driver: start-up, sending, receiving, health and recovery."""
