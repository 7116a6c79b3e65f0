"""The life of a message in the store, without a modem; the test sets the clock."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from sqlite3 import Connection

import msgspec
import pytest

from appliance.core.config import Limits
from appliance.domain.requests import HistoryFilter, StatsFilter
from appliance.store import (
    archive,
    attempts,
    blocklist,
    clients,
    dashboard,
    history,
    messages,
    queue,
    statistics,
    submissions,
)
from appliance.store.queue import Job, NothingReady, Sender
from modem.interface import Fault, FaultKind, Outcome, Verdict
from tests.appliance.conftest import NEVER, NUMBER, REFUSED, START, Stage

DAY_MS, HOUR_MS = 86_400_000, 3_600_000

TAKEN = Outcome(Verdict.TAKEN, 7)
TAKEN_AS = [Outcome(Verdict.TAKEN, reference) for reference in range(256)]


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
    assert isinstance(await stage.claim(), NothingReady)


async def test_a_reserved_modem_sends_only_for_its_clients(stage: Stage) -> None:
    """Whatever was not pinned when it was taken: no modem was known then, or the settings changed."""
    others = await stage.take(tenant=4, rank=0)
    own = await stage.take(tenant=2, rank=1)
    sender = msgspec.structs.replace(stage.sender, clients=(1, 3))
    assert (await stage.must_claim(sender)).message == own
    assert isinstance(await stage.claim(sender), NothingReady)
    assert (await stage.must_claim()).message == others


async def test_priority_one_is_sent_between_two_parts_of_another_message(stage: Stage) -> None:
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


async def delivered_before(stage: Stage, seconds: int = 300) -> None:
    """One message of some minutes ago: how the service centre's clock goes is known."""
    await stage.sent(250)
    await stage.report(250, scts=stage.now)
    stage.now += seconds * 1000


async def test_a_report_on_the_part_being_sent_settles_no_older_uncertain_part(
    stage: Stage,
) -> None:
    await delivered_before(stage)
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    sent = await stage.take()
    job = await stage.must_claim()
    await stage.report(7, scts=stage.now)  # before the answer that names reference 7
    assert await stage.status(doubtful) == "queued"
    await stage.record(job, TAKEN)
    assert await stage.status(sent) == "delivered"
    assert (await stage.view(doubtful)).uncertain


async def test_a_repeated_report_settles_no_uncertain_part(stage: Stage) -> None:
    sent = await stage.take()
    await stage.record(await stage.must_claim(), TAKEN)
    await stage.report(7, scts=stage.now)
    assert await stage.status(sent) == "delivered"
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    await stage.report(7, scts=stage.now)
    assert (await stage.view(doubtful)).uncertain


async def test_a_repeated_report_after_a_wrap_of_the_reference_settles_no_part(
    stage: Stage,
) -> None:
    old = await stage.sent(7)
    sent_at = stage.now
    await stage.report(7, scts=sent_at)
    assert await stage.status(old) == "delivered"
    stage.now += 5 * 60_000
    new = await stage.sent(7)
    await stage.archive()  # of the old one only its hand-over is remembered
    await stage.report(7, scts=sent_at)
    assert await stage.status(new) == "sent"
    await stage.report(7, scts=stage.now)
    assert await stage.status(new) == "delivered"


async def test_a_report_that_fits_two_waits_until_more_is_known(stage: Stage) -> None:
    old = await stage.sent(7)
    old_at = stage.now
    stage.now += 4 * 60_000
    new = await stage.sent(7)
    await stage.report(7, scts=old_at)
    assert (await stage.status(old), await stage.status(new)) == ("sent", "sent")
    another = await stage.sent(8)
    await stage.report(8, scts=stage.now)  # which tells how the centre's clock goes
    assert await stage.status(another) == "delivered"
    assert (await stage.status(old), await stage.status(new)) == ("delivered", "sent")


async def test_reports_that_also_match_an_uncertain_part_are_decided_together(stage: Stage) -> None:
    """A new SIM, one number, and a modem that was pulled in the middle: nothing was known before."""
    numbers = []
    for n in range(5):
        numbers.append(await stage.take())
        job = await stage.must_claim()
        stage.now += 2000
        await stage.record(job, TAKEN_AS[n] if n != 2 else Outcome(Verdict.UNKNOWN))
        stage.now += 20_000
    ahead = 47_000
    await stage.report(4, scts=START + 4 * 22_000 + 1000 + ahead)
    assert await stage.status(numbers[4]) == "sent", "it may be the doubt's"
    await stage.report(0, scts=START + 1000 + ahead)
    assert [await stage.status(n) for n in numbers] == [
        "delivered",
        "sent",
        "queued",
        "sent",
        "delivered",
    ]
    await stage.report(2, scts=START + 2 * 22_000 + 1000 + ahead)
    assert await stage.status(numbers[2]) == "delivered"


