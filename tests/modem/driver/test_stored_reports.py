"""Which way a modem hands over delivery reports is found out with the first own message."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from modem.driver.stored_reports import FileReportMemory
from modem.interface import Verdict
from modem.simulator import Settings, Simulator
from modem.simulator.personalities import CHATTY, EC25
from tests.modem.driven import attached, driven, quick
from tests.waiting import eventually

UNANSWERED = "+491515550103"  # accepted, but no report ever comes
IMEI = Settings().imei


@pytest.mark.parametrize("personality", ["ec25", "chatty"])
async def test_a_modem_that_returns_stored_reports_keeps_them_from_then_on(
    tmp_path: Path, personality: str
) -> None:
    memory = FileReportMemory(tmp_path / "reports.json")
    settings = Settings(personality=personality)
    async with driven(tmp_path, settings, reports="auto", report_memory=memory) as box:
        assert (await box.ready()).report_mode == "stored"
        assert memory.stored_reports(IMEI) is None, "it is known only with the first report"
        assert (await box.send()).verdict is Verdict.TAKEN
        await box.reported(1)
        assert memory.stored_reports(IMEI) is True


async def test_a_report_that_comes_while_nobody_listens_is_read_at_the_next_start(
    tmp_path: Path,
) -> None:
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(personality="ec25", report_delay=0.2), journal=journal)
    path = await simulator.start()
    async with attached(path, simulator, journal, reports="auto") as box:
        await box.ready()
        assert (await box.send("before the power cut")).verdict is Verdict.TAKEN
    await eventually(lambda: simulator.journal.counts["report"], "the report has come")
    async with attached(path, simulator, journal, reports="auto") as box:
        await box.reported(1)
    await simulator.stop()


async def test_a_modem_that_announces_reports_it_cannot_show_gives_them_directly_from_then_on(
    tmp_path: Path,
) -> None:
    memory = FileReportMemory(tmp_path / "reports.json")
    journal = tmp_path / "journal"
    simulator = Simulator(Settings(personality="chatty"), journal=journal)
    simulator.equipment.personality = msgspec.structs.replace(CHATTY, reports_unreadable=True)
    path = await simulator.start()
    async with attached(path, simulator, journal, reports="auto", report_memory=memory) as box:
        await box.ready()
        await box.send("the first one shows it")
        await box.until(lambda: box.device.status.report_mode == "direct")
        assert memory.stored_reports(IMEI) is False
        await box.ready()
        await box.send("from then on")
        await box.reported(1)
    async with attached(path, simulator, journal, reports="auto", report_memory=memory) as box:
        assert (await box.ready()).report_mode == "direct", "it is remembered"
    await simulator.stop()


async def test_a_model_known_for_unreadable_reports_is_not_tested(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="sim7600"), reports="auto") as box:
        assert (await box.ready()).report_mode == "direct"
        await box.send()
        await box.reported(1)


@pytest.mark.parametrize("personality", ["sim800", "sim7070", "a7670", "quiet"])
async def test_a_modem_that_stores_no_reports_is_not_asked_to(
    tmp_path: Path, personality: str
) -> None:
    async with driven(tmp_path, Settings(personality=personality), reports="auto") as box:
        assert (await box.ready()).report_mode == "direct"
        await box.send()
        await box.reported(1)


async def test_a_modem_without_a_report_storage_is_asked_for_direct_ones(tmp_path: Path) -> None:
    async with driven(tmp_path, Settings(personality="ec25"), reports="auto", start=False) as box:
        box.simulator.equipment.personality = msgspec.structs.replace(EC25, memories=("SM", "ME"))
        await box.device.start()
        assert (await box.ready()).report_mode == "direct"


async def test_a_modem_that_stores_no_report_in_time_is_asked_for_direct_ones_and_decides_with_one(
    tmp_path: Path,
) -> None:
    memory = FileReportMemory(tmp_path / "reports.json")
    timing = quick(report_test_seconds=0.1, stored_poll_seconds=0.1)
    async with driven(
        tmp_path, Settings(personality="ec25"), timing=timing, reports="auto", report_memory=memory
    ) as box:
        await box.ready()
        await box.send("to somebody without reports", UNANSWERED)
        await box.until(lambda: box.device.status.report_mode == "direct")
        assert memory.stored_reports(IMEI) is None, "perhaps the network sends no reports"
        await box.ready()
        await box.send("to somebody with reports")
        await box.reported(1)
        assert memory.stored_reports(IMEI) is False


def test_a_damaged_memory_counts_as_empty_and_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "reports.json"
    file.write_text('{"860": tr')
    memory = FileReportMemory(file)
    assert memory.stored_reports("860") is None
    memory.remember_stored_reports("860", works=True)
    memory.remember_stored_reports("861", works=False)
    again = FileReportMemory(file)
    assert (again.stored_reports("860"), again.stored_reports("861")) == (True, False)
