"""Every problem of the box in one sentence, in both languages, the worst first."""

from __future__ import annotations

import msgspec
import pytest

from appliance.core.config import Balance
from appliance.core.i18n import languages
from appliance.devices.snapshot import ModemSnapshot
from appliance.monitoring.diagnosis import DiagnosisInput, diagnose
from appliance.monitoring.wifi import Wifi
from modem.interface import Fault, FaultKind, Limitation, ModemState, Verdict
from tests.appliance.monitoring.snapshots import modem

READY = modem(signal_dbm=-71)
NO_CREDIT = Fault(Verdict.OWNER, FaultKind.CREDIT, "CMS", 38, "No credit.")
BARRED = Fault(Verdict.AGAIN, FaultKind.NETWORK, "CMS", 8, "Barred.", suspicious=True)


def codes(facts: DiagnosisInput) -> list[str]:
    return [problem.code for problem in diagnose(facts)]


def box(one: ModemSnapshot = READY, **facts: object) -> DiagnosisInput:
    return msgspec.structs.replace(DiagnosisInput(modems=(one,)), **facts)


def test_a_box_that_sends_has_no_problem() -> None:
    assert codes(box()) == []


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("no_modem", DiagnosisInput(modems=())),
        ("modem_offline", box(modem(ModemState.OFFLINE))),
        ("modem_offline", box(modem(ModemState.OFFLINE, port="socket://192.0.2.1:4000"))),
        ("sim_missing", box(modem(ModemState.SIM_MISSING))),
        ("sim_failure", box(modem(ModemState.SIM_FAILURE))),
        ("pin_required", box(modem(ModemState.PIN_REQUIRED, pin_tries_left=3))),
        ("pin_last_try", box(modem(ModemState.PIN_REQUIRED, pin_tries_left=1))),
        ("puk_required", box(modem(ModemState.PUK_REQUIRED))),
        ("no_signal", box(modem(ModemState.SEARCHING))),
        ("searching", box(modem(ModemState.SEARCHING, signal_dbm=-99))),
        ("network_denied", box(modem(ModemState.DENIED, signal_dbm=-70))),
        ("network_denied", box(modem(ModemState.SEARCHING, registration=3))),
        ("no_smsc", box(modem(ModemState.NO_SMSC))),
        ("no_credit", box(msgspec.structs.replace(READY, fault=NO_CREDIT))),
        ("operator_refuses", box(msgspec.structs.replace(READY, fault=BARRED, refused=True))),
        ("balance_low", box(modem(balance=0.4, balance_settings=Balance(low=1.0)))),
        ("undervoltage", box(modem(warning="undervoltage"))),
        ("overvoltage", box(modem(warning="overvoltage"))),
        ("store_full", box(modem(stored=10, storage=10))),
        ("modem_refuses", box(modem(ModemState.REFUSING))),
        *(
            (code, box(modem(limitations=frozenset({limitation}))))
            for code, limitation in (
                ("no_storage", Limitation.NO_STORAGE),
                ("storage_stuck", Limitation.STORAGE_STUCK),
                ("no_reports", Limitation.NO_REPORTS),
                ("modem_restarts", Limitation.RESTARTING),
            )
        ),
        ("limit_per_day", box(msgspec.structs.replace(READY, held_by="per_day"))),
        ("quiet_hours", box(msgspec.structs.replace(READY, held_by="quiet_hours"))),
        ("queue_stuck", box(waiting=3, minutes_without_progress=16.0)),
        ("disk_full", box(disk_free_mib=10)),
        ("disk_low", box(disk_free_mib=100)),
        ("wifi_wrong_password", box(wifi=Wifi("wrong_password", "shop"))),
        ("wifi_not_found", box(wifi=Wifi("not_found", "shop"))),
        ("clock_unknown", box(clock_trusted=False, scheduled=1)),
        ("webhook_failing", box(webhooks_given_up=3)),
        ("mqtt_offline", box(mqtt_minutes=2.0, mqtt_cause="not authorized")),
    ],
)
def test_each_problem_is_reported_in_both_languages(code: str, facts: DiagnosisInput) -> None:
    (problem,) = diagnose(facts)
    assert problem.code == code
    assert problem.text.plain("fr") != problem.text.plain("en")
    for language in languages():
        assert "." not in problem.what.plain(language), "the page shows it as a heading"
        assert problem.text.plain(language).endswith(".")


def test_a_queue_that_a_limit_holds_back_is_not_stuck() -> None:
    held = msgspec.structs.replace(READY, held_by="per_hour")
    assert codes(box(held, waiting=3, minutes_without_progress=40.0)) == ["limit_per_hour"]


def test_an_offline_modem_is_the_only_problem_of_a_stuck_queue() -> None:
    away = modem(ModemState.OFFLINE)
    assert codes(box(away, waiting=3, minutes_without_progress=40.0)) == ["modem_offline"]


def test_of_a_modem_behind_a_serial_server_the_network_is_to_be_checked() -> None:
    (problem,) = diagnose(box(modem(ModemState.OFFLINE, port="socket://192.0.2.1:4000")))
    assert "ser2net" in problem.text.plain("en")
    assert "serveur série" in problem.text.plain("fr")


def test_problems_that_stop_sending_come_first() -> None:
    weak = modem(ModemState.SIM_MISSING, warning="undervoltage")
    assert codes(box(weak, disk_free_mib=100, clock_trusted=False)) == [
        "sim_missing",
        "undervoltage",
        "disk_low",
        "clock_unknown",
    ]


def test_two_modems_with_the_same_problem_are_one_problem() -> None:
    away = modem(ModemState.OFFLINE, "a")
    assert codes(DiagnosisInput(modems=(away, msgspec.structs.replace(away, name="b")))) == [
        "modem_offline"
    ]


def test_of_two_modems_the_one_with_the_problem_is_named() -> None:
    away = modem(ModemState.OFFLINE, "SIM800C")
    locked = modem(ModemState.PIN_REQUIRED, "EC25", pin_tries_left=2)
    (problem,) = diagnose(DiagnosisInput(modems=(READY, away)))
    assert problem.text.plain("fr").startswith("Le modem ne répond pas (SIM800C) : vérifiez")
    assert problem.text.plain("en").startswith("The modem does not answer (SIM800C): check")
    both = diagnose(DiagnosisInput(modems=(away, locked)))
    assert all(
        name in p.text.plain("fr") for p, name in zip(both, ("(SIM800C)", "(EC25)"), strict=True)
    )
    assert codes(DiagnosisInput(modems=(READY, away, msgspec.structs.replace(away, name="b")))) == [
        "modem_offline"
    ]


@pytest.mark.parametrize("state", ModemState)
def test_every_problem_of_a_modem_can_carry_its_name(state: ModemState) -> None:
    troubled = modem(state, "EC25", fault=BARRED, warning="hot", held_by="per_day")
    for problem in diagnose(DiagnosisInput(modems=(READY, troubled))):
        assert problem.text.plain("fr").count("(EC25) :") == 1
        assert problem.text.plain("en").count("(EC25):") == 1
