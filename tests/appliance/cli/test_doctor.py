"""What `zimbox doctor` finds and advises for a simulated modem in different states."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import doctor
from appliance.core.config import SmppSettings
from appliance.monitoring import diagnosis
from modem.driver import probe
from modem.driver.pin_guard import FilePinMemory
from modem.driver.probe import ProbeResult
from modem.interface import ModemState
from modem.simulator import Settings, Simulator
from modem.timeouts import SerialLine

pytestmark = pytest.mark.seconds(10)


async def found(tmp_path: Path, *orders: dict[str, Any], **settings: Any) -> ProbeResult:
    """A look at a simulated modem that was given these orders first."""
    simulator = Simulator(Settings(**settings), journal=tmp_path / "journal")
    path = await simulator.start()
    try:
        for order in orders:
            await simulator.command(order)
        return await probe.examine(SerialLine(path), probe.quick())
    finally:
        await simulator.stop()


def said(findings: ProbeResult) -> dict[str, str]:
    return {f.text.partition(":")[0]: f.grade for f in doctor.advice(findings, time.time())}


@pytest.mark.parametrize("personality", ["sim800", "sim868", "sim7600", "a7670", "ec25"])
async def test_a_healthy_modem_of_each_kind_is_well(tmp_path: Path, personality: str) -> None:
    findings = await found(tmp_path, personality=personality)
    assert findings.error == ""
    assert findings.status.state is ModemState.READY
    assert "bad" not in said(findings).values()


async def test_the_doctor_enters_no_pin(tmp_path: Path) -> None:
    findings = await found(tmp_path, pin="1234")
    assert (findings.status.state, findings.status.pin_tries_left) == (ModemState.PIN_REQUIRED, 3)
    (pin,) = [f for f in doctor.advice(findings, time.time()) if f.grade == "bad"]
    assert pin.text == "The SIM card asks for its PIN: enter it in Settings › SIM (3 tries left)."


async def test_the_doctor_names_a_missing_sim_and_a_missing_network(tmp_path: Path) -> None:
    assert said(await found(tmp_path, {"do": "sim", "present": False}))["No SIM card"] == "bad"
    refused = await found(tmp_path, {"do": "registration", "stat": 3})
    assert said(refused)["The network refuses this SIM card"] == "bad"


@pytest.mark.parametrize(
    ("order", "state"),
    [
        ({"do": "sim", "present": False}, ModemState.SIM_MISSING),
        ({"do": "registration", "stat": 3}, ModemState.DENIED),
        ({"do": "registration", "stat": 2}, ModemState.SEARCHING),
        ({"do": "signal", "rssi": 3}, ModemState.READY),
    ],
)
async def test_the_doctor_and_the_page_name_the_same_problem(
    tmp_path: Path, order: dict[str, Any], state: ModemState
) -> None:
    findings = await found(tmp_path, order)
    assert findings.status.state is state
    (problem,) = diagnosis.of_modem(doctor.snapshot_of(findings))
    assert problem.text.plain("en") in [f.text for f in doctor.advice(findings, time.time())]


async def test_the_doctor_says_what_to_check_at_a_silent_port(tmp_path: Path) -> None:
    findings = await probe.examine(SerialLine(str(tmp_path / "nothing")), probe.quick())
    grades = [f.grade for f in doctor.advice(findings, time.time())]
    assert grades == ["bad", "note"]


async def proven(tmp_path: Path, to: str, **settings: Any) -> list[doctor.Finding]:
    simulator = Simulator(Settings(**settings), journal=tmp_path / "journal")
    path = await simulator.start()
    try:
        return await doctor.prove(path, to, pin="", pin_memory=FilePinMemory(tmp_path / "pin.json"))
    finally:
        await simulator.stop()


async def test_a_real_sms_proves_sending_and_its_report(tmp_path: Path) -> None:
    result = await proven(tmp_path, "+33612345678")
    assert [f.grade for f in result] == ["ok", "ok", "note"]
    assert result[1].text == "the report came: delivered"
    assert "receiving was not tried" in result[2].text


async def test_a_real_sms_that_the_modem_refuses_is_explained_in_its_own_words(
    tmp_path: Path,
) -> None:
    (result,) = await proven(tmp_path, "+33655550121")
    assert result.grade == "bad"
    assert result.text.endswith("The SIM has no credit left: the modem said “no credit”.")


@pytest.mark.parametrize("personality", ["sim800", "sim7600", "ec25", "chatty"])
async def test_an_sms_to_the_own_number_proves_receiving_too(
    tmp_path: Path, personality: str
) -> None:
    result = await proven(tmp_path, "+33612345678", number="+33612345678", personality=personality)
    assert {f.text for f in result[1:]} == {"the report came: delivered", doctor.CAME_BACK}
    assert all(f.grade == "ok" for f in result)


async def test_the_doctor_leaves_the_radio_unchanged(tmp_path: Path) -> None:
    """And everything else: what was set before stands afterwards."""
    simulator = Simulator(Settings(), journal=tmp_path / "journal")
    path = await simulator.start()
    try:
        simulator.equipment.set_function(4)
        before = [*simulator.equipment.modes.cnmi], [*simulator.equipment.modes.memories]
        findings = await probe.examine(SerialLine(path), probe.quick())
        after = [*simulator.equipment.modes.cnmi], [*simulator.equipment.modes.memories]
        assert (simulator.equipment.cfun, after) == (4, before)
    finally:
        await simulator.stop()
    assert not findings.radio_on
    assert said(findings)["radio"] == "note"


async def test_the_doctor_leaves_the_speed_unchanged(tmp_path: Path) -> None:
    simulator = Simulator(Settings(baud=9600, fixed_baud=True), journal=tmp_path / "journal")
    path = await simulator.start()
    try:
        findings = await probe.examine(SerialLine(path), probe.quick())
        assert simulator.equipment.speed == 0, "nobody has set +IPR"
    finally:
        await simulator.stop()
    assert findings.baud == 9600


def test_ports_with_a_stable_name_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "serial" / "by-id").mkdir(parents=True)
    (tmp_path / "ttyUSB2").touch()
    (tmp_path / "ttyAMA0").touch()
    (tmp_path / "serial" / "by-id" / "usb-modem").symlink_to(tmp_path / "ttyUSB2")
    names = [Path(p).name for p in probe.ports(tmp_path)]
    assert names == ["usb-modem", "ttyAMA0"]


async def test_a_serial_server_that_is_not_there_is_named_with_what_to_check() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"socket://127.0.0.1:{nobody.getsockname()[1]}"
        bad, note = await doctor.examine([address])
    assert bad.text.startswith(f"{address}: no modem answers") and "refused" in bad.text
    assert "ser2net" in note.text and "HAT" not in note.text


def test_smpp_is_examined_only_where_it_is_on() -> None:
    assert doctor.examine_smpp(SmppSettings(), has_password=False) == []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = SmppSettings(listen=f"127.0.0.1:{port},127.0.0.1:0", public=True)
        result = doctor.examine_smpp(settings, has_password=False)
        assert [each.grade for each in result] == ["bad", "ok", "note", "note"]
        assert f"cannot listen on 127.0.0.1:{port}" in result[0].text
    quiet = doctor.examine_smpp(SmppSettings(tls_listen="127.0.0.1:0"), has_password=True)
    assert [each.grade for each in quiet] == ["ok"]