async def test_a_report_on_a_refused_but_accepted_part_settles_no_uncertain_part(
    stage: Stage,
) -> None:
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 1000
    unclear = Fault(Verdict.NEVER, FaultKind.NETWORK, "CMS", 500, "Unknown.")
    await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=unclear))
    await stage.report(9, scts=stage.now)
    assert (await stage.view(doubtful)).uncertain


async def test_the_report_of_a_resent_part_matches_no_other_part(stage: Stage) -> None:
    """Its earlier try was reported delivered; the part's own report comes after that."""
    number = await stage.take(on_uncertain="resend")
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    first_at = stage.now
    stage.now += 601_000
    await stage.settle_uncertain()
    second_at = stage.now
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 8))
    await stage.report(7, scts=first_at)
    assert await stage.status(number) == "delivered"
    stage.now += 60_000
    other = await stage.sent(8)
    await stage.report(8, scts=second_at)
    assert await stage.status(other) == "sent"


async def test_submissions_are_removed_in_the_end(stage: Stage) -> None:
    await stage.sent(7)
    await stage.report(7, scts=stage.now)
    stage.now += 1
    await stage.db.write(submissions.forget, stage.now)

    def kept(db: Connection) -> int:
        count: int = db.execute("SELECT COUNT(*) FROM submission").fetchone()[0]
        return count

    assert await stage.db.read(kept) == 0


