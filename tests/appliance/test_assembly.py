"""The box starts, counts its starts, and stops completely although one of its legs fails."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from appliance.assembly import Assembly
from appliance.core.config import Config, ModemSettings
from appliance.core.lock import DataLock
from appliance.devices.attached import Attached
from modem.driver.device import ModemDriver
from modem.interface import ReceivedPdu
from modem.timeouts import SerialLine


class Jammed(ModemDriver):
    async def stop(self) -> None:
        await super().stop()
        raise OSError("the port does not close")


async def test_a_leg_that_cannot_stop_leaves_no_lock_and_no_thread(tmp_path: Path) -> None:
    box = await Assembly.build(tmp_path, Config())
    modem = Jammed(SerialLine("/nowhere"))
    box.devices.attached.append(Attached(box.box, ModemSettings(), modem, test=False))
    with pytest.raises(OSError, match="does not close"):
        await box.stop()
    with DataLock(tmp_path).held():
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await box.box.db.write(lambda db: None)
    await box.webhooks.close()


async def test_reports_received_before_a_stop_are_recorded(tmp_path: Path) -> None:
    """A direct report is said once: nobody but the box has it."""
    box = await Assembly.build(tmp_path, Config())
    await box.start([ModemSettings(port="/nowhere")])
    (attached,) = box.devices.attached
    assert isinstance(attached.modem, ModemDriver)
    for number in range(300):
        attached.modem.publisher.publish(ReceivedPdu(f"00FF{number:04X}", None, ""))
    await box.stop()
    await box.webhooks.close()
    with contextlib.closing(sqlite3.connect(box.box.db.path)) as db:
        assert db.execute("SELECT COUNT(*) FROM undecodable").fetchone() == (300,)


@pytest.mark.parametrize("left", [None, b""])
async def test_a_missing_database_beside_a_key_file_does_not_create_a_new_box(
    tmp_path: Path, left: bytes | None
) -> None:
    await (await Assembly.build(tmp_path, Config())).stop()
    for file in tmp_path.glob("zimbox.db*"):
        file.unlink()
    if left is not None:
        (tmp_path / "zimbox.db").write_bytes(left)
    with pytest.raises(sqlite3.DatabaseError, match="gone or empty"):
        await Assembly.build(tmp_path, Config())
    (tmp_path / "secret.key").unlink()
    await (await Assembly.build(tmp_path, Config())).stop()


async def test_every_start_is_counted(tmp_path: Path) -> None:
    """Rows of an earlier start are told by the number of it."""
    for _ in range(2):
        box = await Assembly.build(tmp_path, Config())
        await box.start([])
        await box.stop()
        await box.webhooks.close()
    with contextlib.closing(sqlite3.connect(box.box.db.path)) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'start'").fetchone() == (2,)
