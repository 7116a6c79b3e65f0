"""Alarms to the owner: problems of the diagnosis that last, sent once by SMS and e-mail, and their end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sqlite3 import Connection

import msgspec
import structlog

from appliance.admin.messages import as_client
from appliance.alarms import mail
from appliance.core.config import AlarmSettings
from appliance.core.i18n import _
from appliance.domain.errors import ApiError
from appliance.domain.schemas import SendBody
from appliance.monitoring.diagnosis import Problem
from appliance.services import Services
from appliance.store import admin
from appliance.store.database import TAKES_NOTHING

log = structlog.get_logger(__name__)

SETTING = "alarms"  # in the table admin_setting
PRIORITY = 2  # as alerts of monitoring programs
SMS_CHARACTERS = 300
MOST_MAILS = 20  # that wait for the mail server; the oldest are dropped beyond

SUBJECT = _("ZimBox: alarm")
WELL_SUBJECT = _("ZimBox: all is well again")

# Problems that are bad but no alarm: failing alarms would raise it. And warnings that are alarms.
NO_ALARM = {"many_failures"}
WARNINGS = {
    *("balance_low", "disk_low", "undervoltage", "overvoltage", "webhook_failing", "modem_rests"),
    *("mqtt_offline", "no_reports"),
}


class Raised(msgspec.Struct, frozen=True):
    """An alarm that was sent, until its end is."""

    what: str
    sms: bool  # by SMS too; its end then as well


class Mail(msgspec.Struct, frozen=True):
    """A mail that the mail server does not have yet."""

    subject: str
    text: str


class Alarms(msgspec.Struct, frozen=True):
    """What is stored: alarms by code of the problem, and mails that wait."""

    raised: dict[str, Raised] = {}
    mails: tuple[Mail, ...] = ()


def is_alarm(problem: Problem) -> bool:
    """Return whether a problem is worth an alarm."""
    if problem.code in NO_ALARM:
        return False
    return problem.severity == "bad" or problem.code in WARNINGS


class Watch:
    """Since when problems are there, or away: monotonic seconds. A restart begins anew."""

    def __init__(self, settings: AlarmSettings) -> None:
        self._settings = settings
        self._since: dict[str, float] = {}
        self._away: dict[str, float] = {}

    def decide(
        self, problems: Iterable[Problem], raised: Mapping[str, Raised], now: float
    ) -> tuple[list[Problem], list[str]]:
        """Return the problems to send an alarm for, and the codes of raised ones that are over."""
        there = {problem.code: problem for problem in problems if is_alarm(problem)}
        self._since = {code: self._since.get(code, now) for code in there}
        gone = raised.keys() - there.keys()
        self._away = {code: self._away.get(code, now) for code in gone}
        begun = [
            problem
            for code, problem in there.items()
            if code not in raised and now - self._since[code] >= self._patience(code)
        ]
        clear = self._settings.clear_minutes * 60
        return begun, [code for code in sorted(gone) if now - self._away[code] >= clear]

    def _patience(self, code: str) -> float:
        settings = self._settings
        minutes = settings.webhook_minutes if code == "webhook_failing" else settings.after_minutes
        return minutes * 60


class OwnerAlarms:
    """Checks the diagnosis of the page and notifies the owner. A failed notification is logged and raises no alarm."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._box = services.context
        self._settings = services.context.config.alarms
        self._watch = Watch(self._settings)

    async def check(self) -> None:
        """Notify the owner of problems that have lasted, and of their end; send the mails that wait."""
        overview = await self._services.dashboard.take()
        stored = await self._box.db.read(admin.setting, SETTING, Alarms) or Alarms()
        now = self._box.clock.monotonic()
        begun, ended = self._watch.decide(overview.problems, stored.raised, now)
        language = self._services.admin.preferences.language
        for problem in begun:
            text = problem.text.plain(language)
            what = problem.what.plain(language)
            await self._notify(problem.code, Mail(SUBJECT.plain(language), text), what)
        for code in ended:
            over = _("All is well again: {what}", what=stored.raised[code].what)
            text = over.plain(language)
            await self._notify(code, Mail(WELL_SUBJECT.plain(language), text), None)
        await self._send_mails()

    async def _notify(self, code: str, notice: Mail, what: str | None) -> None:
        """Store an alarm (its end: no `what`) with its mail, and queue its SMS, in one commit."""
        log.warning("alarm_raised" if what is not None else "alarm_over", problem=code)
        by_sms = bool(self._settings.sms_to)
        try:
            await self._keep(code, notice, what, by_sms=by_sms)
        except (ApiError, *TAKES_NOTHING) as error:
            log.warning("alarm_not_sent", problem=code, by="sms", reason=str(error))
            try:  # by e-mail at least: the SIM may be at its limit, or the modem away
                await self._keep(code, notice, what, by_sms=False)
            except TAKES_NOTHING as worse:
                log.warning("alarm_not_stored", problem=code, reason=str(worse))
        self._box.wakeups.work()
        self._box.wakeups.changed()

    async def _keep(self, code: str, notice: Mail, what: str | None, *, by_sms: bool) -> None:
        intake = self._services.intake
        caller = as_client(await self._services.admin.clients.first() * 2)
        if by_sms:
            intake.check_storage()
        route = await intake.route(caller, scheduled=False) if by_sms else None

        def work(db: Connection) -> None:
            stored = admin.setting(db, SETTING, Alarms) or Alarms()
            before = stored.raised.get(code)
            raised = {name: one for name, one in stored.raised.items() if name != code}
            if what is not None:
                raised[code] = Raised(what, by_sms)
            waiting = (*stored.mails, notice) if self._settings.mail_to else ()
            admin.keep(db, SETTING, Alarms(raised, waiting[-MOST_MAILS:]))
            if route is None or (what is None and (before is None or not before.sms)):
                return
            text = notice.text[:SMS_CHARACTERS]
            for to in self._settings.sms_to:
                intake.take(db, caller, SendBody(to=to, message=text, priority=PRIORITY), route)

        await self._box.db.write(work)

    async def _send_mails(self) -> None:
        """Send the mails that wait, the oldest first; the first failure leaves the others for the next check."""
        while waiting := (
            await self._box.db.read(admin.setting, SETTING, Alarms) or Alarms()
        ).mails:
            first = waiting[0]
            message = mail.compose(self._settings, first.subject, first.text, self._box.clock.now())
            try:
                await mail.send(self._settings, message)
            except mail.FAILURES as error:
                log.warning("alarm_not_sent", by="e-mail", reason=str(error))
                return
            await self._box.db.write(_sent)


def _sent(db: Connection) -> None:
    stored = admin.setting(db, SETTING, Alarms) or Alarms()
    admin.keep(db, SETTING, msgspec.structs.replace(stored, mails=stored.mails[1:]))