async def test_a_report_kept_during_a_send_settles_its_uncertain_part(stage: Stage) -> None:
    doubtful = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    refused = await stage.take()
    job = await stage.must_claim()
    await stage.report(200, scts=stage.now)
    await stage.record(job, Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.status(doubtful) == "delivered"
    assert await stage.status(refused) == "failed"


async def test_a_late_delivery_of_one_part_does_not_change_failed_others(
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


async def test_a_part_refused_after_its_message_failed_is_not_retried(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 1))
    second = await stage.must_claim()
    await stage.report(1, 0x62)
    await stage.record(second, Outcome(Verdict.AGAIN, fault=REFUSED))
    stage.now += 60_000
    assert isinstance(await stage.claim(), NothingReady)
    assert await stage.status(number) == "failed"


async def test_a_failed_part_fails_the_message_and_drops_what_waits(stage: Stage) -> None:
    number = await stage.take(parts=3)
    await stage.record(await stage.must_claim(), TAKEN)
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    view = await stage.view(number)
    assert view.status == "failed"
    assert view.error is not None
    assert (view.error.code, view.error.number) == ("INVALID_NUMBER", 1)
    assert isinstance(await stage.claim(), NothingReady)


async def test_a_temporary_refusal_is_retried_up_to_the_attempt_limit(stage: Stage) -> None:
    number = await stage.take(max_attempts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    waiting = await stage.claim()
    assert isinstance(waiting, NothingReady)
    assert waiting.ready_at is not None
    stage.now = waiting.ready_at
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    view = await stage.view(number)
    assert (view.status, view.attempts) == ("failed", 2)
    assert view.error is not None
    assert view.error.code == "NETWORK_ERROR"


async def test_a_modem_that_cannot_send_uses_up_no_attempt(stage: Stage) -> None:
    number = await stage.take(max_attempts=1)
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
    assert isinstance(await stage.claim(), NothingReady)
    assert not await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    stage.now += 601_000
    await stage.settle_uncertain()
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("failed", True)
    assert view.error is not None
    assert view.error.code == "SMS_SEND_TIMEOUT"
    assert isinstance(await stage.claim(), NothingReady)


async def _failed_without_an_answer(stage: Stage) -> int:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 601_000
    await stage.settle_uncertain()
    return number


async def test_an_uncertain_failure_stays_uncertain(
    stage: Stage,
) -> None:
    number = await _failed_without_an_answer(stage)
    assert (await stage.view(number)).uncertain
    stage.now += 8 * DAY_MS
    await stage.db.write(
        attempts.close_reports, stage.ids, stage.now - 7 * DAY_MS, stage.now
    )  # nothing is expected any more
    assert await stage.archive() == 1
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("failed", True)


@pytest.mark.parametrize(
    ("tp_status", "wanted"),
    [(0x46, ("failed", False)), (0x30, ("failed", True)), (0x00, ("delivered", False))],
)
async def test_a_late_report_settles_an_uncertain_failure(
    stage: Stage, tp_status: int, wanted: tuple[str, bool]
) -> None:
    number = await _failed_without_an_answer(stage)
    await stage.report(200, tp_status, scts=START + 3000)
    view = await stage.view(number)
    assert (view.status, view.uncertain) == wanted


async def test_a_message_that_failed_for_a_known_reason_is_not_uncertain(stage: Stage) -> None:
    refused, waited = await stage.take(), await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    stage.now += 86_400_001
    assert await stage.expire() == 1
    for number in (refused, waited):
        view = await stage.view(number)
        assert (view.status, view.uncertain) == ("failed", False)


async def test_a_failure_after_an_attempt_without_an_answer_is_uncertain(stage: Stage) -> None:
    """`on_uncertain: resend`: the first attempt may have left although the second one was refused."""
    number = await stage.take(on_uncertain="resend")
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 601_000
    await stage.settle_uncertain()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("failed", True)
    await stage.report(9, tp_status=0x45)  # the first attempt failed as well
    assert not (await stage.view(number)).uncertain


async def test_an_uncertain_failure_that_is_resent_is_queued_and_certain_again(
    stage: Stage,
) -> None:
    number = await _failed_without_an_answer(stage)
    await _resend(stage, number)
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("queued", False)


async def test_the_failed_webhook_says_whether_the_failure_is_uncertain(stage: Stage) -> None:
    await stage.db.write(
        lambda db: db.execute(
            "INSERT INTO webhook (id, tenant, url, events, secret, created_at) "
            "VALUES (1, 2, 'http://192.168.1.2/', 'sms.failed', x'00', 0)"
        ).fetchall()
    )
    await _failed_without_an_answer(stage)
    await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    rows = await stage.db.read(lambda db: db.execute("SELECT body FROM event").fetchall())
    result = [msgspec.json.decode(row["body"])["data"] for row in rows]
    assert [(d["error"]["code"], d["uncertain"]) for d in result] == [
        ("TIMEOUT", True),
        ("INVALID_NUMBER", False),
    ]


async def test_an_uncertain_message_is_settled_by_a_late_report(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 60_000
    await stage.report(200, scts=START + 3000)
    view = await stage.view(number)
    assert (view.status, view.sent_at, view.delivered_at) == ("delivered", START, START + 60_000)


async def test_a_report_that_comes_even_later_corrects_the_record(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 601_000
    await stage.settle_uncertain()
    assert await stage.status(number) == "failed"
    stage.now += HOUR_MS
    await stage.report(200, scts=START + 3000)
    view = await stage.view(number)
    assert (view.status, view.failed_at, view.error) == ("delivered", None, None)


async def test_resend_on_uncertain_sends_again_only_if_asked_for(stage: Stage) -> None:
    number = await stage.take(on_uncertain="resend")
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 601_000
    await stage.settle_uncertain()
    assert (await stage.must_claim()).message == number


async def test_the_window_of_an_uncertain_part_counts_from_the_last_part(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 700_000
    await stage.settle_uncertain()
    assert await stage.status(number) == "queued", "its other part has not gone yet"
    await stage.record(await stage.must_claim(), TAKEN)
    stage.now += 599_000
    await stage.settle_uncertain()
    assert await stage.status(number) == "queued"
    stage.now += 2_000
    await stage.settle_uncertain()
    assert await stage.status(number) == "failed"


async def test_the_search_for_uncertain_parts_does_not_scan_the_queue(stage: Stage) -> None:
    """Every minute, in the thread that every request waits for; and with each scrape of /metrics."""

    def plans(db: Connection) -> list[str]:
        output: list[str] = []
        db.set_trace_callback(output.append)
        attempts.settle_uncertain(db, stage.ids, 600_000, stage.now)
        attempts.mark_uncertain_after_start(db, stage.ids, stage.now)
        dashboard.uncertain(db)
        db.set_trace_callback(None)
        assert len(output) == 4
        return [row[3] for one in output for row in db.execute(f"EXPLAIN QUERY PLAN {one}")]

    found = await stage.db.write(plans)
    assert not [step for step in found if step.startswith("SCAN part")], found
    assert not [step for step in found if step in ("SCAN p", "SCAN m")], found


async def taken_alone(stage: Stage, reference: int) -> int:
    """A message whose part was accepted, while its status is still to follow."""
    await stage.db.write(registered, 2)
    number = await stage.take()
    job = await stage.must_claim()
    outcome = Outcome(Verdict.TAKEN, reference)
    settled = await stage.db.write(
        attempts.record,
        *(stage.ids, stage.rules, stage.sender, job, outcome, stage.now),
        later=True,
    )
    assert not settled
    assert await stage.status(number) == "queued"
    assert not (await stage.view(number)).cancellable
    return number


def registered(db: Connection, tenant: int) -> None:
    db.execute(
        "INSERT INTO webhook (tenant, url, events, secret, created_at) "
        "VALUES (?, 'https://a.example/', 'sms.sent,sms.delivered', '', 0)",
        (tenant,),
    )


async def test_a_part_that_was_accepted_before_a_crash_makes_its_message_sent(stage: Stage) -> None:
    number = await taken_alone(stage, 7)
    accepted_at, stage.now = stage.now, stage.now + 3_600_000
    assert await stage.db.write(attempts.mark_uncertain_after_start, stage.ids, stage.now) == 0
    view = await stage.view(number)
    assert (view.status, view.sent_at) == ("sent", accepted_at)
    assert isinstance(await stage.claim(), NothingReady)


async def test_a_report_before_the_status_that_is_still_to_follow_announces_both(
    stage: Stage,
) -> None:
    number = await taken_alone(stage, 7)
    stage.now += 1_000
    assert await stage.report(7) is not None
    assert await stage.status(number) == "delivered"
    assert await stage.events() == ["sms.sent", "sms.delivered"]
    await stage.db.write(attempts.settle_sent, stage.ids, number, stage.now)
    assert await stage.events() == ["sms.sent", "sms.delivered"]


async def test_a_part_being_sent_at_a_crash_is_uncertain(stage: Stage) -> None:
    number = await stage.take()
    await stage.must_claim()
    assert await stage.db.write(attempts.mark_uncertain_after_start, stage.ids, stage.now) == 1
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("queued", True)


async def test_a_report_that_overtakes_the_answer_is_kept_for_it(stage: Stage) -> None:
    number = await stage.take()
    job = await stage.must_claim()
    found = await stage.report(7, scts=START)
    assert found is not None and found.kind == "air"
    assert await stage.status(number) == "queued", "the answer has the reference that decides"
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
    await stage.report(7, scts=stage.now + 2000)
    assert (await stage.status(old), await stage.status(new)) == ("sent", "delivered")
    await stage.report(7, scts=START + 2000)
    assert await stage.status(old) == "delivered"


async def test_a_cancelled_message_is_never_claimed(stage: Stage) -> None:
    number = await stage.take()
    assert await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    assert await stage.status(number) == "cancelled"
    assert isinstance(await stage.claim(), NothingReady)
    assert not await stage.db.write(messages.cancel, stage.ids, number, stage.now)


async def test_an_opt_out_stops_a_message_that_waits(stage: Stage) -> None:
    number = await stage.take()
    await stage.db.write(blocklist.add, 0, NUMBER, "STOP", "stop", stage.now, 1)
    assert isinstance(await stage.claim(), NothingReady)
    view = await stage.view(number)
    assert view.error is not None
    assert (view.status, view.error.code) == ("failed", "BLOCKED_NUMBER")


async def test_a_scheduled_message_waits_for_its_time_and_a_trusted_clock(stage: Stage) -> None:
    due = START + HOUR_MS
    number = await stage.take(scheduled_at=due)
    found = await stage.claim()
    assert isinstance(found, NothingReady)
    assert found.ready_at == due
    stage.now = due
    stage.trusted = False
    assert isinstance(await stage.claim(), NothingReady)
    stage.trusted = True
    assert (await stage.must_claim()).message == number


async def test_a_message_that_waited_too_long_fails(stage: Stage) -> None:
    number = await stage.take()
    stage.now += 86_400_001
    assert isinstance(await stage.claim(), NothingReady)
    view = await stage.view(number)
    assert view.error is not None
    assert (view.status, view.error.code) == ("failed", "SMS_SEND_TIMEOUT")


async def test_a_queue_without_a_modem_expires_too(stage: Stage) -> None:
    number = await stage.take()
    stage.now += 86_400_001
    assert await stage.expire() == 1
    assert await stage.status(number) == "failed"


async def test_parts_behind_an_uncertain_part_expire(stage: Stage) -> None:
    """The modem fell silent in the middle of a long text, and never came back."""
    number = await stage.take(parts=3)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 86_400_001
    await stage.settle_uncertain()
    assert await stage.status(number) == "queued", "the window of a doubt counts from the last part"
    assert await stage.expire() == 1
    assert await stage.status(number) == "failed"
    assert await stage.expire() == 0
    await stage.settle_uncertain()
    assert await stage.status(number) == "failed"


async def test_an_uncertain_part_keeps_its_window_beyond_the_lifetime(stage: Stage) -> None:
    number = await stage.take(expires_at=stage.now + 60_000)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 61_000
    assert await stage.expire() == 0
    assert await stage.status(number) == "queued"


async def test_an_expired_queue_is_cleared_in_steps(stage: Stage) -> None:
    late = [await stage.take() for _ in range(queue.PASSED_OVER_MOST + 5)]
    stage.now += 86_400_001
    fresh = await stage.take()
    found = await stage.claim()
    assert isinstance(found, NothingReady) and found.ready_at == stage.now, "look again at once"
    assert (await stage.must_claim()).message == fresh
    assert {await stage.status(number) for number in late} == {"failed"}


async def test_the_wait_shortens_the_validity(stage: Stage) -> None:
    await stage.take(validity_minutes=60)
    stage.now += 20 * 60_000
    assert (await stage.must_claim()).validity_minutes == 40


async def test_a_long_text_stays_with_its_sim(stage: Stage) -> None:
    await stage.take(parts=2)
    await stage.record(await stage.must_claim(), TAKEN)
    other = Sender(2, False, "8933019999999999", Limits())
    assert isinstance(await stage.claim(other), NothingReady)
    swapped = msgspec.structs.replace(stage.sender, sim="8933018888888888")
    assert isinstance(await stage.claim(swapped), NothingReady)
    assert (await stage.must_claim()).number == 2


async def test_a_message_nobody_has_taken_yet_may_go_by_another_modem(stage: Stage) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.WAIT))
    other = Sender(2, False, "8933019999999999", Limits())
    job = await stage.must_claim(other)
    assert job.message == number
    await stage.record(job, TAKEN, other)
    assert (await stage.view(number)).device_id == "device_2"


async def test_a_message_for_a_named_device_waits_for_it(stage: Stage) -> None:
    await stage.take(bound=True, device=2)
    assert isinstance(await stage.claim(), NothingReady)
    assert isinstance(await stage.claim(Sender(2, False, "x", Limits())), Job)


async def test_test_messages_never_reach_a_real_modem(stage: Stage) -> None:
    await stage.take(tenant=3)
    assert isinstance(await stage.claim(), NothingReady)
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
    assert isinstance(held, NothingReady)
    assert held.held == "per_minute"
    assert held.ready_at is not None
    stage.now = held.ready_at
    assert isinstance(await stage.claim(sender), Job)


async def test_known_recipients_are_served_at_the_recipient_cap(stage: Stage) -> None:
    sender = msgspec.structs.replace(stage.sender, limits=Limits(recipients_per_month=1))
    await stage.take(recipient="+33600000001")
    await stage.record(await stage.must_claim(sender), TAKEN, sender)
    await stage.take(recipient="+33600000002")
    known = await stage.take(recipient="+33600000001")
    assert (await stage.must_claim(sender)).message == known


async def test_a_disabled_client_sends_nothing_also_after_a_part_in_flight(stage: Stage) -> None:
    """What comes back from the modem after it was disabled waits too, and goes when it is enabled."""
    number = await stage.take()
    job = await stage.must_claim()
    await stage.db.write(clients.disable, 1, stage.now)
    await stage.record(job, Outcome(Verdict.WAIT))
    stage.now += HOUR_MS
    assert isinstance(await stage.claim(), NothingReady)
    assert await stage.status(number) == "queued"
    other = await stage.take(tenant=4)
    assert (await stage.must_claim()).message == other, "nobody waits behind it"
    await stage.db.write(clients.enable, 1)
    assert (await stage.must_claim()).message == number


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


async def test_a_report_on_an_earlier_attempt_settles_a_resent_message(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7, 0x46)
    await _resend(stage, number)
    await stage.report(7, 0x00)
    assert await stage.status(number) == "delivered"
    assert isinstance(await stage.claim(), NothingReady)


async def test_the_attempts_before_a_resend_count_too(stage: Stage) -> None:
    number = await stage.take(max_attempts=2)
    for _ in range(2):
        await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
        stage.now += HOUR_MS
    assert (await stage.view(number)).attempts == 2
    await _resend(stage, number)
    assert (await stage.view(number)).attempts == 2
    await stage.record(await stage.must_claim(), Outcome(Verdict.AGAIN, fault=REFUSED))
    stage.now += HOUR_MS
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 9))
    view = await stage.view(number)
    assert (view.status, view.attempts) == ("sent", 4)


async def test_a_message_resent_after_an_attempt_cannot_be_cancelled(stage: Stage) -> None:
    """Its earlier try may still arrive, and what is cancelled can never be delivered."""
    tried = await stage.sent(7)
    await stage.report(7, 0x46)
    await _resend(stage, tried)
    assert not (await stage.view(tried)).cancellable
    assert not await stage.db.write(messages.cancel, stage.ids, tried, stage.now)
    await stage.report(7, 0x00)
    assert await stage.status(tried) == "delivered"


async def test_a_resent_message_that_was_never_submitted_can_be_cancelled(stage: Stage) -> None:
    number = await stage.take()
    stage.now += 86_400_001
    assert await stage.expire() == 1
    await _resend(stage, number)
    assert (await stage.view(number)).cancellable
    assert await stage.db.write(messages.cancel, stage.ids, number, stage.now)


async def _failed_in_its_second_part(stage: Stage) -> int:
    """Two parts taken as 7 and 8; the network reports that the second failed."""
    number = await stage.take(parts=2)
    for reference in (7, 8):
        await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, reference))
    await stage.report(8, 0x46)
    assert await stage.status(number) == "failed"
    return number


