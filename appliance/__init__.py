"""The gateway: accepts, stores, sends and reports messages."""

__version__ = "0.1.0"
