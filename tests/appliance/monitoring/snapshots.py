"""Snapshots of modems for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from appliance.devices.snapshot import ModemSnapshot
from modem.interface import ModemState, ModemStatus

_OF_THE_BOX = set(ModemSnapshot.__struct_fields__)


def modem(
    state: ModemState = ModemState.READY, name: str = "Modem", **fields: Any
) -> ModemSnapshot:
    """A modem with these fields of its status or of the box."""
    status = {key: value for key, value in fields.items() if key not in _OF_THE_BOX}
    of_box = {key: value for key, value in fields.items() if key in _OF_THE_BOX}
    return ModemSnapshot(name, ModemStatus(state, **status), **of_box)