async def test_one_delivered_part_of_an_earlier_attempt_does_not_drop_parts_of_the_new_one(
    stage: Stage,
) -> None:
    """The recipient joins by reference: a new second part alone would complete nothing."""
    number = await _failed_in_its_second_part(stage)
    await _resend(stage, number)
    await stage.report(8, 0x00)
    assert await stage.status(number) == "queued"
    jobs = []
    for reference in (9, 10):
        jobs.append(await stage.must_claim())
        await stage.record(jobs[-1], Outcome(Verdict.TAKEN, reference))
    assert [(job.number, job.concatenation) for job in jobs] == [(1, 1), (2, 1)]


async def test_a_complete_delivery_of_an_earlier_attempt_drops_the_new_one(stage: Stage) -> None:
    number = await _failed_in_its_second_part(stage)
    await stage.report(7, 0x00)
    submitted_at = stage.now
    stage.now += 5000
    await _resend(stage, number)
    await stage.report(8, 0x00)
    result = await stage.view(number)
    assert (result.status, result.sent_at) == ("delivered", submitted_at)
    assert isinstance(await stage.claim(), NothingReady)


async def test_a_complete_delivery_of_an_earlier_attempt_counts_after_the_new_one_failed(
    stage: Stage,
) -> None:
    number = await _failed_in_its_second_part(stage)
    await stage.report(7, 0x00)
    await _resend(stage, number)
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.status(number) == "failed"
    await stage.report(8, 0x00)
    assert await stage.status(number) == "delivered"


