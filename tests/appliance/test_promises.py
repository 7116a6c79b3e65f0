"""Promises that one changed line can break, each with its test (see tests/mutants)."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from zoneinfo import ZoneInfo

import msgspec
import pytest

from appliance.admin.auth import AdminAuth, Denied
from appliance.clients.authentication import Authenticator
from appliance.clients.credentials import Credentials
from appliance.clients.rate_limit import Limiter
from appliance.context import Context
from appliance.core import durable
from appliance.core.config import Config, ModemSettings, WebhookSettings
from appliance.core.encryption import Encryption
from appliance.devices.attached import Attached
from appliance.devices.manager import Devices
from appliance.domain import ids, limits
from appliance.domain.errors import ApiError
from appliance.domain.requests import HistoryFilter, InboxFilter, Period
from appliance.domain.schemas import VerifyBody, WebhookBody
from appliance.domain.views import Caller, Permissions
from appliance.maintenance import backup
from appliance.maintenance.jobs import MaintenanceJobs
from appliance.messaging.inbox import Inbox
from appliance.messaging.intake import Intake
from appliance.messaging.otp import OneTimePasswords
from appliance.store import attempts, clients, database, devices, history, otp, received
from appliance.store.database import Database, schema_version
from appliance.store.queue import NothingReady
from appliance.webhooks.dispatcher import WebhookDispatcher
from appliance.webhooks.registry import WebhookRegistry
from modem.driver.device import ModemDriver
from modem.interface import Outcome, ReceivedPdu, Verdict
from modem.sms import tpdu
from modem.sms.gsm7 import Alphabet
from modem.sms.tpdu import Concatenation, Deliver
from modem.timeouts import SerialLine
from tests.appliance.conftest import NEVER, NUMBER, SIM, START, Stage
from tests.manual_clock import ManualClock
from tests.receiver import Receiver as WebhookReceiver
from tests.waiting import eventually

HOUR_MS = 3_600_000


# --- on the disk -----------------------------------------------------------------------------------


async def test_commits_are_synced_and_deleted_data_is_overwritten(db: Database) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "secure_delete")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await db.writer.run(settings) == ["wal", 2, 2]  # FULL, FAST


def test_a_durable_file_is_synced_before_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        kind = os.fstat(descriptor).st_mode
        done.append("folder" if stat.S_ISDIR(kind) else "content")
        fsync(descriptor)

    def renamed(file: Path, target: Path) -> Path:
        done.append("name")
        return rename(file, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    durable.write_durably(tmp_path / "file", b"all of it")
    assert done == ["content", "name", "folder"]


async def test_only_the_box_s_user_can_read_secrets(stage: Stage, tmp_path: Path) -> None:
    Encryption(tmp_path / "secret.key")
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    box = Context(Config(), ManualClock(), stage.db, stage.ids, Encryption(tmp_path / "secret.key"))
    await AdminAuth(box).start()
    for name in ("secret.key", "box.backup", "setup-code", "zimbox.db"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name


# --- restoring -------------------------------------------------------------------------------------


def with_member(source: Path, target: Path, name: str, content: bytes) -> Path:
    """A copy of a backup with one more member, or another one under a name that it has."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            if member.name != name:
                new.addfile(member, old.extractfile(member))
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        new.addfile(entry, io.BytesIO(content))
    return target


async def test_restoring_writes_nothing_outside_its_folder(stage: Stage, tmp_path: Path) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    spiked = with_member(tmp_path / "box.backup", tmp_path / "spiked", "../evil", b"evil")
    other = tmp_path / "other"
    with pytest.raises(backup.BackupError):
        backup.restore(spiked, other, schema_version())
    assert not list(tmp_path.rglob("evil"))
    assert not (other / "zimbox.db").exists()


async def test_a_backup_of_another_format_is_refused(stage: Stage, tmp_path: Path) -> None:
    backup.save(stage.db.path.parent, tmp_path / "box.backup")
    manifest = msgspec.json.encode({"format": 99, "version": "9", "schema": 1, "at": 0})
    other = with_member(
        tmp_path / "box.backup", tmp_path / "other.backup", backup.MANIFEST, manifest
    )
    with pytest.raises(backup.BackupError) as error:
        backup.check(other, tmp_path / "fresh", newest_schema=schema_version())
    assert error.value.code == "damaged"


# --- receiving -------------------------------------------------------------------------------------


class Keeps(ModemDriver):
    """A modem that looks, at the moment when it is to forget a text, whether the store has it."""

    db: Database

    def __init__(self, line: SerialLine) -> None:
        super().__init__(line)
        self.committed: list[int] = []

    async def forget(self, received: ReceivedPdu) -> None:
        rows = await self.db.read(lambda db: db.execute("SELECT COUNT(*) FROM seen").fetchone()[0])
        self.committed.append(rows)


