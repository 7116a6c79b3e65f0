"""Reports whose number, reference or time a network has rewritten: placed where one part is left, else kept."""

from __future__ import annotations

import pytest

from appliance.monitoring import diagnosis
from appliance.monitoring.diagnosis import DiagnosisInput
from appliance.store import reports
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import START, Stage
from tests.appliance.monitoring.snapshots import modem

MINUTE = 60_000
HOUR = 60 * MINUTE
OTHER = "+33698765432"


@pytest.mark.parametrize(
    "sender",
    [
        "+33700000000",
        "0612345678",
        "0033612345678",
        "33612345678",
        "+3361234****",
        "+33612345###",
        "",
        "+",
        "Operator",
        "36180",
    ],
)
async def test_a_report_with_any_number_is_about_the_only_part_with_its_reference(
    stage: Stage, sender: str
) -> None:
    number = await stage.sent(27)
    await stage.report(27, recipient=sender, scts=START + 2000)
    assert await stage.status(number) == "delivered"


async def test_the_second_report_with_a_rewritten_number_is_about_the_same_part(
    stage: Stage,
) -> None:
    number = await stage.sent(27)
    await stage.report(27, 0x30, recipient="+33700000000", scts=START + 2000)
    assert await stage.status(number) == "sent"
    await stage.report(27, 0x00, recipient="+33700000000", scts=START + 2000)
    assert await stage.status(number) == "delivered"


@pytest.mark.parametrize("scts", [START + 40 * MINUTE, START - 3 * HOUR, None])
async def test_a_rewritten_number_needs_a_time_that_fits(stage: Stage, scts: int | None) -> None:
    number = await stage.sent(27)
    await stage.report(27, recipient="+33700000000", scts=scts)
    assert await stage.status(number) == "sent"


async def test_a_rewritten_number_and_two_parts_that_fit_decide_nothing(stage: Stage) -> None:
    doubtful = await stage.take(recipient=OTHER)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    number = await stage.sent(27)
    await stage.report(27, recipient="+33700000000", scts=START + 2000)
    assert await stage.status(number) == "sent"
    assert (await stage.view(doubtful)).uncertain


@pytest.mark.parametrize("minutes", [330, -210, 345, 765])
async def test_a_zone_with_half_hours_is_forgiven_from_the_first_report_on(
    stage: Stage, minutes: int
) -> None:
    sent = []
    for n in range(4):
        sent.append(await stage.sent(27 + n, recipient=f"+3361234567{n}"))
        stage.now += 7_000
    for n, number in enumerate(sent):
        scts = START + n * 7_000 + 2_000 + minutes * MINUTE
        await stage.report(27 + n, recipient=f"+3361234567{n}", scts=scts)
        assert await stage.status(number) == "delivered"


async def test_a_zone_that_changes_by_half_an_hour_is_forgiven_too(stage: Stage) -> None:
    """Roaming: the service centre's clock was known."""
    first = await stage.sent(1)
    await stage.report(1, scts=START + 1000)
    stage.now += HOUR
    second = await stage.sent(2)
    await stage.report(2, scts=stage.now + 1000 + 330 * MINUTE)
    assert [await stage.status(n) for n in (first, second)] == ["delivered"] * 2


async def test_reports_whose_reference_is_always_0_are_told_apart_by_their_numbers(
    stage: Stage,
) -> None:
    sent = []
    for n in range(6):
        sent.append(await stage.sent(100 + n, recipient=f"+3361234567{n}"))
        stage.now += 4_000
    for n in reversed(range(6)):
        await stage.report(0, recipient=f"+3361234567{n}", scts=START + n * 4_000 + 2_000)
    assert [await stage.status(number) for number in sent] == ["delivered"] * 6


async def test_parts_of_a_modem_that_counts_nothing_are_told_apart_by_their_numbers(
    stage: Stage,
) -> None:
    sent = []
    for n in range(4):
        sent.append(await stage.sent(0, recipient=f"+3361234567{n}"))
        stage.now += 4_000
    for n in range(4):
        await stage.report(200 + n, recipient=f"+3361234567{n}", scts=START + n * 4_000 + 2_000)
    assert [await stage.status(number) for number in sent] == ["delivered"] * 4


async def test_two_parts_to_one_number_are_not_told_apart_without_a_reference(
    stage: Stage,
) -> None:
    first = await stage.sent(100)
    stage.now += 4_000
    second = await stage.sent(101)
    await stage.report(0, scts=START + 2_000)
    assert [await stage.status(n) for n in (first, second)] == ["sent"] * 2


async def test_a_reference_of_0_of_a_modem_that_counts_is_a_reference(stage: Stage) -> None:
    other, number = await stage.sent(255), await stage.sent(0)
    await stage.report(0, scts=START + 2_000)
    assert [await stage.status(n) for n in (other, number)] == ["sent", "delivered"]


async def test_a_report_that_belongs_to_no_message_is_kept_and_shown(stage: Stage) -> None:
    await stage.report(9, recipient="+33700000000", scts=START)
    stage.now += HOUR
    (given_up,) = await stage.db.write(reports.forget_strays, stage.now - 10 * MINUTE)
    assert given_up.reference == 9
    await stage.report(9, recipient="+33700000000", scts=START)  # its id may be that of the first
    assert len(await stage.db.write(reports.forget_strays, stage.now + MINUTE)) == 1
    assert await stage.db.read(reports.unplaced, START) == 2
    await stage.db.write(reports.forget_strays, stage.now + 31 * 24 * HOUR)
    assert await stage.db.read(reports.unplaced, START) == 0


def test_the_page_says_that_reports_belong_to_no_message() -> None:
    (found,) = diagnosis.diagnose(DiagnosisInput((modem(),), unplaced_reports=3))
    assert (found.code, found.severity) == ("unplaced_reports", "note")
