"""The life of a message in the store, told as stories; no modem, no clock but the stage's."""

from __future__ import annotations

from sqlite3 import Connection

import msgspec
import pytest

from appliance.config import Limits
from appliance.orders import HistoryFilter, StatsFilter
from appliance.store import archive, blocked, messages, outcomes, reading
from appliance.store.queue import Job, Nothing, Sender
from modem.interface import Outcome, Verdict
from tests.appliance.conftest import NEVER, NUMBER, REFUSED, START, Stage

TAKEN = Outcome(Verdict.TAKEN, 7)


async def test_one_message_goes_from_queued_to_delivered(stage: Stage) -> None:
    number = await stage.take()
    assert await stage.status(number) == "queued"
    job = await stage.must_claim()
    assert (job.message, job.number, job.parts) == (number, 1, 1)
    assert await stage.status(number) == "queued"
    await stage.record(job, TAKEN)
    view = await stage.view(number)
    assert (view.status, view.attempts, view.sent_at) == ("sent", 1, START)
    stage.now += 5000
    await stage.report(7)
    view = await stage.view(number)
    assert (view.status, view.delivered_at) == ("delivered", START + 5000)


async def test_a_part_is_claimed_once(stage: Stage) -> None:
    await stage.take()
    await stage.must_claim()
    assert isinstance(await stage.claim(), Nothing)


async def test_priority_one_goes_between_two_parts_of_another_message(stage: Stage) -> None:
    long = await stage.take(parts=3)
    first = await stage.must_claim()
    assert (first.message, first.number) == (long, 1)
    urgent = await stage.take(priority=1)
    await stage.record(first, TAKEN)
    assert (await stage.must_claim()).message == urgent


async def test_the_parts_of_a_message_go_in_order_and_share_one_reference(stage: Stage) -> None:
    await stage.take(parts=3)
    seen = []
    for reference in range(3):
        job = await stage.must_claim()
        seen.append((job.number, job.concatenation))
        await stage.record(job, Outcome(Verdict.TAKEN, reference))
    assert seen == [(1, 0), (2, 0), (3, 0)]


async def test_no_two_long_texts_to_one_number_share_a_reference(stage: Stage) -> None:
    references = []
    for _ in range(3):
        await stage.take(parts=2)
        job = await stage.must_claim()
        references.append(job.concatenation)
        await stage.record(job, Outcome(Verdict.NEVER, fault=NEVER))
    assert references == [0, 1, 2]


async def test_a_message_of_three_parts_is_delivered_only_when_all_are(stage: Stage) -> None:
    number = await stage.take(parts=3)
    for reference in (1, 2, 3):
        await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, reference))
    for reference, status in ((2, "sent"), (1, "sent"), (3, "delivered")):
        await stage.report(reference)
        assert await stage.status(number) == status


async def test_a_report_of_the_part_on_the_air_settles_no_older_doubt(stage: Stage) -> None:
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    sent = await stage.take()
    job = await stage.must_claim()
    await stage.report(7, submitted_at=stage.now)  # before the answer that names reference 7
    assert await stage.status(doubtful) == "queued"
    await stage.record(job, TAKEN)
    assert await stage.status(sent) == "delivered"
    assert (await stage.view(doubtful)).uncertain


async def test_a_report_that_comes_twice_settles_no_doubt(stage: Stage) -> None:
    sent = await stage.take()
    await stage.record(await stage.must_claim(), TAKEN)
    await stage.report(7, submitted_at=stage.now)
    assert await stage.status(sent) == "delivered"
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    await stage.report(7, submitted_at=stage.now)
    assert (await stage.view(doubtful)).uncertain


async def test_a_report_kept_during_a_send_settles_the_doubt_it_was_for(stage: Stage) -> None:
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    refused = await stage.take()
    job = await stage.must_claim()
    await stage.report(200, submitted_at=stage.now)
    await stage.record(job, Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.status(doubtful) == "delivered"
    assert await stage.status(refused) == "failed"


async def test_a_part_that_failed_and_arrived_after_all_does_not_unfail_the_others(
    stage: Stage,
) -> None:
    number = await stage.take(parts=2)
    for reference in (1, 2):
        await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, reference))
    for reference, tp_status, status in (
        (1, 0x62, "failed"),
        (1, 0, "failed"),
        (2, 0, "delivered"),
    ):
        await stage.report(reference, tp_status)
        assert await stage.status(number) == status