class Receiver:
    """An inbox with a modem that only forgets."""

    def __init__(self, box: Context) -> None:
        self.box = box
        self.modem = Keeps(SerialLine("/nowhere"))
        self.modem.db = box.db
        self.inbox = Inbox(box)
        self.attached = Attached(box, ModemSettings(), self.modem, test=False)
        self.attached.number = 1

    async def receive(
        self, text: str, together: Concatenation | None = None, sender: str = NUMBER
    ) -> None:
        deliver = Deliver(
            sender=sender,
            text=text,
            sent_at=datetime(2026, 3, 1, tzinfo=UTC),
            concatenation=together,
            alphabet=Alphabet.GSM7,
        )
        hex_digits = tpdu.encode_deliver(deliver).hex
        await self.inbox.receive(self.attached, ReceivedPdu(hex_digits, None, SIM))

    async def texts(self) -> list[str]:
        rows, _, _ = await self.box.db.read(received.page, 2, InboxFilter())
        return sorted(row.body for row in rows)


@pytest.fixture
async def receiver(stage: Stage, tmp_path: Path) -> AsyncIterator[Receiver]:
    await stage.db.write(devices.known, "860123456789012", "Modem", False, START)
    box = Context(Config(), ManualClock(START), stage.db, stage.ids, Encryption(tmp_path / "key"))
    made = Receiver(box)
    yield made
    await made.modem.stop()


async def test_a_text_is_deleted_from_the_modem_only_after_the_commit(
    receiver: Receiver,
) -> None:
    await receiver.receive("Bonjour")
    assert receiver.modem.committed == [1]


async def test_a_text_received_while_the_disk_is_full_is_complete_afterwards(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "AGAIN_SECONDS", 0.01)
    writer = receiver.box.db.writer
    await writer.run(lambda db: db.execute("PRAGMA query_only = 1").fetchall())
    coming = asyncio.create_task(receiver.receive("Bonjour"))
    with pytest.raises(database.TAKES_NOTHING):
        await receiver.box.db.write(lambda db: db.execute("DELETE FROM seen"))
    await writer.run(lambda db: db.execute("PRAGMA query_only = 0").fetchall())
    await coming
    assert await receiver.texts() == ["Bonjour"]


async def test_eight_and_sixteen_bit_references_are_separate(receiver: Receiver) -> None:
    for wide in (False, True):
        await receiver.receive(f"one {wide} ", Concatenation(7, 2, 1, wide))
    for wide in (False, True):
        await receiver.receive(f"two {wide}", Concatenation(7, 2, 2, wide))
    assert await receiver.texts() == ["one False two False", "one True two True"]


async def test_parts_of_two_senders_are_two_texts(receiver: Receiver) -> None:
    await receiver.receive("A1 ", Concatenation(7, 2, 1), "+33600000001")
    await receiver.receive("B2", Concatenation(7, 2, 2), "+33600000002")
    assert await receiver.texts() == []
    await receiver.receive("A2", Concatenation(7, 2, 2), "+33600000001")
    assert await receiver.texts() == ["A1 A2"]


# --- sending ---------------------------------------------------------------------------------------


async def test_an_uncertain_part_is_not_resent_beyond_the_attempts_of_its_message(
    stage: Stage,
) -> None:
    number = await stage.take(on_uncertain="resend", max_attempts=1)
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    stage.now += 2 * HOUR_MS
    await stage.settle_uncertain()
    assert await stage.status(number) == "failed"


async def test_nothing_expires_by_an_untrusted_clock(stage: Stage) -> None:
    number = await stage.take(expires_at=stage.now + 1000)
    stage.now += HOUR_MS
    stage.trusted = False
    assert (await stage.must_claim()).message == number


async def test_low_credit_lets_only_urgent_messages_pass(stage: Stage) -> None:
    await stage.take()
    poor = msgspec.structs.replace(stage.sender, only_urgent=True)
    assert isinstance(await stage.claim(poor), NothingReady)
    urgent = await stage.take(priority=1)
    assert (await stage.must_claim(poor)).message == urgent


async def test_a_test_message_uses_up_no_limit(stage: Stage) -> None:
    await stage.take(tenant=5)
    tester = msgspec.structs.replace(stage.sender, test=True)
    await stage.record(await stage.must_claim(tester), Outcome(Verdict.TAKEN, 1), tester)
    counts = "SELECT (SELECT COUNT(*) FROM sim_day), (SELECT COUNT(*) FROM sim_recipient)"
    assert tuple(await stage.db.read(lambda db: db.execute(counts).fetchone())) == (0, 0)


