"""A refusal by the network concerns a number or the SIM; only the second stops the queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.context import Context
from appliance.core.config import Config, ModemSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.store import archive
from appliance.store.database import Database
from appliance.store.queue import NothingReady
from modem.driver.device import ModemDriver
from modem.error_codes import lookup
from modem.interface import ModemState, Outcome, Verdict
from modem.timeouts import SerialLine
from tests.appliance.conftest import NUMBER, Stage
from tests.manual_clock import ManualClock

BARRED = Outcome(Verdict.OWNER, fault=lookup.cms(8))
NO_SIM = Outcome(Verdict.OWNER, fault=lookup.cms(310))
TAKEN = Outcome(Verdict.TAKEN, 7)
OTHER = "+33698765432"


@pytest.fixture
async def attached(db: Database, tmp_path: Path) -> Attached:
    box = Context(
        Config(), ManualClock(), db, await db.read(archive.marks), Encryption(tmp_path / "key")
    )
    return Attached(box, ModemSettings(), ModemDriver(SerialLine("/nowhere")), test=False)


def test_one_barred_number_does_not_stop_the_modem(attached: Attached) -> None:
    clock = ManualClock()
    assert attached.learn(BARRED, NUMBER, clock).verdict is Verdict.OWNER
    assert not attached.resting(clock)
    assert attached.barred and attached.rest_reason is not None, "the page says so all the same"
    attached.learn(TAKEN, OTHER, clock)
    # The SIM may write to others: from now on the refusals count as tries of this number's own.
    again = attached.learn(BARRED, NUMBER, clock)
    assert (again.verdict, again.fault) == (Verdict.AGAIN, BARRED.fault)
    assert not attached.resting(clock) and not attached.barred


def test_two_barred_numbers_in_a_row_are_a_barred_sim(attached: Attached) -> None:
    clock = ManualClock()
    attached.learn(BARRED, NUMBER, clock)
    attached.learn(BARRED, OTHER, clock)
    assert attached.resting(clock)
    attached.awake()
    assert not attached.resting(clock) and not attached.barred


def test_a_sim_that_is_missing_stops_the_modem_at_once(attached: Attached) -> None:
    clock = ManualClock()
    attached.learn(NO_SIM, NUMBER, clock)
    assert attached.resting(clock)


def test_only_a_modem_that_was_offline_is_tried_again_after_a_bar(attached: Attached) -> None:
    """It hops between GSM and LTE all day: no reason to try a barred SIM again each time."""
    clock = ManualClock()
    assert isinstance(attached.modem, ModemDriver)
    attached.modem.publisher.update(ModemState.READY)
    attached.changed(ModemState.READY, clock)
    attached.learn(NO_SIM, NUMBER, clock)
    attached.modem.publisher.update(technology="LTE")
    attached.changed(ModemState.READY, clock)
    assert attached.resting(clock)
    attached.changed(ModemState.SEARCHING, clock)  # told late: by now it is back
    assert not attached.resting(clock)


def test_a_number_served_again_after_a_bar_is_an_ordinary_one(attached: Attached) -> None:
    clock = ManualClock()
    for outcome, number in ((BARRED, NUMBER), (TAKEN, OTHER), (TAKEN, NUMBER)):
        attached.learn(outcome, number, clock)
    assert attached.learn(BARRED, NUMBER, clock).verdict is Verdict.OWNER


async def test_a_refused_part_waits_behind_the_others(stage: Stage) -> None:
    first = await stage.take()
    second = await stage.take(recipient=OTHER)
    await stage.record(await stage.must_claim(), BARRED)
    job = await stage.must_claim()
    assert job.message == second
    await stage.record(job, TAKEN)
    assert isinstance(await stage.claim(), NothingReady)
    stage.now += stage.rules.behind_ms
    assert (await stage.must_claim()).message == first


async def test_a_barred_number_alone_fails_with_the_network_s_error(stage: Stage) -> None:
    number = await stage.take()
    for _ in range(3):
        await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=BARRED.fault))
        stage.now += 3_600_000
    view = await stage.view(number)
    assert view.status == "failed"
    assert view.error is not None and (view.error.source, view.error.number) == ("CMS", 8)
