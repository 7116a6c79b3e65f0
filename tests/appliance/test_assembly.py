"""The box ends whole, whatever breaks in one of its legs."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.assembly import Assembly
from appliance.attached import Attached
from appliance.config import Config, ModemSettings
from appliance.lock import DataLock
from modem.device import Device
from modem.timing import Line


class Jammed(Device):
    async def stop(self) -> None:
        await super().stop()
        raise OSError("the port does not close")


async def test_a_leg_that_cannot_stop_leaves_no_lock_and_no_thread(tmp_path: Path) -> None:
    box = await Assembly.build(tmp_path, Config())
    modem = Jammed(Line("/nowhere"))
    box.devices.attached.append(Attached(box.box, ModemSettings(), modem, test=False))
    with pytest.raises(OSError, match="does not close"):
        await box.stop()
    with DataLock(tmp_path).held():
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await box.box.db.write(lambda db: None)
    await box.webhooks.close()