async def test_messages_for_a_removed_modem_fail(stage: Stage) -> None:
    await stage.db.write(devices.known, "860123456789012", "Modem", False, START)
    number = await stage.take(device=1, bound=True)
    assert await stage.db.write(devices.remove, 1)
    assert await stage.db.write(attempts.fail_for_removed, stage.ids, stage.now, 10) == 1
    assert await stage.status(number) == "failed"


async def test_a_report_still_trying_settles_an_uncertain_part(stage: Stage) -> None:
    number = await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.UNKNOWN))
    assert (await stage.view(number)).uncertain
    await stage.report(7, 0x20)
    view = await stage.view(number)
    assert (view.status, view.uncertain) == ("sent", False)


async def test_reports_are_waited_for_until_their_window_is_over(stage: Stage) -> None:
    await stage.sent(7)
    awaited = "SELECT open FROM part"
    for before, still in ((START, 1), (START + 1, 0)):
        await stage.db.write(attempts.close_reports, stage.ids, before, stage.now)
        assert (await stage.db.read(lambda db: db.execute(awaited).fetchone()[0])) == still


def test_quiet_hours_that_end_in_the_repeated_hour_end_the_second_time() -> None:
    zone = ZoneInfo("Europe/Paris")

    def ms(hour: int, minute: int) -> int:
        return round(datetime(2026, 10, 25, hour, minute, tzinfo=UTC).timestamp() * 1000)

    # 02:30 comes at 00:30 and at 01:30 UTC.
    assert limits.quiet(["22:00-02:30"], ms(0, 45), zone) == ms(1, 30)
    assert limits.quiet(["22:00-02:30"], ms(1, 45), zone) is None


async def test_a_code_verified_twice_concurrently_is_accepted_once(
    stage: Stage, tmp_path: Path
) -> None:
    async def receive(_: object, __: object) -> None:
        raise AssertionError("no modem is attached")

    box = Context(Config(), ManualClock(START), stage.db, stage.ids, Encryption(tmp_path / "key"))
    passwords = OneTimePasswords(box, Intake(box, Devices(box, tmp_path, receive)))
    hashed = box.encryption.code_hash(7, "123456")
    await stage.db.write(otp.add, 7, 2, 1, NUMBER, hashed, 3, START + HOUR_MS, None, START)
    caller = Caller(1, 1, "client_1", "live", 2, None, Permissions())
    order = VerifyBody(ids.short_id("otp", 7), "123456")
    verdicts = await asyncio.gather(
        *(passwords.verify(caller, order) for _ in range(8)), return_exceptions=True
    )
    right = [one for one in verdicts if not isinstance(one, BaseException)]
    assert len(right) == 1 and right[0].valid
    assert {str(one) for one in verdicts if isinstance(one, ApiError)} == {"OTP_NOT_FOUND"}


async def test_nothing_is_removed_by_an_untrusted_clock(
    stage: Stage, clock: ManualClock, jobs: MaintenanceJobs
) -> None:
    await stage.take()
    await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.archive() == 1
    clock.advance(5 * 365 * 86_400)
    clock.trusted = False
    await jobs.retire()
    kept = "SELECT COUNT(*) FROM history"
    assert await stage.db.read(lambda db: db.execute(kept).fetchone()[0]) == 1
    clock.trusted = True
    await jobs.retire()
    assert await stage.db.read(lambda db: db.execute(kept).fetchone()[0]) == 0


# --- tracking --------------------------------------------------------------------------------------


async def test_finished_messages_are_visible_to_their_own_client_only(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "LOOKED_THROUGH", 0)  # always by the index
    numbers = {}
    for tenant in (2, 4):
        numbers[tenant] = await stage.take(tenant=tenant)
        await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    assert await stage.archive() == 2
    for tenant, other in ((2, 4), (4, 2)):
        assert await stage.db.read(history.one, tenant, numbers[other]) is None
        found = await stage.db.read(history.page, tenant, HistoryFilter(search="bonjour"))
        assert [m.message_id for m in found.messages] == [f"msg_{numbers[tenant]:016x}"]
        assert found.total == 1


