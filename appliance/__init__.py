"""The gateway: takes messages, keeps them, sends them, and tells the truth about each."""

__version__ = "0.1.0"