async def test_an_answer_to_a_part_in_flight_before_a_resend_belongs_to_that_attempt(
    stage: Stage,
) -> None:
    """Its lifetime ended while its second part was on the line; then it was resent."""
    number = await stage.take(parts=3)
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 7))
    second = await stage.must_claim()
    stage.now += 86_400_001
    assert await stage.expire() == 1
    assert await stage.status(number) == "failed"
    assert await stage.archive() == 0, "its modem has not answered yet"
    await _resend(stage, number)
    stage.now += 1000
    again = [await stage.must_claim() for _ in range(3)]  # as several modems would
    await stage.record(second, Outcome(Verdict.TAKEN, 9))
    parts = await stage.db.read(messages.parts_of, number)
    assert [part.state for part in parts] == ["submitted"] * 3
    for reference, job in enumerate(again, start=10):
        await stage.record(job, Outcome(Verdict.TAKEN, reference))
    for reference in (10, 11, 12):
        await stage.report(reference)
    assert await stage.status(number) == "delivered"


async def test_an_answer_for_an_archived_message_is_ignored(
    stage: Stage,
) -> None:
    number = await stage.sent(7)
    await stage.report(7, 0x46)
    await _resend(stage, number)
    stage.now += 1000
    job = await stage.must_claim()
    await stage.report(7)  # the first try did arrive
    assert await stage.status(number) == "delivered"
    assert await stage.archive() == 1
    await stage.record(job, Outcome(Verdict.TAKEN, 9))
    assert await stage.status(number) == "delivered"