async def test_a_part_refused_after_its_message_failed_goes_no_more(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 1))
    second = await stage.must_claim()
    await stage.report(1, 0x62)
    await stage.record(second, Outcome(Verdict.AGAIN, fault=REFUSED))
    stage.now += 60_000
    assert isinstance(await stage.claim(), Nothing)
    assert await stage.status(number) == "failed"


async def test_a_failed_part_fails_the_message_and_drops_what_waits(stage: Stage) -> None:
    number = await stage.take(parts=3)
    await stage.record(await stage.must_claim(), TAKEN)
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    view = await stage.view(number)
    assert view.status == "failed"
    assert view.error is not None
    assert (view.error.code, view.error.number) == ("INVALID_NUMBER", 1)
    assert isinstance(await stage.claim(), Nothing)


async def test_a_passing_refusal_is_tried_again_later_and_only_so_often(stage: Stage) -> None:
    number = await stage.take(tries=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    waiting = await stage.claim()
    assert isinstance(waiting, Nothing)
    assert waiting.look_at is not None
    stage.now = waiting.look_at
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    view = await stage.view(number)
    assert (view.status, view.attempts) == ("failed", 2)
    assert view.error is not None
    assert view.error.code == "NETWORK_ERROR"


async def test_a_modem_that_cannot_send_costs_no_try(stage: Stage) -> None:
    number = await stage.take(tries=1)
    for verdict in (Verdict.WAIT, Verdict.OWNER, Verdict.HOUSEKEEP) * 3:
        await stage.record(await stage.must_claim(), Outcome(verdict))
    view = await stage.view(number)
    assert (view.status, view.attempts, view.cancellable) == ("queued", 0, True)


async def test_one_bad_number_never_holds_up_the_queue(stage: Stage) -> None:
    await stage.take(recipient="+33600000001")
    good = await stage.take(recipient="+33600000002")
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    assert (await stage.must_claim()).message == good


async def test_a_part_whose_answer_is_lost_is_not_sent_twice(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    view = await stage.view(number)
    assert (view.status, view.uncertain, view.cancellable) == ("queued", True, False)
    assert isinstance(await stage.claim(), Nothing)
    assert not await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    stage.now += 601_000
    await stage.end_doubts()
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("failed", False)
    assert view.error is not None
    assert view.error.code == "SMS_SEND_TIMEOUT"
    assert isinstance(await stage.claim(), Nothing)


async def test_an_uncertain_message_is_settled_by_a_late_report(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 60_000
    await stage.report(200, submitted_at=START + 3000)
    view = await stage.view(number)
    assert (view.status, view.sent_at, view.delivered_at) == ("delivered", START, START + 60_000)


async def test_a_report_that_comes_even_later_corrects_the_record(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 601_000
    await stage.end_doubts()
    assert await stage.status(number) == "failed"
    stage.now += 3_600_000
    await stage.report(200, submitted_at=START + 3000)
    view = await stage.view(number)
    assert (view.status, view.failed_at, view.error) == ("delivered", None, None)


async def test_resend_on_uncertain_sends_again_only_if_asked_for(stage: Stage) -> None:
    number = await stage.take(on_uncertain="resend")
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 601_000
    await stage.end_doubts()
    assert (await stage.must_claim()).message == number


async def test_the_window_of_a_doubt_counts_from_the_last_part(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 700_000
    await stage.end_doubts()
    assert await stage.status(number) == "queued", "its other part has not gone yet"
    await stage.record(await stage.must_claim(), TAKEN)
    stage.now += 599_000
    await stage.end_doubts()
    assert await stage.status(number) == "queued"
    stage.now += 2_000
    await stage.end_doubts()
    assert await stage.status(number) == "failed"


async def test_what_was_on_the_line_at_a_crash_is_uncertain(stage: Stage) -> None:
    number = await stage.take()
    await stage.must_claim()
    assert await stage.db.write(outcomes.doubt_after_start, stage.ids, stage.now) == 1
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("queued", True)


async def test_a_report_that_overtakes_the_answer_is_kept_for_it(stage: Stage) -> None:
    number = await stage.take()
    job = await stage.must_claim()
    assert await stage.report(7, submitted_at=START) is None
    await stage.record(job, TAKEN)
    assert await stage.status(number) == "delivered"


async def test_still_trying_is_not_final_and_a_later_success_counts(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7, 0x30)
    assert await stage.status(number) == "sent"
    await stage.report(7, 0x46)
    assert await stage.status(number) == "failed"
    await stage.report(7, 0x00)
    assert await stage.status(number) == "delivered"


async def test_forwarded_without_confirmation_ends_the_wait_and_leaves_sent(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7, 0x01)
    assert await stage.status(number) == "sent"
    assert await stage.archive() == 1, "nothing can change it any more"


async def test_the_same_report_twice_changes_nothing(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7)
    await stage.report(7)
    assert await stage.status(number) == "delivered"


async def test_references_wrap_while_reports_are_out(stage: Stage) -> None:
    old = await stage.sent(7)
    stage.now += 25 * 60_000
    new = await stage.sent(7)
    await stage.report(7, submitted_at=stage.now + 2000)
    assert (await stage.status(old), await stage.status(new)) == ("sent", "delivered")
    await stage.report(7, submitted_at=START + 2000)
    assert await stage.status(old) == "delivered"


async def test_a_cancelled_message_is_never_claimed(stage: Stage) -> None:
    number = await stage.take()
    assert await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    assert await stage.status(number) == "cancelled"
    assert isinstance(await stage.claim(), Nothing)
    assert not await stage.db.write(messages.cancel, stage.ids, number, stage.now)


async def test_a_number_that_opts_out_while_it_waits_is_not_written_to(stage: Stage) -> None:
    number = await stage.take()
    await stage.db.write(blocked.add, 0, NUMBER, "STOP", "stop", stage.now, 1)
    assert isinstance(await stage.claim(), Nothing)
    view = await stage.view(number)
    assert view.error is not None
    assert (view.status, view.error.code) == ("failed", "BLOCKED_NUMBER")


async def test_a_scheduled_message_waits_for_its_moment_and_a_trusted_clock(stage: Stage) -> None:
    due = START + 3_600_000
    number = await stage.take(scheduled_at=due)
    found = await stage.claim()
    assert isinstance(found, Nothing)
    assert found.look_at == due
    stage.now = due
    stage.trusted = False
    assert isinstance(await stage.claim(), Nothing)
    stage.trusted = True
    assert (await stage.must_claim()).message == number


async def test_a_message_that_waited_too_long_fails(stage: Stage) -> None:
    number = await stage.take()
    stage.now += 86_400_001
    assert isinstance(await stage.claim(), Nothing)
    view = await stage.view(number)
    assert view.error is not None
    assert (view.status, view.error.code) == ("failed", "SMS_SEND_TIMEOUT")


async def test_a_queue_without_a_modem_expires_too(stage: Stage) -> None:
    number = await stage.take()
    stage.now += 86_400_001
    assert await stage.db.write(outcomes.expire, stage.ids, stage.now) == 1
    assert await stage.status(number) == "failed"


async def test_the_wait_shortens_the_validity(stage: Stage) -> None:
    await stage.take(validity_minutes=60)
    stage.now += 20 * 60_000
    assert (await stage.must_claim()).validity_minutes == 40


async def test_a_long_text_stays_with_its_sim(stage: Stage) -> None:
    await stage.take(parts=2)
    await stage.record(await stage.must_claim(), TAKEN)
    other = Sender(2, False, "8933019999999999", Limits())
    assert isinstance(await stage.claim(other), Nothing)
    swapped = msgspec.structs.replace(stage.sender, sim="8933018888888888")
    assert isinstance(await stage.claim(swapped), Nothing)
    assert (await stage.must_claim()).number == 2


async def test_a_message_nobody_has_taken_yet_may_go_by_another_modem(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.WAIT))
    other = Sender(2, False, "8933019999999999", Limits())
    job = await stage.must_claim(other)
    assert job.message == number
    await stage.record(job, TAKEN, other)
    assert (await stage.view(number)).device_id == "device_2"


async def test_a_pinned_message_waits_for_its_device(stage: Stage) -> None:
    await stage.take(pinned=True, device=2)
    assert isinstance(await stage.claim(), Nothing)
    assert isinstance(await stage.claim(Sender(2, False, "x", Limits())), Job)


async def test_test_messages_never_reach_a_real_modem(stage: Stage) -> None:
    await stage.take(scope=3)
    assert isinstance(await stage.claim(), Nothing)
    assert isinstance(await stage.claim(Sender(3, True, "sim", Limits())), Job)


async def test_a_minute_limit_holds_the_queue_and_says_until_when(stage: Stage) -> None:
    sender = msgspec.structs.replace(stage.sender, limits=Limits(per_minute=2))
    for reference in range(3):
        await stage.take(recipient=f"+3361234567{reference}")
    for reference in range(2):
        await stage.record(
            await stage.must_claim(sender), Outcome(Verdict.TAKEN, reference), sender
        )
    held = await stage.claim(sender)
    assert isinstance(held, Nothing)
    assert held.held == "per_minute"
    assert held.look_at is not None
    stage.now = held.look_at
    assert isinstance(await stage.claim(sender), Job)


async def test_known_recipients_go_when_the_month_is_full_of_others(stage: Stage) -> None:
    sender = msgspec.structs.replace(stage.sender, limits=Limits(recipients_per_month=1))
    await stage.take(recipient="+33600000001")
    await stage.record(await stage.must_claim(sender), TAKEN, sender)
    await stage.take(recipient="+33600000002")
    known = await stage.take(recipient="+33600000001")
    assert (await stage.must_claim(sender)).message == known


async def test_a_failed_message_is_resent_whole_with_a_new_reference(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 1))
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    await _resend(stage, number)
    assert await stage.status(number) == "queued"
    jobs = []
    for reference in (5, 6):
        jobs.append(await stage.must_claim())
        await stage.record(jobs[-1], Outcome(Verdict.TAKEN, reference))
    assert [(j.number, j.concatenation) for j in jobs] == [(1, 1), (2, 1)]


async def test_a_report_for_the_earlier_try_settles_a_resent_message(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7, 0x46)
    await _resend(stage, number)
    await stage.report(7, 0x00)
    assert await stage.status(number) == "delivered"
    assert isinstance(await stage.claim(), Nothing)


async def test_a_message_is_resent_out_of_the_history(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.archive() == 1
    await stage.db.write(archive.take_back, number, stage.now, stage.now + 86_400_000, stage.now)
    await _resend(stage, number)
    assert (await stage.must_claim()).message == number
    assert await _in_index(stage, "bonjour") == []


async def _resend(stage: Stage, number: int) -> None:
    now = stage.now
    parts = (await stage.view(number)).parts
    await stage.db.write(
        messages.resend, stage.ids, number, now, now + 86_400_000, now, "GSM-7", 0, parts
    )


async def _in_index(stage: Stage, text: str) -> list[int]:
    def work(db: Connection) -> list[int]:
        found = db.execute(
            "SELECT rowid FROM history_text WHERE folded MATCH ?", (reading.phrase(text),)
        )
        return [row[0] for row in found]

    return await stage.db.read(work)


async def test_the_counts_are_what_counting_finds_after_any_life(stage: Stage) -> None:
    """Every status, moved and not, on two days: the kept counts equal the rows."""
    for day in range(2):
        stage.now = START + day * 86_400_000
        delivered = await stage.sent(day * 10 + 1)
        await stage.report(day * 10 + 1)
        failed = await stage.sent(day * 10 + 2)
        await stage.report(day * 10 + 2, 0x46)
        await stage.sent(day * 10 + 3)
        await stage.take(recipient="+33600000009")
        cancelled = await stage.take()
        await stage.db.write(messages.cancel, stage.ids, cancelled, stage.now)
        await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
        assert {await stage.status(n) for n in (delivered, failed)} == {"delivered", "failed"}
        await stage.archive()

    def counted(db: Connection) -> tuple[dict[tuple[int, str], int], dict[tuple[int, str], int]]:
        rows = db.execute(
            "SELECT created_at / 3600000 AS hour, status, COUNT(*) AS n FROM (SELECT created_at, status "
            "FROM message UNION ALL SELECT created_at, status FROM history) GROUP BY hour, status"
        )
        by_rows = {(r["hour"], r["status"]): r["n"] for r in rows}
        kept = {}
        for row in db.execute("SELECT * FROM hour_count"):
            for status in ("queued", "sent", "delivered", "failed", "cancelled"):
                if row[status]:
                    kept[row["hour"], status] = row[status]
        return by_rows, kept

    by_rows, kept = await stage.db.read(counted)
    assert by_rows == kept
    page = await stage.db.read(reading.page, 2, HistoryFilter())
    assert page.total == len(page.messages) == 10
    stats = await stage.db.read(reading.stats, 2, StatsFilter(START - 1000, stage.now + 1000))
    assert (stats.total_sent, stats.delivered, stats.failed, stats.pending) == (6, 2, 2, 2)


@pytest.mark.parametrize("archived", [False, True])
async def test_search_ignores_case_and_accents(stage: Stage, archived: bool) -> None:
    number = await stage.take(body='Votre ÉTÉ commence à l\'œuvre 50%_"x"')
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    await stage.take(body="autre chose")
    if archived:
        assert await stage.archive() == 1
    for text, found in (
        ("ete", True),
        ("ETÉ COMM", True),
        ("50%_", True),
        ('"x"', True),
        ("e", True),
        ("hiver", False),
        ("ete%comm", False),
    ):
        wanted = HistoryFilter(search=reading_fold(text))
        page = await stage.db.read(reading.page, 2, wanted)
        ids = [m.message_id for m in page.messages]
        assert (f"msg_{number:016x}" in ids) is found, text


def reading_fold(text: str) -> str:
    from appliance.rules import fold

    return fold(text)


async def test_pages_of_any_depth_are_the_same_rows_as_counting_through(stage: Stage) -> None:
    """1,300 messages over 20 hours, half of them in history: each page by skip equals plain order."""
    numbers = []
    for i in range(1300):
        stage.now = START + i * 55_000
        numbers.append(await stage.take(recipient=f"+336{i:08d}"))
        if i % 2:
            await stage.db.write(messages.cancel, stage.ids, numbers[-1], stage.now)
    while await stage.archive():
        pass
    wanted = list(reversed(numbers))
    for page in (1, 5, 6, 7, 12, 13, 14):
        got = await stage.db.read(reading.page, 2, HistoryFilter(page=page, limit=100))
        assert got.total == 1300
        assert [m.message_id for m in got.messages] == [
            f"msg_{n:016x}" for n in wanted[(page - 1) * 100 : page * 100]
        ]


async def test_retention_removes_messages_and_keeps_figures(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7)
    stage.now += 100 * 86_400_000
    kept = await stage.take()
    await stage.archive()
    cut = (stage.now - 90 * 86_400_000) // 3_600_000 * 3_600_000
    assert await stage.db.write(archive.retire, cut, 100) == 1
    assert await stage.db.read(reading.one, 2, number) is None
    page = await stage.db.read(reading.page, 2, HistoryFilter())
    assert [m.message_id for m in page.messages] == [f"msg_{kept:016x}"]
    assert page.total == 1
    stats = await stage.db.read(reading.stats, 2, StatsFilter(START - 1000, stage.now))
    assert stats.delivered == 1
    assert await _in_index(stage, "bonjour") == []


async def test_ids_grow_even_when_the_clock_steps_back_over_a_restart(stage: Stage) -> None:
    before = await stage.take()
    again = await stage.db.read(archive.marks)
    assert again.message(START - 86_400_000) > before
