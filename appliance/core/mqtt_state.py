"""What the box knows about its connection to the MQTT broker."""

from __future__ import annotations

import msgspec


class MqttState(msgspec.Struct):
    """The connection now, and counts since the start; for the page and /metrics."""

    broker: str  # "host:port"
    connected: bool = False
    since: float = 0.0  # monotonic: when it was connected or lost
    problem: str = ""  # why the last attempt failed
    connections: int = 0
    published: int = 0  # events that the broker has
    accepted: int = 0
    refused: int = 0
    given_up: int = 0  # events that were too many for a broker that is away
