"""What the page says and draws, without a box."""

from __future__ import annotations

from datetime import date
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest

from appliance.core.config import Limits
from appliance.core.i18n import Language, Text, languages
from appliance.devices.snapshot import ModemSnapshot, model_name
from appliance.domain.limits import Usage
from appliance.maintenance.backup import Fault
from appliance.maintenance.bundle import Refused
from appliance.maintenance.update import Result
from appliance.monitoring.dashboard import (
    DayView,
    empties_at,
    local_days,
    local_midnight,
)
from appliance.monitoring.diagnosis import Problem
from appliance.store.counters import HOUR_MS
from appliance.store.dashboard import Figures
from modem.interface import CodeProblem, Identity, ModemState, ModemStatus, UssdProblem
from web.page.chart import HEIGHT, ceiling, draw
from web.page.i18n import BACKUP_FAULTS, PageLanguage, characters, standing
from web.page.live import event
from web.page.messages import number_sought
from web.page.sim import amount_of, quiet_hours
from web.page.status import local

PARIS = ZoneInfo("Europe/Paris")
NOON = 1_768_474_800_000  # 2026-01-15T12:00:00+01:00
MINUTE = 60_000
DAY = 86_400_000


def page_language(language: Language = "fr", zone: ZoneInfo = PARIS) -> PageLanguage:
    return PageLanguage(language, zone)


@pytest.mark.parametrize(
    ("ago", "french", "english"),
    [
        (0, "12:00", "12:00"),
        (DAY, "hier 12:00", "yesterday 12:00"),
        (3 * DAY, "12 janv. 12:00", "12 Jan 12:00"),
        (400 * DAY, "11 déc. 2024 12:00", "11 Dec 2024 12:00"),
    ],
)
def test_times_are_shown_relative_to_now(ago: int, french: str, english: str) -> None:
    assert page_language("fr").when(NOON - ago, NOON) == french
    assert page_language("en").when(NOON - ago, NOON) == english


def test_times_are_shown_in_the_zone_of_the_box() -> None:
    assert page_language(zone=ZoneInfo("Asia/Tokyo")).clock(NOON) == "20:00"


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (1_000, "1 min"),
        (59 * MINUTE, "59 min"),
        (60 * MINUTE, "1 h"),
        (190 * MINUTE, "3 h 10"),
        (3 * DAY, "3 jours"),
    ],
)
def test_durations_are_rounded(milliseconds: int, words: str) -> None:
    assert page_language().lasting(milliseconds) == words


def test_numbers_are_written_as_each_language_writes_them() -> None:
    assert page_language("fr").number(12345) == "12\u202f345"
    assert page_language("en").number(12345) == "12,345"
    assert page_language("fr").percent(98.25) == "98,2\u202f%"
    assert page_language("en").percent(100.0) == "100%"


@pytest.mark.parametrize(
    ("n", "french", "english"),
    [
        (0, "0 message", "0 messages"),
        (1, "1 message", "1 message"),
        (2, "2 messages", "2 messages"),
    ],
)
def test_none_is_singular_in_french_and_plural_in_english(
    n: int, french: str, english: str
) -> None:
    forms = ("{n} message", "{n} messages", n)
    assert page_language("fr").ngettext(*forms) == french
    assert page_language("en").ngettext(*forms) == english


def test_invisible_characters_are_named_by_their_code() -> None:
    assert characters("é\u202e\n😀") == "é U+202E U+000A 😀"


# --- the chart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "top"), [(1, 1), (5, 5), (6, 10), (11, 20), (201, 500)])
def test_a_scale_ends_at_a_round_number(most: int, top: int) -> None:
    assert ceiling(most) == top


def test_bars_of_the_chart_fit_the_scale() -> None:
    days = [
        DayView("2026-01-01", Figures()),
        DayView("2026-01-02", Figures(queued=3, sent=2, delivered=90, failed=8)),
        DayView("2026-01-03", Figures(delivered=1)),
    ]
    chart = draw(days)
    assert chart.most == 100 and chart.total == 101 and chart.failed == 8
    empty, full, one = chart.bars
    assert empty.delivered[1] == empty.sent[1] == empty.failed[1] == 0
    assert full.delivered == (round(HEIGHT * 0.1, 2), round(HEIGHT * 0.9, 2))
    assert full.failed[0] >= 0
    assert one.delivered[1] >= 1.5, "one message of many days is seen"


def test_hours_are_added_up_to_local_days() -> None:
    midnight = local_midnight(date(2026, 1, 15), PARIS)
    hours = {midnight - HOUR_MS: Figures(failed=1), midnight: Figures(sent=2, delivered=3)}
    days = local_days(hours, NOON, PARIS)
    assert len(days) == 30
    assert days[-1] == DayView("2026-01-15", Figures(0, 2, 3, 0))
    assert days[-2] == DayView("2026-01-14", Figures(0, 0, 0, 1))


# --- figures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dbm", "shown"), [(None, 0), (-113, 0), (-105, 1), (-95, 2), (-85, 3), (-60, 4)]
)
def test_a_signal_is_shown_as_a_telephone_shows_it(dbm: int | None, shown: int) -> None:
    assert ModemSnapshot("", ModemStatus(ModemState.READY, signal_dbm=dbm)).bars == shown


def test_models_have_their_common_names() -> None:
    def name(manufacturer: str, model: str) -> str:
        return model_name(ModemStatus(ModemState.READY, identity=Identity("", manufacturer, model)))

    assert name("SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H") == "SIM7600E-H"
    assert name("Quectel", "EC25") == "EC25"
    assert name("", "") == ""