async def test_pages_and_totals_between_two_moments_within_an_hour_are_exact(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SKIP_FROM", 1)  # every page but the first is found by the counts
    created: list[tuple[int, str]] = []
    for _ in range(60):
        stage.now += 11 * 60_000
        number = await stage.take()
        created.append((stage.now, f"msg_{number:016x}"))
        await stage.record(await stage.must_claim(), Outcome(Verdict.NEVER, fault=NEVER))
    while await stage.archive():
        pass
    for start, end in ((5, 55), (1, 30), (17, 18), (0, 59)):
        period = Period(created[start][0] + 1, created[end][0] + 1)
        wanted = [name for at, name in reversed(created) if period.start <= at < period.end]  # type: ignore[operator]
        seen: list[str] = []
        for page in range(1, len(wanted) // 4 + 2):
            filters = HistoryFilter(page=page, limit=4, period=period)
            got = await stage.db.read(history.page, 2, filters)
            assert got.total == len(wanted)
            seen += [m.message_id for m in got.messages]
        assert seen == wanted


# --- keys, codes and passwords ----------------------------------------------------------------------


@pytest.fixture
def authenticator(stage: Stage, clock: ManualClock) -> Authenticator:
    return Authenticator(Credentials(stage.db), clock, stage.db, Limiter(clock, 3, 600))


async def test_a_key_ends_at_its_expiry(
    stage: Stage, clock: ManualClock, authenticator: Authenticator
) -> None:
    made = await stage.db.write(clients.add_key, 1, START, expires_at=START + 1000)
    await authenticator.authenticate(made.key, "client_1", None)
    clock.advance(1)
    with pytest.raises(ApiError, match="INVALID_API_KEY"):
        await authenticator.authenticate(made.key, "client_1", None)


async def test_keys_are_kept_as_hashes(stage: Stage) -> None:
    made = await stage.db.write(clients.add_key, 1, START)
    kept = await stage.db.read(lambda db: db.execute("SELECT * FROM api_key").fetchone())
    assert not [value for value in kept if value in (made.key, made.key.encode())]


async def test_the_rate_limit_is_a_client_s_whatever_its_keys(
    stage: Stage, authenticator: Authenticator
) -> None:
    for _ in range(3):
        made = await stage.db.write(clients.add_key, 1, START)
        caller = await authenticator.authenticate(made.key, "client_1", None)
        authenticator.admit(caller, "write", any_key=False)
    made = await stage.db.write(clients.add_key, 1, START)
    caller = await authenticator.authenticate(made.key, "client_1", None)
    with pytest.raises(ApiError, match="RATE_LIMIT_EXCEEDED"):
        authenticator.admit(caller, "write", any_key=False)


def test_a_code_is_hashed_with_its_password_s_number(tmp_path: Path) -> None:
    encryption = Encryption(tmp_path / "key")
    assert encryption.code_hash(1, "123456") != encryption.code_hash(2, "123456")
    assert encryption.code_hash(1, "123456") == encryption.code_hash(1, "123456")


@pytest.fixture
async def auth(stage: Stage, clock: ManualClock, tmp_path: Path) -> AdminAuth:
    made = AdminAuth(Context(Config(), clock, stage.db, stage.ids, Encryption(tmp_path / "key")))
    await made.start()
    return made


async def test_one_of_two_concurrent_claims_succeeds(auth: AdminAuth) -> None:
    claims = (auth.claim(f"a long password {n}", "", "192.168.1.20", "zimbox.local") for n in "12")
    ended = await asyncio.gather(*claims, return_exceptions=True)
    assert [str(one) for one in ended if isinstance(one, BaseException)] == ["claimed"]


async def test_a_session_is_not_opened_with_a_password_that_was_changed(auth: AdminAuth) -> None:
    old = await auth.claim("a long password", "", "192.168.1.20", "zimbox.local")
    session = await auth.open_session("Firefox", old)
    await auth.change_password("a long password", "another long one", session, "192.168.1.20")
    with pytest.raises(Denied, match="password"):
        await auth.open_session("Thief", old)


async def test_a_changed_password_ends_every_other_session(auth: AdminAuth) -> None:
    hashed = await auth.claim("a long password", "", "192.168.1.20", "zimbox.local")
    own, other = [await auth.open_session(agent, hashed) for agent in ("Firefox", "Thief")]
    await auth.change_password("a long password", "another long one", own, "192.168.1.20")
    assert await auth.is_admin(own) and not await auth.is_admin(other)


async def test_a_call_that_could_not_be_recorded_is_not_made_again_at_once(
    stage: Stage, clock: ManualClock, tmp_path: Path
) -> None:
    config = Config(webhook=WebhookSettings(allow_loopback=True))
    context = Context(config, clock, stage.db, stage.ids, Encryption(tmp_path / "key"))
    running = await WebhookReceiver().start()
    webhooks = WebhookDispatcher(context)
    await WebhookRegistry(context, webhooks).configure(2, WebhookBody(running.url(), ("sms.sent",)))
    await stage.sent(7)

    def full(db: Connection) -> None:
        db.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT RAISE(ABORT, 'full'); END"
        )

    await stage.db.write(full)
    leg = asyncio.create_task(webhooks.run())
    try:
        await eventually(lambda: running.calls and not webhooks.open_calls, "it was called")
        for _ in range(3):
            context.wakeups.webhooks.set()
            await eventually(lambda: not context.wakeups.webhooks.is_set(), "the leg has looked")
        assert len(running.calls) == 1
    finally:
        webhooks.stop()
        leg.cancel()
        await running.stop()
        await webhooks.close()
