"""The texts of the page in the visitor's language, with times and numbers as people read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from appliance.core import i18n
from appliance.core.i18n import Language, Text, Value, _, pgettext
from appliance.domain import phone_numbers
from appliance.domain.errors import Reason
from appliance.domain.validation import mask_phone
from appliance.domain.views import Permissions
from appliance.maintenance.update import Result
from modem.interface import CodeProblem, UssdProblem

_MONTHS = (
    *(_("Jan"), _("Feb"), _("Mar"), _("Apr"), pgettext("short month", "May"), _("Jun")),
    *(_("Jul"), _("Aug"), _("Sep"), _("Oct"), _("Nov"), _("Dec")),
)
_STATUS = {
    "queued": _("Queued"),
    "sent": _("Sent"),
    "delivered": _("Delivered"),
    "failed": _("Failed"),
    "cancelled": _("Cancelled"),
    "uncertain": _("Uncertain"),
}
_PRIORITY = (
    _("Urgent"),
    _("High"),
    _("Normal"),
    _("Low"),
    _("Bulk"),
)
_MODEM = {
    "ready": _("Ready"),
    "offline": _("Not answering"),
    "starting": _("Starting"),
    "pin_required": _("PIN required"),
    "puk_required": _("PUK required"),
    "sim_missing": _("No SIM card"),
    "sim_failure": _("SIM card fault"),
    "searching": _("Searching for network"),
    "denied": _("Refused by the network"),
    "no_smsc": _("No SMS centre"),
    "refusing": _("Refuses its settings"),
    "stopped": _("Stopped"),
}
_LIMIT = {
    "per_minute": _("per minute"),
    "per_hour": _("per hour"),
    "per_day": _("per day"),
    "per_month": _("per month"),
    "recipients_per_month": _("recipients per month"),
}
_PART = {
    "waiting": pgettext("part of a message", "waiting"),
    "submitted": pgettext("part of a message", "handed to the modem"),
    "taken": pgettext("part of a message", "taken by the network"),
    "delivered": pgettext("part of a message", "delivered"),
    "failed": pgettext("part of a message", "failed"),
    "uncertain": pgettext("part of a message", "uncertain"),
    "dropped": pgettext("part of a message", "dropped"),
    "held": pgettext("part of a message", "held"),
    "attempted": pgettext("part of a message", "earlier try"),
}
_ERROR = {
    "NETWORK_ERROR": _("Refused by the network"),
    "NO_CREDIT": _("No credit left"),
    "BLOCKED_NUMBER": _("Number blocked"),
    "INVALID_NUMBER": _("No such number"),
    "SMS_SEND_TIMEOUT": _("Ran out of time"),
    "DEVICE_ERROR": _("Modem or SIM fault"),
}


# What is wrong with a field of a form, for the reasons of `appliance.domain.validation`.
_FIELD = {
    "body": _("This form {reason}."),
    "client": _("This client {reason}."),
    "code": _("A code {reason}."),
    "daily_cap": _("The limit {reason}."),
    "events": _("Events: {reason}."),
    "limits": _("The limits {reason}."),
    "message": _("The text {reason}."),
    "name": _("The name {reason}."),
    "prefixes": _("The prefixes {reason}."),
    "reason": _("The reason {reason}."),
    "simple": _("Simple devices {reason}."),
    "alert_to": _("The alerts {reason}."),
    "time_zone": _("This text {reason}."),
}


# The results of an update: the state of the box, and what to do.
_UPDATE = {
    "UPDATED": _("Updated."),
    "RESTARTING": _("The new system is written; the box restarts to try it."),
    "ROLLED_BACK": _("The new release did not work: the box went back to the one before."),
    "CUT_OFF": _(
        "The power was cut during the update: the box went back to the release before. Try again."
    ),
    "NOT_A_BUNDLE": _("This file is not an update of ZimBox. Nothing was changed."),
    "WRONG_SIGNATURE": _(
        "This file is not signed by whoever made this box: it was refused. Nothing was changed."
    ),
    "DAMAGED": _("This file is damaged or cut off: download it again. Nothing was changed."),
    "WRONG_MACHINE": _("This update is made for another model of box. Nothing was changed."),
    "WRONG_KERNEL": _(
        "This update needs a new memory card: make a backup, write the new card, restore the "
        "backup."
    ),
    "NO_SPACE": _("Not enough room on the memory card. Nothing was changed."),
    "NO_KEY": _("This box was made without a key for updates: it needs a new memory card."),
    "NOT_STARTED": _("The new system did not start: the box went back to the one before."),
}
_UPDATE_UNKNOWN = _("The update did not come to an end. Restart the box and try again.")
_DATA_BACK = _("The data are those from before the update.")
_STEP = {
    "checking": _("Checking the signature"),
    "unpacking": _("Unpacking"),
    "stopping": _("Stopping the present release"),
    "starting": _("Starting the new release"),
    "watching": _("Trial: does everything work?"),
}
BACKUP_FAULTS = {
    "damaged": _("This file is not a complete backup of a ZimBox. Nothing was changed."),
    "newer": _(
        "This backup comes from a newer ZimBox: update this box first. Nothing was changed."
    ),
    "settings": _(
        "The settings (zimbox.toml) in this backup do not fit this box. Nothing was changed."
    ),
    "no_space": _("Not enough room on the memory card for this backup. Nothing was changed."),
}


_CODE_REFUSED = {
    CodeProblem.MALFORMED: _("The card did not accept it: a PIN has 4 to 8 digits, a PUK 8."),
    CodeProblem.NOT_ASKED: _("The card does not ask for this code."),
    CodeProblem.WRONG: _("The card did not accept it: check it digit by digit."),
    CodeProblem.REPEATED: _("This is the code that the card refused a moment ago."),
    CodeProblem.LAST_TRY: _("Only one try is left: unlock the card in a phone."),
    CodeProblem.NOT_RECORDED: _("The memory card is full or failing: the code was not tried."),
    CodeProblem.NO_SIM: _("There is no SIM card, or it does not work."),
    CodeProblem.NO_ANSWER: _("The modem did not answer."),
}
_NO_USSD_ANSWER = {
    UssdProblem.MALFORMED: _("A code looks like *100#."),
    UssdProblem.BUSY: _("No answer: another question is still open."),
    UssdProblem.SILENT: _("No answer: the operator stayed silent."),
    UssdProblem.ENDED: _("No answer: the operator ended the dialogue."),
    UssdProblem.UNKNOWN_CODE: _("No answer: the operator does not know this code."),
    UssdProblem.NO_NETWORK: _("No answer: the network is silent."),
    UssdProblem.EMPTY: _("The operator answered without a text."),
    UssdProblem.FAILED: _("No answer: the modem refused the code or is not ready."),
}


def standing(result: Result, running: str, step: str) -> str:
    """Return the code to show: a root that restarted the box and does not run has not started."""
    if result.code == "RESTARTING" and not step:
        return "UPDATED" if result.version == running else "NOT_STARTED"
    return result.code


class PageLanguage(msgspec.Struct, frozen=True):
    """The visitor's language, and the box's time zone and country."""

    code: Language
    zone: ZoneInfo
    country: str | None = None

    def say(self, text: Text) -> str:
        """Return the text in this language."""
        return text.typeset(self.code)

    def gettext(self, msgid: str, **values: Value) -> str:
        """Return a text of a template."""
        return self.say(Text(msgid, tuple(values.items())))

    def pgettext(self, context: str, msgid: str, **values: Value) -> str:
        """Return a text of a template whose English means something else elsewhere."""
        return self.say(Text(msgid, tuple(values.items()), context))

    def ngettext(self, singular: str, plural: str, n: int, **values: Value) -> str:
        """Return a text of a template with a number."""
        return self.say(
            Text(singular, (("n", self.number(n)), *values.items()), plural=plural, count=n)
        )

    def known(self, table: dict[str, Text], name: str) -> str:
        return self.say(table[name]) if name in table else name

    def status(self, name: str, uncertain: bool = False) -> str:
        return self.known(_STATUS, "uncertain" if uncertain else name)

    def part(self, name: str) -> str:
        return self.known(_PART, name)

    def modem(self, state: str) -> str:
        return self.known(_MODEM, state)

    def limit(self, name: str) -> str:
        return self.known(_LIMIT, name)

    def error(self, code: str) -> str:
        return self.known(_ERROR, code)

    def restrictions(self, may: Permissions) -> list[str]:
        """Return the restrictions of a key; empty for an unrestricted key."""
        found = [
            (not may.send, self.say(_("read only"))),
            (not may.read, self.say(_("send only"))),
            (may.short_codes, self.say(_("short codes"))),
            (bool(may.prefixes), " ".join(may.prefixes)),
            (may.daily_cap is not None, self.say(_("{cap} a day", cap=may.daily_cap or 0))),
            (may.simple, self.say(_("simple devices"))),
            (
                bool(may.alert_to),
                self.say(_("alerts to {numbers}", numbers=" ".join(may.alert_to))),
            ),
        ]
        return [words for holds, words in found if holds]

    def cause(self, stored: Mapping[str, Any]) -> str:
        """Return why a part failed."""
        return self.say(msgspec.convert(stored["text"], Text)) if "text" in stored else "–"

    def code_refused(self, problem: CodeProblem) -> str:
        """Return why a PIN or PUK was not accepted."""
        return self.say(_CODE_REFUSED[problem])

    def no_ussd_answer(self, problem: UssdProblem) -> str:
        """Return why a USSD code has no answer."""
        return self.say(_NO_USSD_ANSWER[problem])

    def refusal(self, reason: Reason) -> str:
        """Return an error in words; for a field with its name on the page."""
        details = reason.details or {}
        sentence, why = _FIELD.get(str(details.get("field"))), details.get("reason")
        if reason.code == "INVALID_WEBHOOK_URL" and isinstance(why, Text):
            what = reason.text.typeset(self.code).rstrip(".")
            advice = f"{self.say(why)}."
            return self.say(_("{what}: {advice}", what=what, advice=advice))
        if reason.code != "INVALID_REQUEST" or sentence is None or not isinstance(why, Text):
            return self.say(reason.text)
        return self.say(msgspec.structs.replace(sentence, values=(("reason", why),)))

    def steps(self) -> list[tuple[str, str]]:
        """Return the steps of an update in order."""
        return [(name, self.say(words)) for name, words in _STEP.items()]

    def outcome(self, code: str, data: str) -> str:
        """Return the result of an update in words."""
        result = self.say(_UPDATE.get(code, _UPDATE_UNKNOWN))
        restored = code in ("ROLLED_BACK", "CUT_OFF") and data == "restored"
        return f"{result} {self.say(_DATA_BACK)}" if restored else result

    def priority(self, level: int) -> str:
        return self.say(_PRIORITY[level - 1])

    def readable(self, number: str) -> str:
        """Return a phone number as people here write it, in one piece: `06 12 34 56 78`."""
        return phone_numbers.readable(number, self.country).replace(" ", "\u00a0")

    def phone(self, number: str, *, open_to: bool) -> str:
        """Return a phone number, masked for everybody except the owner."""
        return self.readable(number) if open_to else mask_phone(number)

    def _at(self, milliseconds: int) -> datetime:
        return datetime.fromtimestamp(milliseconds / 1000, self.zone)

    def iso(self, milliseconds: int) -> str:
        """Return a time for machines, with its offset."""
        return self._at(milliseconds).isoformat(timespec="seconds")

    def clock(self, milliseconds: int, *, seconds: bool = False) -> str:
        return self._at(milliseconds).strftime("%H:%M:%S" if seconds else "%H:%M")

    def day(self, date: str) -> str:
        """Return `2025-01-31` as `31 janv.`."""
        _, month, day = (int(n) for n in date.split("-"))
        return f"{day} {self.say(_MONTHS[month - 1])}"

    def when(self, milliseconds: int, now: int) -> str:
        """Return a time in short: the time of day today, else with the day, else with the year."""
        at, today = self._at(milliseconds), self._at(now).date()
        if at.date() == today:
            return at.strftime("%H:%M")
        if at.date() == today - timedelta(days=1):
            return self.say(_("yesterday {time}", time=at.strftime("%H:%M")))
        day = f"{at.day} {self.say(_MONTHS[at.month - 1])}"
        if at.year != today.year:
            day += f" {at.year}"
        return f"{day} {at.strftime('%H:%M')}"

    def moment(self, milliseconds: int) -> str:
        """Return a time to the second, with its day."""
        at = self._at(milliseconds)
        return f"{at.day} {self.say(_MONTHS[at.month - 1])} {at.year} {at.strftime('%H:%M:%S')}"

    def lasting(self, milliseconds: int) -> str:
        """Return a duration, rounded: `2 min`, `3 h 10`."""
        minutes = max(1, round(milliseconds / 60_000))
        if minutes < 60:
            return f"{minutes} min"
        hours, rest = divmod(minutes, 60)
        if hours < 48:
            return f"{hours} h {rest:02d}" if rest else f"{hours} h"
        return self.say(_("{n} days", n=round(hours / 24)))

    def number(self, n: int) -> str:
        """Return a number with its thousands separated."""
        return f"{n:,}".replace(",", self.say(pgettext("thousands separator", ",")))

    def _decimal(self, text: str) -> str:
        return text.replace(".", self.say(pgettext("decimal point", ".")))

    def amount(self, value: float) -> str:
        """Return an amount without its currency: `2`, `2,50`."""
        return self._decimal(f"{value:.2f}".removesuffix(".00"))

    def percent(self, share: float) -> str:
        """Return a share with its sign: `98,2 %`."""
        share_text = self._decimal(f"{share:.1f}".rstrip("0").rstrip("."))
        return self.say(pgettext("percentage", "{share}%", share=share_text))


def languages() -> list[tuple[Language, str]]:
    """Return the languages to choose from, each with its name in itself."""
    return [(code, _("English").typeset(code)) for code in i18n.languages()]


def characters(text: str) -> str:
    """Return the names of characters, invisible ones by their code."""
    return " ".join(c if c.isprintable() and not c.isspace() else f"U+{ord(c):04X}" for c in text)
