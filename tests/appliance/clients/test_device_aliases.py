"""Device aliases: a client of the hosted API keeps the device id that it has there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.clients.authentication import Authenticator
from appliance.clients.credentials import Credentials
from appliance.clients.rate_limit import Limiter
from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.domain.errors import ApiError
from appliance.domain.requests import HistoryFilter
from appliance.messaging.tracking import Tracking
from appliance.store import clients, devices
from appliance.store.database import Database
from modem.driver.device import ModemDriver
from modem.timeouts import SerialLine
from tests.appliance.conftest import START, Stage
from tests.manual_clock import ManualClock

HOSTED = "device_998877"


@pytest.fixture
async def authenticator(db: Database) -> Authenticator:
    for imei in ("860123456789012", "860123456789013"):
        await db.write(devices.known, imei, "Modem", False, START)
    clock = ManualClock(START)
    return Authenticator(Credentials(db), clock, db, Limiter(clock, 0, 0))


async def test_an_alias_names_a_device_for_its_client_only(
    db: Database, authenticator: Authenticator
) -> None:
    one, two = await db.write(clients.add_key, 1, START), await db.write(clients.add_key, 2, START)
    with pytest.raises(ApiError, match="INVALID_DEVICE_ID"):
        await authenticator.authenticate(one.key, "client_1", HOSTED)
    assert await db.write(devices.set_alias, 1, HOSTED, 2)
    caller = await authenticator.authenticate(one.key, "client_1", HOSTED)
    assert caller.device_id == "device_2"
    assert (
        await authenticator.authenticate(one.key, "client_1", "device_1")
    ).device_id == "device_1"
    with pytest.raises(ApiError, match="INVALID_DEVICE_ID"):
        await authenticator.authenticate(two.key, "client_2", HOSTED)
    assert await db.write(devices.remove_alias, 1, HOSTED)
    with pytest.raises(ApiError, match="INVALID_DEVICE_ID"):
        await authenticator.authenticate(one.key, "client_1", HOSTED)


async def test_an_alias_comes_before_a_device_of_the_same_id(
    db: Database, authenticator: Authenticator
) -> None:
    """The hosted account may have had device_1, which is another modem here."""
    key = await db.write(clients.add_key, 1, START)
    await db.write(devices.set_alias, 1, "device_1", 2)
    assert (
        await authenticator.authenticate(key.key, "client_1", "device_1")
    ).device_id == "device_2"


async def test_an_alias_opens_no_modem_of_another_client(
    db: Database, authenticator: Authenticator
) -> None:
    key = await db.write(clients.add_key, 1, START)
    await db.write(devices.set_alias, 1, HOSTED, 2)
    await db.write(devices.assign, 2, [2])
    with pytest.raises(ApiError, match="INVALID_DEVICE_ID"):
        await authenticator.authenticate(key.key, "client_1", HOSTED)


async def test_a_test_key_may_use_the_alias_of_its_client(
    db: Database, authenticator: Authenticator
) -> None:
    key = await db.write(clients.add_key, 1, START, test=True)
    await db.write(devices.set_alias, 1, HOSTED, 2)
    assert (await authenticator.authenticate(key.key, "client_1", HOSTED)).device_id == "device_2"


async def test_an_alias_filters_the_history(stage: Stage, tmp_path: Path) -> None:
    for imei in ("860123456789012", "860123456789013"):
        await stage.db.write(devices.known, imei, "Modem", False, START)
    await stage.take(device=1)
    wanted = await stage.take(device=2)
    await stage.db.write(devices.set_alias, 1, HOSTED, 2)
    box = Context(Config(), ManualClock(START), stage.db, stage.ids, Encryption(tmp_path / "key"))
    key = await stage.db.write(clients.add_key, 1, START)
    clock = ManualClock(START)
    authenticator = Authenticator(Credentials(stage.db), clock, stage.db, Limiter(clock, 0, 0))
    caller = await authenticator.authenticate(key.key, "client_1", None)
    found = await Tracking(box).history(caller, HistoryFilter(device_id=HOSTED))
    assert [one.message_id for one in found.messages] == [(await stage.view(wanted)).message_id]
    assert not (await Tracking(box).history(caller, HistoryFilter(device_id="device_7"))).messages


async def test_aliases_of_the_settings_follow_the_settings(stage: Stage, tmp_path: Path) -> None:
    await stage.db.write(devices.known, "860123456789012", "Modem", False, START)
    await stage.db.write(devices.set_alias, 1, "by-hand", 1)
    box = Context(Config(), ManualClock(), stage.db, stage.ids, Encryption(tmp_path / "key"))
    settings = ModemSettings(aliases=(f"client_1={HOSTED}", "client_2=x=y"))
    attached = Attached(box, settings, ModemDriver(SerialLine("/nowhere")), test=False)
    await stage.db.write(devices.set_configured_aliases, 1, attached.aliases)
    assert await stage.db.read(devices.aliases, 1) == [(1, "by-hand"), (1, HOSTED), (2, "x=y")]
    await stage.db.write(devices.set_configured_aliases, 1, ())
    assert await stage.db.read(devices.aliases, 1) == [(1, "by-hand")]
    await stage.db.write(devices.set_online, 1, False, START)
    assert await stage.db.write(devices.remove, 1)
    assert await stage.db.read(devices.aliases, 1) == []


async def test_the_command_line_sets_shows_and_removes_an_alias(
    db: Database, authenticator: Authenticator
) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["device", *words, "--data", str(db.path.parent)])
        return done.exit_code, done.output

    assert run("alias", "device_2", HOSTED, "--client", "client_1")[0] == 0
    key = await db.write(clients.add_key, 1, START)
    assert (await authenticator.authenticate(key.key, "client_1", HOSTED)).device_id == "device_2"
    listed = json.loads(run("list", "--json")[1])
    assert [one["aliases"] for one in listed] == [[], [f"client_1={HOSTED}"]]
    assert run("alias", "device_9", HOSTED, "--client", "client_1")[0] != 0
    assert run("alias", "device_2", "with blanks", "--client", "client_1")[0] == 2
    assert run("unalias", HOSTED, "--client", "client_1")[0] == 0
    assert run("unalias", HOSTED, "--client", "client_1")[0] != 0
