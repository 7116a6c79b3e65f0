"""What the owner chose on the page: language, time zone, own number."""

from __future__ import annotations

from sqlite3 import Connection
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
import structlog

from appliance.context import Context
from appliance.core.i18n import Language, _
from appliance.domain import phone_numbers
from appliance.domain.errors import invalid
from appliance.domain.phone_numbers import NumberReader
from appliance.store import admin

log = structlog.get_logger(__name__)


class Preferences(msgspec.Struct, frozen=True):
    """What the owner chose on the page; None: as configured."""

    language: Language | None = None
    time_zone: str | None = None
    own_number: str = ""
    welcomed: bool = False  # the guided first run is over
    smpp: bool | None = None  # whether the SMPP server runs


class AdminPreferences:
    """Keeps the owner's preferences and puts them in force; `current` has them."""

    def __init__(self, box: Context) -> None:
        self._box = box
        self.current = Preferences()

    @property
    def language(self) -> Language:
        """The language of the box: as chosen, else as configured."""
        return self.current.language or self._box.config.language

    async def start(self) -> None:
        """Put stored preferences in force, before the modems start."""
        kept = await self._box.db.read(admin.setting, "preferences", Preferences)
        self._apply(kept or Preferences())

    def _apply(self, wanted: Preferences) -> None:
        self.current = wanted
        if wanted.time_zone is not None:
            try:
                self._box.zone = ZoneInfo(wanted.time_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):  # kept where there were more zones
                log.warning("time_zone_unknown", zone=wanted.time_zone)
            self._box.rules = msgspec.structs.replace(self._box.rules, zone=self._box.zone)
        here = phone_numbers.region(wanted.own_number, str(self._box.zone))
        self._box.numbers = msgspec.structs.replace(self._box.numbers, region=here)

    async def change(self, **changes: object) -> None:
        """Change preferences, in force at once. Raises INVALID_REQUEST, INVALID_PHONE_NUMBER."""
        zone = changes.get("time_zone")
        if zone is not None and zone not in available_timezones():
            raise invalid("time_zone", _("is no time zone"))
        if own := changes.get("own_number"):
            # The country of the zone that comes with it; the number before it may be of another one.
            there = phone_numbers.region("", str(zone or self._box.zone))
            reader = NumberReader(there, national=True)
            changes["own_number"] = reader.read(own, field="own_number")

        def work(db: Connection) -> Preferences:
            kept = admin.setting(db, "preferences", Preferences) or Preferences()
            wanted = msgspec.structs.replace(kept, **changes)
            admin.keep(db, "preferences", wanted)
            return wanted

        self._apply(await self._box.db.write(work))
        self._box.wakeups.changed()