def test_the_queue_empties_at_the_measured_pace() -> None:
    free = [(Limits(per_minute=0), Usage())]
    assert empties_at(0, [4.0], free, NOON, PARIS) is None
    assert empties_at(10, [], [], NOON, PARIS) is None, "no modem is ready"
    assert empties_at(10, [4.0], free, NOON, PARIS) == NOON + 40_000
    assert empties_at(10, [4.0, 4.0], free * 2, NOON, PARIS) == NOON + 20_000


def test_the_queue_empties_within_the_limits_and_after_the_quiet_hours() -> None:
    def at(limits: Limits, parts: int = 10) -> int | None:
        return empties_at(parts, [1.0], [(limits, Usage())], NOON, PARIS)

    assert at(Limits(per_minute=5)) == NOON + 2 * MINUTE
    assert at(Limits(per_minute=0, per_hour=5)) == NOON + 2 * HOUR_MS
    assert at(Limits(per_minute=0, per_hour=10)) == NOON + 10_000
    assert at(Limits(per_minute=0, per_day=9)) is None
    assert at(Limits(per_minute=0, quiet_hours=("11:00-13:00",))) == NOON + HOUR_MS + 10_000


# --- what comes in through addresses and forms -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+33 6 12 34 56 78", "+33612345678"),
        (" 33612345678", "+33612345678"),
        ("8080", "8080"),
        ("", None),
        ("abc", None),
    ],
)
def test_a_number_is_searched_in_its_stored_form(text: str, found: str | None) -> None:
    assert number_sought(text) == found


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", []),
        ("21:30-07:00", ["21:30-07:00"]),
        (" 21:30 - 7:00 ", None),
        ("12:00-13:00, 22:00-06:30", ["12:00-13:00", "22:00-06:30"]),
        ("22:00", None),
        ("22:00-22:00", None),
    ],
)
def test_quiet_hours_are_read_as_they_are_written(text: str, spans: list[str] | None) -> None:
    assert quiet_hours(text) == spans


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/messages?status=failed", "/messages?status=failed"),
        ("//example.com", "/"),
        ("https://example.com", "/"),
        ("/\\example.com", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_a_return_address_stays_on_the_box(path: str, safe: str) -> None:
    assert local(path) == safe


def test_an_event_of_the_stream_cannot_be_broken_by_a_text() -> None:
    result = event("latest", "<p>a\r\n\nevent: bad\ndata: x</p>").decode()
    assert result == "event: latest\ndata: <p>a\ndata: event: bad\ndata: data: x</p>\n\n"


# --- updates and restores ----------------------------------------------------------------------------


@pytest.mark.parametrize("language", languages())
def test_every_outcome_of_an_update_has_words_of_its_own(language: Language) -> None:
    codes = [*get_args(Refused), "UPDATED", "RESTARTING", "ROLLED_BACK", "CUT_OFF", "NO_KEY"]
    result = {page_language(language).outcome(code, "kept") for code in codes}
    assert len(result) == len(codes)
    unknown = page_language(language).outcome("SOMETHING_ELSE", "kept")
    assert unknown and unknown not in result
    restored = page_language(language).outcome("ROLLED_BACK", "restored")
    assert restored.startswith(page_language(language).outcome("ROLLED_BACK", "kept"))


def test_every_fault_of_a_backup_has_words() -> None:
    assert set(BACKUP_FAULTS) == set(get_args(Fault))


@pytest.mark.parametrize(
    ("running", "step", "code"),
    [("2", "", "UPDATED"), ("1", "", "NOT_STARTED"), ("1", "watching", "RESTARTING")],
)
def test_a_new_root_is_judged_by_what_runs_after_the_restart(
    running: str, step: str, code: str
) -> None:
    assert standing(Result(True, "RESTARTING", "", "2"), running, step) == code


@pytest.mark.parametrize("language", languages())
def test_every_reason_of_a_modem_has_a_text_of_its_own(language: Language) -> None:
    spoken = page_language(language)
    refusals = {spoken.code_refused(problem) for problem in CodeProblem}
    silences = {spoken.no_ussd_answer(problem) for problem in UssdProblem}
    assert (len(refusals), len(silences)) == (len(CodeProblem), len(UssdProblem))
    assert all(text.endswith(".") for text in refusals | silences)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("", 0.0),
        ("2", 2.0),
        ("2,50", 2.5),
        (" 2.5 ", 2.5),
        ("-1", None),
        ("2 €", None),
        ("nan", None),
    ],
)
def test_an_amount_is_read_as_people_write_it(text: str, amount: float | None) -> None:
    assert amount_of(text) == amount


def test_an_amount_is_written_as_people_write_it() -> None:
    assert (page_language("fr").amount(2.5), page_language("en").amount(2.0)) == ("2,50", "2")


def test_the_first_line_says_first_what_is_wrong_and_no_line_begins_with_a_colon() -> None:
    problem = Problem("x", "bad", Text("No signal"), Text("enter it in Settings › SIM."))
    french, english = page_language("fr"), page_language("en")
    assert french.say(problem.text_after_what) == "\u00a0: saisissez-le dans Réglages\u00a0› SIM."
    assert english.say(problem.text_after_what) == ": enter it in Settings\u00a0› SIM."
    named = msgspec.structs.replace(problem, modems="EC25")
    assert french.say(named.text_after_what).startswith(" (EC25)\u00a0: ")
    assert french.say(named.text) == french.say(named.what) + french.say(named.text_after_what)
