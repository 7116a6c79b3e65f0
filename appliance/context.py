"""What all legs share: settings, clock, store, ids, wake-up events."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from appliance.clients.credentials import Credentials
from appliance.core.clock import Clock
from appliance.core.config import Config
from appliance.core.encryption import Encryption
from appliance.core.free_space import FreeSpace
from appliance.core.mqtt_state import MqttState
from appliance.core.wakeup import WakeupEvents
from appliance.domain.ids import Ids
from appliance.domain.phone_numbers import NumberReader, region
from appliance.store.clock_jumps import ClockJumps
from appliance.store.database import Database
from appliance.store.queue import SendingRules


class Context:
    """What all legs share. The state of messages is in the store, not here."""

    def __init__(
        self, config: Config, clock: Clock, db: Database, new_ids: Ids, encryption: Encryption
    ) -> None:
        self.config = config
        self.clock = clock
        self.db = db
        self.ids = new_ids
        self.encryption = encryption
        self.wakeups = WakeupEvents()
        self.clock_jumps = ClockJumps(clock, db)
        self.mqtt: MqttState | None = None
        if config.mqtt.host:
            broker = f"{config.mqtt.host}:{config.mqtt.port}"
            self.mqtt = MqttState(broker, since=clock.monotonic())
        self.credentials = Credentials(db)
        self.free_space = FreeSpace(db.path.parent, clock)
        self.zone = ZoneInfo(config.time_zone)
        self.numbers = NumberReader(region("", config.time_zone), national=config.national_numbers)
        self.rules = SendingRules(
            zone=self.zone,
            first_backoff_seconds=config.sending.first_backoff_seconds,
            longest_backoff_seconds=config.sending.longest_backoff_seconds,
            late_grace_ms=round(config.clock.late_grace_minutes * 60_000),
            late_fails=config.clock.late_rule == "fail",
            behind_ms=round(config.sending.probe_minutes * 90_000),  # longer than the modem rests
        )