async def test_reports_on_earlier_attempts_have_the_full_window(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7, 0x46)
    await _resend(stage, number)
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.archive() == 0, "the report of the first try may come yet"
    stage.now += 1000
    await stage.db.write(attempts.close_reports, stage.ids, stage.now, stage.now)
    assert await stage.archive() == 1


@pytest.mark.parametrize("archived", [False, True])
async def test_a_resend_uses_the_modem_that_was_named(stage: Stage, archived: bool) -> None:
    number = await stage.take(device=1, bound=True)
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    if archived:
        assert await stage.archive() == 1
    assert await stage.db.read(messages.named_device, number) == 1
    assert await stage.db.read(messages.named_device, await stage.take()) == 0


async def test_a_message_is_resent_out_of_the_history(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.archive() == 1
    await stage.db.write(archive.take_back, number, stage.now, stage.now + DAY_MS, stage.now)
    await _resend(stage, number)
    assert (await stage.must_claim()).message == number
    assert await _in_index(stage, "bonjour") == []


async def _resend(stage: Stage, number: int) -> None:
    now = stage.now
    parts = (await stage.view(number)).parts
    await stage.db.write(
        messages.resend, stage.ids, number, now, now + DAY_MS, now, "GSM-7", 0, parts
    )


async def _in_index(stage: Stage, text: str) -> list[int]:
    def work(db: Connection) -> list[int]:
        found = db.execute(
            "SELECT rowid FROM history_text WHERE folded MATCH ?", (history.phrase(text),)
        )
        return [row[0] for row in found]

    return await stage.db.read(work)


async def test_kept_counts_equal_counted_rows(stage: Stage) -> None:
    """Every status, moved and not, on two days: the kept counts equal the rows."""
    for day in range(2):
        stage.now = START + day * DAY_MS
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
        kept: Counter[tuple[int, str]] = Counter()
        for row in db.execute("SELECT * FROM hour_count"):
            for status in ("queued", "sent", "delivered", "failed", "cancelled"):
                kept[row["hour"], status] += row[status]
        return by_rows, {key: n for key, n in kept.items() if n}

    by_rows, kept = await stage.db.read(counted)
    assert by_rows == kept
    page = await stage.db.read(history.page, 2, HistoryFilter())
    assert page.total == len(page.messages) == 10
    stats = await stage.db.read(statistics.stats, 2, StatsFilter(START - 1000, stage.now + 1000))
    assert (stats.total_sent, stats.delivered, stats.failed, stats.pending) == (6, 2, 2, 2)


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("looked_through", [0, 500])
async def test_search_ignores_case_and_accents(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, archived: bool, looked_through: int
) -> None:
    monkeypatch.setattr(history, "LOOKED_THROUGH", looked_through)  # 0: always by the index
    number = await stage.take(body='Votre ÉTÉ commence à l\'œuvre 50%_"x"')
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    await stage.take(body="autre chose")
    if archived:
        assert await stage.archive() == 1
    for text, found in (
        ("ete", True),
        ("ETÉ COMM", True),
        ("50%_", True),
        ('%_"x', True),
        ("l'œuv", True),
        ("été*", False),
        ("été OR hiver", False),
        ("(été)", False),
        ("folded:été", False),
        ('"x"', True),
        ("e", True),
        ("hiver", False),
        ("ete%comm", False),
    ):
        wanted = HistoryFilter(search=reading_fold(text))
        page = await stage.db.read(history.page, 2, wanted)
        ids = [m.message_id for m in page.messages]
        assert (f"msg_{number:016x}" in ids) is found, text


async def test_a_deep_page_of_a_search_uses_little_memory(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "COUNT_MOST", 100)  # as of a common word among very many
    monkeypatch.setattr(history, "LOOKED_THROUGH", 0)
    numbers = []
    for i in range(400):
        stage.now += 1000
        numbers.append(await stage.take(body="commande " + "x" * 1500))
        if i % 3:  # two of three lie in the history
            await stage.db.write(messages.cancel, stage.ids, numbers[-1], stage.now)
    while await stage.archive():
        pass
    newest = [f"msg_{n:016x}" for n in reversed(numbers)]
    for page in (1, 2, 7, 8):
        wanted = HistoryFilter(page=page, limit=50, search="commande")
        got = await stage.db.read(history.page, 2, wanted)
        assert [m.message_id for m in got.messages] == newest[(page - 1) * 50 : page * 50]
        assert (got.total, got.exact) == (100, False)
    tracemalloc.start()
    try:
        wanted = HistoryFilter(page=10**12, limit=100, search="commande")
        assert (await stage.db.read(history.page, 2, wanted)).messages == ()
        assert tracemalloc.get_traced_memory()[1] < 150_000  # of 600,000 characters
    finally:
        tracemalloc.stop()


async def test_the_time_of_a_search_does_not_depend_on_other_clients(
    stage: Stage,
) -> None:
    """A client with few messages, or a test key, learns nothing by the time it takes."""
    for i in range(300):
        number = await stage.take(tenant=4, body=f"commande secrète {i}")
        await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    mine = await stage.take(body="commande de pain")
    await stage.db.write(messages.cancel, stage.ids, mine, stage.now)
    while await stage.archive():
        pass

    def steps(db: Connection, word: str) -> int:
        taken = 0

        def count() -> int:
            nonlocal taken
            taken += 1
            return 0

        db.set_progress_handler(count, 1)
        try:
            assert history.page(db, 2, HistoryFilter(search=word)).total == (word == "commande")
        finally:
            db.set_progress_handler(None, 1)
        return taken

    def compared(db: Connection) -> list[int]:
        # The first one on a connection also counts what is prepared for it (SQLite 3.41 and later).
        return [steps(db, word) for word in ("commande", "secrete", "inconnu")]

    _, theirs, nobodys = await stage.db.read(compared)
    assert theirs == nobodys


def reading_fold(text: str) -> str:
    from appliance.core.folding import fold

    return fold(text)


async def test_pages_found_by_counters_equal_pages_found_by_rows(stage: Stage) -> None:
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
        got = await stage.db.read(history.page, 2, HistoryFilter(page=page, limit=100))
        assert got.total == 1300
        assert [m.message_id for m in got.messages] == [
            f"msg_{n:016x}" for n in wanted[(page - 1) * 100 : page * 100]
        ]


async def test_retention_removes_messages_and_keeps_figures(stage: Stage) -> None:
    number = await stage.sent(7)
    await stage.report(7)
    stage.now += 100 * DAY_MS
    kept = await stage.take()
    await stage.archive()
    cut = (stage.now - 90 * DAY_MS) // HOUR_MS * HOUR_MS
    assert await stage.db.write(archive.retire, cut, 100) == 1
    assert await stage.db.read(history.one, 2, number) is None
    page = await stage.db.read(history.page, 2, HistoryFilter())
    assert [m.message_id for m in page.messages] == [f"msg_{kept:016x}"]
    assert page.total == 1
    stats = await stage.db.read(statistics.stats, 2, StatsFilter(START - 1000, stage.now))
    assert stats.delivered == 1
    assert await _in_index(stage, "bonjour") == []


async def test_ids_grow_even_when_the_clock_steps_back_over_a_restart(stage: Stage) -> None:
    before = await stage.take()
    again = await stage.db.read(archive.marks)
    assert again.message(START - DAY_MS) > before


async def test_parts_sent_while_the_clock_was_ahead_do_not_count_against_limits(
    stage: Stage,
) -> None:
    sender = msgspec.structs.replace(stage.sender, limits=Limits(per_hour=2))
    stage.now += 30 * DAY_MS  # the clock is wrong
    for reference in (1, 2):
        await stage.take()
        await stage.record(
            await stage.must_claim(sender), Outcome(Verdict.TAKEN, reference), sender
        )
    stage.now -= 30 * DAY_MS
    await stage.take()
    stage.now += 2 * HOUR_MS
    assert not isinstance(await stage.claim(sender), NothingReady)


async def test_a_message_resent_during_its_first_attempt_cannot_be_cancelled(
    stage: Stage,
) -> None:
    number = await stage.take(parts=2)
    await stage.must_claim()
    stage.now += 86_400_001
    assert await stage.expire() == 1  # its second part; the first is on the air
    await stage.db.write(
        messages.resend, stage.ids, number, stage.now, stage.now + DAY_MS, 0, "GSM-7", 0, 2
    )
    assert not (await stage.view(number)).cancellable
    assert not await stage.db.write(messages.cancel, stage.ids, number, stage.now)


async def test_a_part_that_its_earlier_report_settled_on_the_air_counts_for_the_sim(
    stage: Stage,
) -> None:
    number = await stage.take(on_uncertain="resend")
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 600_001
    await stage.settle_uncertain()
    again = await stage.must_claim()
    stage.now += 3000
    await stage.report(9, scts=stage.now - 603_001)
    await stage.record(again, Outcome(Verdict.TAKEN, 10))
    used = await stage.db.read(queue.usage, stage.sender.sim, Limits(), stage.now, stage.rules.zone)
    assert used.day == 2, (used, await stage.view(number))


async def test_parts_of_an_earlier_longer_text_do_not_deliver_a_shorter_one(
    stage: Stage,
) -> None:
    number = await stage.take(parts=2)
    await stage.record(await stage.must_claim(), Outcome(Verdict.TAKEN, 1))
    stage.now += DAY_MS + 1
    await stage.expire()  # the modem was gone before the second part went
    assert await stage.status(number) == "failed"
    await stage.db.write(
        messages.resend, stage.ids, number, stage.now, stage.now + DAY_MS, 0, "GSM-7", 1, 1
    )  # national_shifts was set meanwhile: one part is enough
    await stage.report(1)
    assert await stage.status(number) == "queued"


async def test_a_period_that_ends_in_a_partly_removed_day_covers_the_whole_day(
    stage: Stage,
) -> None:
    midnight = START // DAY_MS * DAY_MS + DAY_MS
    for hour in (2, 9):
        stage.now = midnight + hour * 3_600_000
        await stage.sent(hour)
        await stage.report(hour)
    await stage.archive()
    assert await stage.db.write(archive.retire, midnight + 5 * 3_600_000, 100) == 1
    wanted = StatsFilter(midnight - DAY_MS, midnight + 10 * 3_600_000)
    stats = await stage.db.read(statistics.stats, 2, wanted)
    assert (stats.delivered, stats.end) == (2, midnight + DAY_MS)
    # What lies behind the retention is exact.
    wanted = StatsFilter(midnight + 6 * 3_600_000, midnight + 10 * 3_600_000)
    stats = await stage.db.read(statistics.stats, 2, wanted)
    assert (stats.delivered, stats.start, stats.end) == (1, wanted.start, wanted.end)
