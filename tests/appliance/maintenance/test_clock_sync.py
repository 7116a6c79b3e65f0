"""The mobile network sets an unconfirmed clock through the steward's protocol, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Assembly
from appliance.core.config import Config, ModemSettings
from appliance.core.wakeup import WakeupEvents
from appliance.maintenance.clock_sync import (
    REST_SECONDS,
    ClockSync,
    ReportedTime,
    network_now,
    to_be_set,
)
from image.target import steward
from modem.simulator import Settings, Simulator
from tests.manual_clock import ManualClock
from tests.waiting import HANG_SECONDS, eventually

NOW = 1_795_600_000.0
YEAR = 365 * 86400.0


@pytest.mark.parametrize(
    ("before", "last", "found"),
    [
        (None, None, None),
        (None, ReportedTime(NOW, 10), None),
        (ReportedTime(NOW, 10), ReportedTime(NOW + 5, 15), NOW + 10),
        (
            ReportedTime(NOW, 10),
            ReportedTime(NOW + 9, 15),
            NOW + 14,
        ),  # whole seconds and a slow line
        (
            ReportedTime(NOW, 10),
            ReportedTime(NOW + 3600, 15),
            None,
        ),  # a digit was spoilt, or a modem knows another zone
        (ReportedTime(NOW + YEAR, 10), ReportedTime(NOW + 5, 15), None),
        (
            ReportedTime(NOW, 10),
            ReportedTime(NOW + 7200, 7210),
            NOW + 7205,
        ),  # told once an hour or so
    ],
)
def test_two_agreeing_network_times_are_trusted(
    before: ReportedTime | None, last: ReportedTime | None, found: float | None
) -> None:
    assert network_now(before, last, last.at + 5 if last else 0) == found


@pytest.mark.parametrize(
    ("network", "kept", "trusted", "seen", "wanted"),
    [
        (NOW + YEAR, False, False, 0, True),
        (NOW + YEAR, True, True, 0, False),  # a time server or a clock chip keeps it
        (NOW + 60, False, False, 0, False),  # ours is right: hearing it is enough
        (NOW - 3600, False, False, NOW - 7200, True),
        (NOW - 3600, False, False, NOW - 1800, False),  # messages were taken after that
        (NOW + 130, False, True, 0, True),  # it has drifted since
        (NOW + 900, False, True, 0, False),  # … but not by a zone
        (NOW + 130, True, True, 0, False),
    ],
)
def test_only_an_unconfirmed_clock_is_set_and_never_before_a_known_time(
    network: float, kept: bool, trusted: bool, seen: float, wanted: bool
) -> None:
    assert to_be_set(network, NOW, kept=kept, trusted=trusted, seen=seen) is wanted


class Board(ManualClock):
    """A clock without a chip: believed once the network's time agrees, as `SystemClock` does."""

    def compare_network_time(self, epoch: float) -> None:
        super().compare_network_time(epoch)
        self.trusted = self.trusted or abs(epoch - self.now() / 1000) <= 120


class Office:
    """A steward's socket in this process: takes requests down, sets the board's clock or refuses."""

    def __init__(self, board: Board, path: Path) -> None:
        self.board, self.path = board, path
        self.asked: list[dict[str, Any]] = []
        self.refuses = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Office]:
        server = await asyncio.start_unix_server(self._serve, self.path)
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        output: list[dict[str, Any]] = []
        steward.answer(line, output.append, {"set-time": self._set_time})
        writer.write(b"".join(json.dumps(what).encode() + b"\n" for what in output))
        writer.close()

    def _set_time(self, request: Any, progress: steward.Progress) -> None:
        self.asked.append(dict(request))
        if self.refuses:
            raise steward.VerbRefused("BAD_TIME", "that is before the last time that was known")
        self.board.step(round((request["epoch"] - self.board.now() / 1000) * 1000))


@pytest.fixture
def board() -> Board:
    return Board(round((NOW - YEAR) * 1000), trusted=False)


@pytest.fixture
def office(board: Board, tmp_path: Path) -> Office:
    return Office(board, tmp_path / "steward.sock")


def keeper(office: Office, seen: float = 0.0) -> ClockSync:
    return ClockSync(office.board, WakeupEvents(), lambda: seen, office.path)


def tell_twice(one: ClockSync, epoch: float) -> None:
    one.network_time(epoch)
    one.network_time(epoch)


async def test_a_clock_a_year_behind_is_set_once_and_then_trusted(office: Office) -> None:
    async with office.open():
        one = keeper(office)
        one.network_time(NOW)
        assert not await one.check()
        office.board.advance(2)
        one.network_time(NOW + 2)
        office.board.advance(1)
        assert await one.check()
        assert office.asked == [{"verb": "set-time", "epoch": NOW + 3, "at": 3.0}]
        assert office.board.now() == round((NOW + 3) * 1000)
        assert office.board.trusted
        tell_twice(one, NOW + 3)
        assert not await one.check()


async def test_the_steward_is_not_asked_while_another_source_keeps_the_clock(
    office: Office,
) -> None:
    async with office.open():
        office.board.kept = True
        one = keeper(office)
        tell_twice(one, NOW)
        assert not await one.check()
        assert office.asked == []


async def test_a_clock_that_only_the_network_has_set_and_that_drifts_is_set_again(
    office: Office,
) -> None:
    """No chip, no time server: months of running are minutes off."""
    async with office.open():
        one = keeper(office)
        tell_twice(one, NOW)
        assert await one.check() and office.board.trusted
        office.board.advance(86_400)
        office.board.step(-130_000)
        tell_twice(one, NOW + 86_400)
        assert await one.check()
        assert office.board.now() == round((NOW + 86_400) * 1000)
        assert len(office.asked) == 2


async def test_a_refused_clock_stays_untrusted_and_is_requested_again_later(office: Office) -> None:
    office.refuses = True
    async with office.open():
        one = keeper(office)
        running = asyncio.create_task(one.run())
        tell_twice(one, NOW)
        await eventually(lambda: len(office.asked) >= 1, "len(office.asked) < 1")
        tell_twice(one, NOW)  # no reason to ask sooner
        await asyncio.sleep(0.05)  # a second request would arrive by now
        assert (len(office.asked), office.board.trusted) == (1, False)
        office.refuses = False
        office.board.advance(REST_SECONDS)
        await eventually(lambda: office.board.trusted, "not office.board.trusted")
        running.cancel()
    assert [request["epoch"] for request in office.asked] == [NOW, NOW + REST_SECONDS]


async def test_a_box_without_a_steward_works_with_an_untrusted_clock(office: Office) -> None:
    one = keeper(office)
    tell_twice(one, NOW)
    assert await one.check()  # asked, in vain
    assert not office.board.trusted


async def test_from_the_network_through_modem_and_gateway_to_the_steward(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.maintenance.steward_client.SOCKET", office.path)
    simulator = Simulator(Settings(personality="sim868"), link=tmp_path / "modem")
    port = await simulator.start()
    box = await Assembly.build(tmp_path / "data", Config(), office.board)
    async with office.open():
        await box.start([ModemSettings(port=port)])
        try:
            await asyncio.wait_for(box.devices.attached[0].been_online.wait(), HANG_SECONDS)
            assert office.asked == []
            result = datetime.fromtimestamp(NOW, UTC).isoformat()
            await simulator.command({"do": "time", "at": result})
            await eventually(lambda: office.board.trusted, "not office.board.trusted")
        finally:
            await box.stop()
            await simulator.stop()
    assert [request["verb"] for request in office.asked] == ["set-time"]
    assert office.board.now() / 1000 == pytest.approx(NOW, abs=30)
