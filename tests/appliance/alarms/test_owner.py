"""Alarms to the owner: what lasts is sent once, and its end once."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.alarms.owner import OwnerAlarms, Raised, Watch, is_alarm
from appliance.core.config import AlarmSettings, ConfigError, Limits, loads
from appliance.core.i18n import Text
from appliance.monitoring.diagnosis import Problem, Severity
from modem.interface import Limitation
from tests.web.box import WebBox

OWNER = "+33611114001"
MINUTE = 60.0


def problem(code: str, severity: Severity = "bad") -> Problem:
    return Problem(code, severity, Text("Something is wrong"), Text("mend it."))


# --- pure ------------------------------------------------------------------------------------------


def test_a_problem_is_an_alarm_once_it_has_lasted() -> None:
    watch = Watch(AlarmSettings())
    there = [problem("searching")]
    assert watch.decide(there, {}, 0) == ([], [])
    assert watch.decide(there, {}, 15 * MINUTE - 1) == ([], [])
    assert watch.decide(there, {}, 15 * MINUTE) == (there, [])
    raised = {"searching": Raised("x", sms=True)}
    assert watch.decide(there, raised, 16 * MINUTE) == ([], [])


def test_a_problem_that_was_away_begins_anew() -> None:
    watch = Watch(AlarmSettings())
    there = [problem("searching")]
    watch.decide(there, {}, 0)
    watch.decide([], {}, 14 * MINUTE)
    assert watch.decide(there, {}, 16 * MINUTE) == ([], [])


def test_an_end_is_sent_once_it_has_lasted() -> None:
    watch = Watch(AlarmSettings())
    raised = {"searching": Raised("x", sms=True)}
    assert watch.decide([], raised, 0) == ([], [])
    assert watch.decide([problem("searching")], raised, 4 * MINUTE) == ([], [])
    assert watch.decide([], raised, 6 * MINUTE) == ([], [])
    assert watch.decide([], raised, 11 * MINUTE) == ([], ["searching"])


def test_a_failing_webhook_has_an_hour() -> None:
    watch = Watch(AlarmSettings())
    there = [problem("webhook_failing", "warning")]
    assert watch.decide(there, {}, 0) == ([], [])
    assert watch.decide(there, {}, 59 * MINUTE) == ([], [])
    assert watch.decide(there, {}, 60 * MINUTE) == (there, [])


@pytest.mark.parametrize(
    ("code", "severity", "alarm"),
    [
        ("no_modem", "bad", True),
        ("queue_stuck", "bad", True),
        ("disk_full", "bad", True),
        ("balance_low", "warning", True),
        ("undervoltage", "warning", True),
        ("signal_weak", "warning", False),
        ("quiet_hours", "note", False),
        ("many_failures", "bad", False),  # failing alarms would raise it
    ],
)
def test_what_is_an_alarm(code: str, severity: Severity, alarm: bool) -> None:
    assert is_alarm(problem(code, severity)) == alarm


@pytest.mark.parametrize(
    "text",
    [
        "[alarms]\nsms_to = ['0612345678']",
        "[alarms]\nmail_to = ['me@example.com']",
        "[alarms]\nmail_to = ['me']\nmail_from = 'a@b'\nsmtp_host = 'c'",
        '[alarms]\nmail_from = "a@b\\nBcc: c@d"',
    ],
)
def test_alarms_that_reach_nobody_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="alarms"):
        loads(text, {})


# --- on a box --------------------------------------------------------------------------------------


class MailServer:
    """A mail server of a few words, which can refuse."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.refuse = False
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(b"220 mail\r\n")
            while line := await reader.readline():
                word = line.split()[0].upper()
                if word == b"MAIL" and self.refuse:
                    writer.write(b"451 later\r\n")
                elif word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    found = email.message_from_bytes(raw[:-3], policy=email.policy.default)
                    assert isinstance(found, email.message.EmailMessage)
                    self.mails.append(found)
                    writer.write(b"250 ok\r\n")
                elif word == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                else:
                    writer.write(b"250 ok\r\n")
        writer.close()


@contextlib.asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    one = MailServer()
    server = await asyncio.start_server(one.accept, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()


@contextlib.asynccontextmanager
async def box(folder: Path, port: int = 0, **more: Limits) -> AsyncIterator[WebBox]:
    settings = AlarmSettings(sms_to=(OWNER,))
    if port:
        settings = AlarmSettings(
            sms_to=(OWNER,),
            mail_to=("owner@example.com",),
            mail_from="box@example.com",
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_security="none",
        )
    started = await WebBox.start(folder, alarms=settings, language="en", **more)
    try:
        yield started
    finally:
        await started.stop()


async def queued(one: WebBox) -> list[str]:
    rows = await one.db.read(
        lambda db: db.execute(
            "SELECT body FROM message WHERE recipient = ? ORDER BY id", (OWNER,)
        ).fetchall()
    )
    return [row[0] for row in rows]


async def pass_minutes(one: WebBox, alarms: OwnerAlarms, minutes: int) -> None:
    for _each in range(minutes):
        await alarms.check()
        one.clock.advance(MINUTE)


async def test_the_owner_is_notified_once_and_of_the_end(tmp_path: Path) -> None:
    async with mail_server() as server, box(tmp_path, server.port) as one:
        one.limit(Limitation.NO_STORAGE)
        alarms = OwnerAlarms(one.services)
        await pass_minutes(one, alarms, 15)
        assert await queued(one) == []
        await pass_minutes(one, alarms, 3)
        (text,) = await queued(one)
        assert text.startswith("The modem has no room for received messages")
        (received,) = server.mails
        assert (received["To"], received["Subject"]) == ("owner@example.com", "ZimBox: alarm")
        assert text in " ".join(received.get_content().split())
        await one.fail_next()  # else the queue is stuck, which is an alarm too

        again = OwnerAlarms(one.services)  # as after a restart
        await pass_minutes(one, again, 20)
        assert len(await queued(one)) == len(server.mails) == 1

        one.limit()
        await pass_minutes(one, again, 8)
        over = (await queued(one))[-1]
        assert over == "All is well again: The modem has no room for received messages"
        assert server.mails[-1]["Subject"] == "ZimBox: all is well again"
        await one.fail_next()
        await pass_minutes(one, again, 20)
        assert len(await queued(one)) == len(server.mails) == 2


async def test_a_mail_that_was_refused_is_sent_later(tmp_path: Path) -> None:
    async with mail_server() as server, box(tmp_path, server.port) as one:
        server.refuse = True
        one.limit(Limitation.NO_STORAGE)
        await pass_minutes(one, OwnerAlarms(one.services), 18)
        assert server.mails == []
        server.refuse = False
        await pass_minutes(one, OwnerAlarms(one.services), 3)
        assert [mail["Subject"] for mail in server.mails] == ["ZimBox: alarm"]
        assert len(await queued(one)) == 1


async def test_a_limit_holds_for_alarms_and_leaves_the_mail(tmp_path: Path) -> None:
    limits = Limits(recipients_per_month=1)
    async with mail_server() as server, box(tmp_path, server.port, limits=limits) as one:
        answer = await one.services.admin.messages.send("+33611114002", "the one number")
        assert answer
        one.limit(Limitation.NO_STORAGE)
        alarms = OwnerAlarms(one.services)
        await pass_minutes(one, alarms, 18)
        assert await queued(one) == []
        assert len(server.mails) == 1
        one.limit()
        await pass_minutes(one, alarms, 8)
        assert await queued(one) == []  # its end is no SMS either
        assert len(server.mails) == 2
