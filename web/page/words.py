"""How the page says things: two languages, the box's time zone, numbers as people read them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from appliance.refusals import Language, Words
from appliance.rules import mask_phone

_MONTHS: dict[Language, tuple[str, ...]] = {
    "fr": (
        *("janv.", "févr.", "mars", "avr.", "mai", "juin"),
        *("juil.", "août", "sept.", "oct.", "nov.", "déc."),
    ),
    "en": (
        *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
        *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    ),
}
_STATUS = {
    "queued": Words("En file", "Queued"),
    "sent": Words("Envoyé", "Sent"),
    "delivered": Words("Remis", "Delivered"),
    "failed": Words("Échec", "Failed"),
    "cancelled": Words("Annulé", "Cancelled"),
    "uncertain": Words("Incertain", "Uncertain"),
}
_PRIORITY = (
    Words("Urgent", "Urgent"),
    Words("Haute", "High"),
    Words("Normale", "Normal"),
    Words("Basse", "Low"),
    Words("En nombre", "Bulk"),
)
_MODEM = {
    "ready": Words("Prêt", "Ready"),
    "offline": Words("Injoignable", "Not answering"),
    "starting": Words("Démarrage", "Starting"),
    "pin_required": Words("Code PIN demandé", "PIN required"),
    "puk_required": Words("Code PUK demandé", "PUK required"),
    "sim_missing": Words("Pas de carte SIM", "No SIM card"),
    "sim_failure": Words("Carte SIM en défaut", "SIM card fault"),
    "searching": Words("Recherche du réseau", "Searching for network"),
    "denied": Words("Refusé par le réseau", "Refused by the network"),
    "no_smsc": Words("Pas de centre SMS", "No SMS centre"),
    "stopped": Words("Arrêté", "Stopped"),
}
_LIMIT = {
    "per_minute": Words("par minute", "per minute"),
    "per_hour": Words("par heure", "per hour"),
    "per_day": Words("par jour", "per day"),
    "per_month": Words("par mois", "per month"),
    "recipients_per_month": Words("destinataires par mois", "recipients per month"),
}
_PART = {
    "waiting": Words("en attente", "waiting"),
    "handed": Words("confiée au modem", "handed to the modem"),
    "taken": Words("acceptée par le réseau", "taken by the network"),
    "delivered": Words("remise", "delivered"),
    "failed": Words("échec", "failed"),
    "uncertain": Words("incertaine", "uncertain"),
    "dropped": Words("abandonnée", "dropped"),
    "tried": Words("essai précédent", "earlier try"),
}
_ERROR = {
    "NETWORK_ERROR": Words("Refusé par le réseau", "Refused by the network"),
    "NO_CREDIT": Words("Crédit épuisé", "No credit left"),
    "BLOCKED_NUMBER": Words("Numéro bloqué", "Number blocked"),
    "INVALID_NUMBER": Words("Numéro inexistant", "No such number"),
    "SMS_SEND_TIMEOUT": Words("Délai dépassé", "Ran out of time"),
    "DEVICE_ERROR": Words("Panne du modem ou de la SIM", "Modem or SIM fault"),
}


class Tongue(msgspec.Struct, frozen=True):
    """One visitor's language and the box's time zone."""

    language: Language
    zone: ZoneInfo

    def pick(self, french: str, english: str) -> str:
        """The sentence in this language: both stand where they are used."""
        return english if self.language == "en" else french

    def say(self, words: Words) -> str:
        return words.say(self.language)

    def known(self, table: dict[str, Words], name: str) -> str:
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

    def priority(self, level: int) -> str:
        return self.say(_PRIORITY[level - 1])

    def _at(self, milliseconds: int) -> datetime:
        return datetime.fromtimestamp(milliseconds / 1000, self.zone)

    def iso(self, milliseconds: int) -> str:
        """For a machine, with the offset."""
        return self._at(milliseconds).isoformat(timespec="seconds")

    def clock(self, milliseconds: int, *, seconds: bool = False) -> str:
        return self._at(milliseconds).strftime("%H:%M:%S" if seconds else "%H:%M")

    def day(self, date: str) -> str:
        """`2025-01-31` as `31 janv.`."""
        _, month, day = (int(n) for n in date.split("-"))
        return f"{day} {_MONTHS[self.language][month - 1]}"

    def when(self, milliseconds: int, now: int) -> str:
        """A moment as a person says it: the time today, else with the day, else with the year."""
        at, today = self._at(milliseconds), self._at(now).date()
        if at.date() == today:
            return at.strftime("%H:%M")
        if at.date() == today - timedelta(days=1):
            return self.pick("hier ", "yesterday ") + at.strftime("%H:%M")
        day = f"{at.day} {_MONTHS[self.language][at.month - 1]}"
        if at.year != today.year:
            day += f" {at.year}"
        return f"{day} {at.strftime('%H:%M')}"

    def moment(self, milliseconds: int) -> str:
        """A moment to the second, with its day."""
        at = self._at(milliseconds)
        return (
            f"{at.day} {_MONTHS[self.language][at.month - 1]} {at.year} {at.strftime('%H:%M:%S')}"
        )

    def lasting(self, milliseconds: int) -> str:
        """A span, roughly: `2 min`, `3 h 10`."""
        minutes = max(1, round(milliseconds / 60_000))
        if minutes < 60:
            return f"{minutes} min"
        hours, rest = divmod(minutes, 60)
        if hours < 48:
            return f"{hours} h {rest:02d}" if rest else f"{hours} h"
        return f"{round(hours / 24)} " + self.pick("jours", "days")

    def number(self, n: int) -> str:
        """With the thousands set apart: a narrow no-break space in French, a comma in English."""
        return f"{n:,}".replace(",", "\u202f") if self.language == "fr" else f"{n:,}"

    def count(self, n: int, french: tuple[str, str], english: tuple[str, str]) -> str:
        """`n` things, in the singular or the plural; none is singular in French, plural in English."""
        if self.language == "fr":
            return f"{self.number(n)} {french[n > 1]}"
        return f"{self.number(n)} {english[n != 1]}"

    def percent(self, share: float) -> str:
        text = f"{share:.1f}".rstrip("0").rstrip(".")
        return f"{text.replace('.', ',')}\u202f%" if self.language == "fr" else f"{text}%"


def phone(number: str, *, open_to: bool) -> str:
    """A number, masked for who is not the owner."""
    return number if open_to else mask_phone(number)


def characters(text: str) -> str:
    """Characters named one by one, the invisible ones by their code."""
    return " ".join(c if c.isprintable() and not c.isspace() else f"U+{ord(c):04X}" for c in text)
