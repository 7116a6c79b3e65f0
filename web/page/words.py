"""The texts of the page in two languages, with times and numbers as people read them. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from appliance.domain.errors import Language, Reason, Words
from appliance.domain.validation import mask_phone
from appliance.domain.views import Permissions
from appliance.maintenance.update import Result

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
    "submitted": Words("confiée au modem", "handed to the modem"),
    "taken": Words("acceptée par le réseau", "taken by the network"),
    "delivered": Words("remise", "delivered"),
    "failed": Words("échec", "failed"),
    "uncertain": Words("incertaine", "uncertain"),
    "dropped": Words("abandonnée", "dropped"),
    "held": Words("retenue", "held"),
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


# The names of form fields at the start of a sentence. The reason that follows is singular or stands alone.
_FIELD = {
    "body": Words("Ce formulaire", "This form"),
    "client": Words("Ce client", "This client"),
    "code": Words("Un code", "A code"),
    "daily_cap": Words("La limite", "The limit"),
    "events": Words("Évènements : ", "Events: "),
    "limits": Words("Les limites", "The limits"),
    "message": Words("Le texte", "The text"),
    "name": Words("Le nom", "The name"),
    "prefixes": Words("Les préfixes", "The prefixes"),
    "reason": Words("La raison", "The reason"),
    "time_zone": Words("Ce texte", "This text"),
}


# The results of an update: the state of the box, and what to do.
_UPDATE = {
    "UPDATED": Words("Mise à jour réussie.", "Updated."),
    "RESTARTING": Words(
        "Le nouveau système est écrit ; le boîtier redémarre pour l'essayer.",
        "The new system is written; the box restarts to try it.",
    ),
    "ROLLED_BACK": Words(
        "La nouvelle version n'a pas fait son travail : le boîtier est revenu à la précédente.",
        "The new release did not do its work: the box went back to the one before.",
    ),
    "CUT_OFF": Words(
        "Le courant a été coupé pendant la mise à jour : le boîtier est revenu à la version "
        "précédente. Recommencez.",
        "The power was cut during the update: the box went back to the release before. Try again.",
    ),
    "NOT_A_BUNDLE": Words(
        "Ce fichier n'est pas une mise à jour de ZimBox. Rien n'a été changé.",
        "This file is no update of ZimBox. Nothing was changed.",
    ),
    "WRONG_SIGNATURE": Words(
        "La signature de ce fichier n'est pas celle du fabricant de ce boîtier : "
        "il a été refusé. Rien n'a été changé.",
        "This file is not signed by whoever made this box: it was refused. Nothing was changed.",
    ),
    "DAMAGED": Words(
        "Ce fichier est abîmé ou incomplet : téléchargez-le de nouveau. Rien n'a été changé.",
        "This file is damaged or cut off: download it again. Nothing was changed.",
    ),
    "WRONG_MACHINE": Words(
        "Cette mise à jour est faite pour un autre modèle de boîtier. Rien n'a été changé.",
        "This update is made for another model of box. Nothing was changed.",
    ),
    "WRONG_KERNEL": Words(
        "Cette mise à jour demande une nouvelle carte mémoire : faites une sauvegarde, "
        "écrivez la nouvelle carte, remettez la sauvegarde.",
        "This update needs a new memory card: make a backup, write the new card, restore the backup.",
    ),
    "NO_SPACE": Words(
        "Pas assez de place sur la carte mémoire. Rien n'a été changé.",
        "Not enough room on the memory card. Nothing was changed.",
    ),
    "NO_KEY": Words(
        "Ce boîtier a été fait sans clé de mise à jour : il faut écrire une nouvelle carte mémoire.",
        "This box was made without a key for updates: it needs a new memory card.",
    ),
    "NOT_STARTED": Words(
        "Le nouveau système n'a pas démarré : le boîtier est revenu au précédent.",
        "The new system did not start: the box went back to the one before.",
    ),
}
_UPDATE_UNKNOWN = Words(
    "La mise à jour n'a pas abouti. Redémarrez le boîtier et recommencez.",
    "The update did not come to an end. Restart the box and try again.",
)
_DATA_BACK = Words(
    "Les données sont celles d'avant la mise à jour.", "The data are those from before the update."
)
_STEP = {
    "checking": Words("Vérification de la signature", "Checking the signature"),
    "unpacking": Words("Décompression", "Unpacking"),
    "stopping": Words("Arrêt de la version actuelle", "Stopping the present release"),
    "starting": Words("Démarrage de la nouvelle version", "Starting the new release"),
    "watching": Words("Essai : tout fonctionne-t-il ?", "Trial: does everything work?"),
}
BACKUP_FAULTS = {
    "damaged": Words(
        "Ce fichier n'est pas une sauvegarde entière de ZimBox. Rien n'a été changé.",
        "This file is no whole backup of a ZimBox. Nothing was changed.",
    ),
    "newer": Words(
        "Cette sauvegarde vient d'un ZimBox plus récent : mettez d'abord ce boîtier à jour. "
        "Rien n'a été changé.",
        "This backup comes from a newer ZimBox: update this box first. Nothing was changed.",
    ),
    "settings": Words(
        "Les réglages (zimbox.toml) dans cette sauvegarde ne conviennent pas à ce boîtier. "
        "Rien n'a été changé.",
        "The settings (zimbox.toml) in this backup do not fit this box. Nothing was changed.",
    ),
    "no_space": Words(
        "Pas assez de place sur la carte mémoire pour cette sauvegarde. Rien n'a été changé.",
        "Not enough room on the memory card for this backup. Nothing was changed.",
    ),
}


# Texts of the modem by their English beginning; others are shown unchanged.
_WHY = {
    "the SIM did not take the P": Words(
        "vérifiez-le chiffre par chiffre", "check it digit by digit"
    ),
    "the SIM does not want": Words("la carte n'en demande pas", "the card does not ask for one"),
    "only 1 PIN try is left": Words(
        "il ne reste qu'un essai : déverrouillez la carte dans un téléphone",
        "only one try is left: unlock the card in a phone",
    ),
    "the modem did not answer": Words("le modem n'a pas répondu", "the modem did not answer"),
    "the operator did not answer": Words("il est resté silencieux", "it stayed silent"),
    "the operator does not know": Words(
        "il ne connaît pas ce code", "the operator does not know this code"
    ),
    "the operator ended": Words("il a mis fin à l'échange", "the operator ended the dialogue"),
    "the network did not answer": Words("le réseau se tait", "the network is silent"),
    "another USSD question": Words(
        "une autre question est en cours", "another question is still open"
    ),
}


def standing(result: Result, running: str, step: str) -> str:
    """Return the code to show: a root that restarted the box and does not run has not started."""
    if result.code == "RESTARTING" and not step:
        return "UPDATED" if result.version == running else "NOT_STARTED"
    return result.code


class PageLanguage(msgspec.Struct, frozen=True):
    """The visitor's language and the box's time zone."""

    language: Language
    zone: ZoneInfo

    def pick(self, french: str, english: str) -> str:
        """Return the sentence in this language; both are given at the place of use."""
        return _set(english if self.language == "en" else french, self.language)

    def say(self, words: Words) -> str:
        return _set(words.say(self.language), self.language)

    def verdict(self, words: Words) -> tuple[str, str]:
        """Return the short part of a problem's sentence, and the rest."""
        text = self.say(words)
        found = re.search(r"\u00a0?:(?= )|(?= \()", text)
        return (text[: found.end()], text[found.end() :]) if found else (text, "")

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

    def narrowing(self, may: Permissions) -> list[str]:
        """Return the restrictions of a key; empty for an unrestricted key."""
        found = [
            (not may.send, self.pick("lecture seule", "read only")),
            (not may.read, self.pick("envoi seul", "send only")),
            (may.short_codes, self.pick("numéros courts", "short codes")),
            (bool(may.prefixes), " ".join(may.prefixes)),
            (may.daily_cap is not None, f"{may.daily_cap} " + self.pick("par jour", "a day")),
        ]
        return [words for holds, words in found if holds]

    def why(self, told: str) -> str:
        """Return a modem's reason as part of a sentence."""
        known = (words for begins, words in _WHY.items() if told.startswith(begins))
        return self.say(next(known, Words(told, told)))

    def refusal(self, reason: Reason) -> str:
        """Return an error in words; for a field with its name on the page."""
        told = reason.told(self.language) or {}
        if reason.code != "INVALID_REQUEST" or told.get("field") not in _FIELD:
            return _set(reason.message(self.language), self.language)
        begins = self.say(_FIELD[str(told["field"])]).rstrip()
        return _set(f"{begins} {told['reason']}.", self.language)

    def steps(self) -> list[tuple[str, str]]:
        """Return the steps of an update in order."""
        return [(name, self.say(words)) for name, words in _STEP.items()]

    def outcome(self, code: str, data: str) -> str:
        """Return the result of an update in words."""
        told = self.say(_UPDATE.get(code, _UPDATE_UNKNOWN))
        restored = code in ("ROLLED_BACK", "CUT_OFF") and data == "restored"
        return f"{told} {self.say(_DATA_BACK)}" if restored else told

    def priority(self, level: int) -> str:
        return self.say(_PRIORITY[level - 1])

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
        return f"{day} {_MONTHS[self.language][month - 1]}"

    def when(self, milliseconds: int, now: int) -> str:
        """Return a time in short: the time of day today, else with the day, else with the year."""
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
        """Return a time to the second, with its day."""
        at = self._at(milliseconds)
        return (
            f"{at.day} {_MONTHS[self.language][at.month - 1]} {at.year} {at.strftime('%H:%M:%S')}"
        )

    def lasting(self, milliseconds: int) -> str:
        """Return a duration, rounded: `2 min`, `3 h 10`."""
        minutes = max(1, round(milliseconds / 60_000))
        if minutes < 60:
            return f"{minutes} min"
        hours, rest = divmod(minutes, 60)
        if hours < 48:
            return f"{hours} h {rest:02d}" if rest else f"{hours} h"
        return f"{round(hours / 24)} " + self.pick("jours", "days")

    def number(self, n: int) -> str:
        """Return a number with its thousands separated: a narrow no-break space in French, a comma in English."""
        return f"{n:,}".replace(",", "\u202f") if self.language == "fr" else f"{n:,}"

    def count(self, n: int, french: tuple[str, str], english: tuple[str, str]) -> str:
        """Return `n` things, singular or plural; 0 is singular in French and plural in English."""
        if self.language == "fr":
            return f"{self.number(n)} {french[n > 1]}"
        return f"{self.number(n)} {english[n != 1]}"

    def amount(self, value: float) -> str:
        """Return an amount without its currency: `2`, `2,50`."""
        text = f"{value:.2f}".removesuffix(".00")
        return text.replace(".", ",") if self.language == "fr" else text

    def percent(self, share: float) -> str:
        text = f"{share:.1f}".rstrip("0").rstrip(".")
        return f"{text.replace('.', ',')}\u202f%" if self.language == "fr" else f"{text}%"


# No line break before these in French, nor inside a settings path in both languages.
_UNBROKEN = ((" :", "\u00a0:"), (" ;", "\u202f;"), (" ?", "\u202f?"), (" !", "\u202f!"))


def _set(text: str, language: Language) -> str:
    """Return a sentence with no-break spaces, so that no line begins with a lone sign."""
    for loose, tied in _UNBROKEN if language == "fr" else ():
        text = text.replace(loose, tied)
    return text.replace(" › ", "\u00a0› ")


def phone(number: str, *, open_to: bool) -> str:
    """Return a phone number, masked for everybody except the owner."""
    return number if open_to else mask_phone(number)


def characters(text: str) -> str:
    """Return the names of characters, invisible ones by their code."""
    return " ".join(c if c.isprintable() and not c.isspace() else f"U+{ord(c):04X}" for c in text)
