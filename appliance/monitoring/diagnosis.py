"""Diagnosis: what is wrong with the box, and what to do about it. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from appliance.domain.errors import Words
from modem.interface import Fault, ModemState, Verdict

Severity = Literal["bad", "warning", "note"]

LOW_DISK_MIB = 200  # above the reserve: time to act before the box refuses messages
WEBHOOK_FAILURES = 3  # given up within a day before the page warns


class ModemFacts(msgspec.Struct, frozen=True):
    """The state of one modem that a diagnosis needs."""

    name: str
    state: ModemState
    tries_left: int | None = None
    registration: int | None = None  # 27.007 7.2 <stat>
    signal_dbm: int | None = None
    refused: bool = False  # the operator refuses several recipients in a row
    fault: Fault | None = None  # why the modem rests
    held_by: str = ""  # the limit that delays the queue
    warning: str = ""
    balance: float | None = None
    balance_low: float = 0.0
    store_full: bool = False


class DiagnosisInput(msgspec.Struct, frozen=True):
    """The state of the box that a diagnosis needs."""

    modems: tuple[ModemFacts, ...]
    waiting: int = 0  # parts that may be sent now
    scheduled: int = 0  # messages scheduled for later
    minutes_without_progress: float | None = None  # since a part was last sent; None: nothing waits
    stuck_minutes: float = 15.0  # without progress for this long, although a modem is ready
    disk_free_mib: int = 1 << 20
    disk_reserve_mib: int = 32
    clock_trusted: bool = True
    webhooks_given_up: int = 0  # in the last 24 h
    held: int = 0  # messages of a restored backup that wait for the owner's decision


class Problem(msgspec.Struct, frozen=True):
    """A problem: what is wrong and what to do, in one sentence."""

    code: str
    severity: Severity
    words: Words


def _problem(code: str, severity: Severity, french: str, english: str) -> Problem:
    return Problem(code, severity, Words(french, english))


ALL_WELL = Words(
    "Tout va bien : le boîtier envoie et reçoit.", "All is well: the box sends and receives."
)
ORDER: dict[Severity, int] = {"bad": 0, "warning": 1, "note": 2}


def diagnose(facts: DiagnosisInput) -> tuple[Problem, ...]:
    """Return all problems, the worst first; empty when all is well."""
    found = _of_modems(facts.modems)
    if not facts.modems:
        found.append(
            _problem(
                "no_modem",
                "bad",
                "Aucun modem n'est configuré : branchez le modem, puis redémarrez le boîtier.",
                "No modem is set up: connect the modem, then restart the box.",
            )
        )
    found += _box(facts)
    return tuple(sorted(found, key=lambda p: ORDER[p.severity]))


def _of_modems(modems: tuple[ModemFacts, ...]) -> list[Problem]:
    """Return each problem once, with the names of its modems unless all have it."""
    having: dict[Problem, list[str]] = {}
    for modem in modems:
        for problem in _modem(modem):
            having.setdefault(problem, []).append(modem.name)
    return [
        problem if len(names) == len(modems) else _named(problem, ", ".join(names))
        for problem, names in having.items()
    ]


def _named(problem: Problem, names: str) -> Problem:
    french, english = problem.words.french, problem.words.english
    return _problem(
        problem.code,
        problem.severity,
        french.replace(" :", f" ({names}) :", 1),
        english.replace(":", f" ({names}):", 1),
    )


# --- one modem ---------------------------------------------------------------------------------

_STATES: dict[ModemState, tuple[str, Severity, str, str]] = {
    ModemState.SIM_MISSING: (
        "sim_missing",
        "bad",
        "Pas de carte SIM : éteignez le boîtier, insérez la carte SIM, rallumez-le.",
        "No SIM card: switch the box off, insert the SIM card, switch it on again.",
    ),
    ModemState.SIM_FAILURE: (
        "sim_failure",
        "bad",
        "La carte SIM ne répond pas : retirez-la, essuyez-la et remettez-la ; "
        "si cela ne suffit pas, essayez-la dans un téléphone.",
        "The SIM card does not answer: take it out, wipe it and put it back; "
        "if that does not help, try it in a phone.",
    ),
    ModemState.PUK_REQUIRED: (
        "puk_required",
        "bad",
        "La carte SIM est bloquée : saisissez dans Réglages › SIM le code PUK "
        "remis par votre opérateur.",
        "The SIM card is locked: enter the PUK code you got from your operator in Settings › SIM.",
    ),
    ModemState.NO_SMSC: (
        "no_smsc",
        "bad",
        "La carte SIM n'a pas de numéro de centre SMS : demandez-le à votre opérateur "
        "et réglez-le avec la SIM dans un téléphone.",
        "The SIM card has no SMS centre number: ask your operator for it "
        "and set it with the SIM in a phone.",
    ),
    ModemState.STOPPED: (
        "stopped",
        "note",
        "Le modem est arrêté : le boîtier redémarre ou s'éteint.",
        "The modem is stopped: the box is restarting or shutting down.",
    ),
    ModemState.STARTING: (
        "starting",
        "note",
        "Le modem démarre : patientez une minute.",
        "The modem is starting: give it a minute.",
    ),
}


def _modem(modem: ModemFacts) -> list[Problem]:
    if modem.state in _STATES:
        return [_problem(*_STATES[modem.state]), *_power(modem)]
    if modem.state == ModemState.OFFLINE:
        return [_offline(), *_power(modem)]
    if modem.state == ModemState.PIN_REQUIRED:
        return [_pin(modem), *_power(modem)]
    if modem.state in (ModemState.SEARCHING, ModemState.DENIED):
        return [_no_network(modem), *_power(modem)]
    return [*_sending(modem), *_power(modem)]


def _offline() -> Problem:
    return _problem(
        "modem_offline",
        "bad",
        "Le modem ne répond pas : vérifiez son câble et son alimentation ; "
        "le boîtier le cherche sans cesse et reprendra tout seul.",
        "The modem does not answer: check its cable and its power; "
        "the box keeps looking for it and will go on by itself.",
    )


def _pin(modem: ModemFacts) -> Problem:
    left = modem.tries_left
    if left is not None and left < 2:
        return _problem(
            "pin_last_try",
            "bad",
            "Il ne reste qu'un essai de code PIN : mettez la carte SIM dans un téléphone "
            "et déverrouillez-la là.",
            "Only one PIN try is left: put the SIM card into a phone and unlock it there.",
        )
    tries = ("", "") if left is None else (f" ({left} essais restants)", f" ({left} tries left)")
    return _problem(
        "pin_required",
        "bad",
        f"La carte SIM demande son code PIN : saisissez-le dans Réglages › SIM{tries[0]}.",
        f"The SIM card asks for its PIN: enter it in Settings › SIM{tries[1]}.",
    )


def _no_network(modem: ModemFacts) -> Problem:
    if (
        modem.state == ModemState.DENIED or modem.registration == 3
    ):  # 27.007 7.2: registration denied
        return _problem(
            "network_denied",
            "bad",
            "Le réseau refuse cette carte SIM : vérifiez auprès de votre opérateur "
            "qu'elle est activée et que l'abonnement est payé.",
            "The network refuses this SIM card: check with your operator "
            "that it is activated and paid for.",
        )
    if modem.signal_dbm is None:
        return _problem(
            "no_signal",
            "bad",
            "Pas de réseau, aucun signal : vérifiez que l'antenne est vissée "
            "et rapprochez le boîtier d'une fenêtre.",
            "No network, no signal at all: check that the antenna is screwed on "
            "and move the box nearer to a window.",
        )
    return _problem(
        "searching",
        "bad",
        "Pas encore de réseau : le modem cherche ; si cela dure plus de cinq minutes, "
        "déplacez l'antenne ou vérifiez la couverture de votre opérateur.",
        "No network yet: the modem is searching; if this takes more than five minutes, "
        "move the antenna or check your operator's coverage.",
    )


def _power(modem: ModemFacts) -> list[Problem]:
    if not modem.warning:
        return []
    if modem.warning == "overvoltage":
        return [
            _problem(
                "overvoltage",
                "warning",
                "La tension d'alimentation est trop haute : débranchez le boîtier "
                "et utilisez le bloc d'alimentation d'origine.",
                "The supply voltage is too high: unplug the box and use the original power supply.",
            )
        ]
    if modem.warning == "undervoltage":
        return [_undervoltage()]
    return [
        _problem(
            "modem_warning",
            "warning",
            f"Le modem signale : {modem.warning}.",
            f"The modem reports: {modem.warning}.",
        )
    ]


def _undervoltage() -> Problem:
    return _problem(
        "undervoltage",
        "warning",
        "La tension d'alimentation est trop basse : utilisez le bloc d'alimentation d'origine "
        "et un câble court.",
        "The supply voltage is too low: use the original power supply and a short cable.",
    )


def _sending(modem: ModemFacts) -> list[Problem]:
    found: list[Problem] = []
    if modem.fault is not None and modem.fault.code == "NO_CREDIT":
        found.append(
            _problem(
                "no_credit",
                "bad",
                "Plus de crédit sur la carte SIM : rechargez-la ; "
                "les messages attendent et partiront ensuite.",
                "No credit on the SIM card: top it up; "
                "the messages wait and will go out afterwards.",
            )
        )
    elif modem.refused:
        found.append(
            _problem(
                "operator_refuses",
                "bad",
                "L'opérateur refuse les SMS de cette carte"
                + (f" ({_inner(modem.fault.french)})" if modem.fault else "")
                + " : vérifiez crédit et forfait, puis appelez votre opérateur.",
                "The operator refuses SMS from this SIM"
                + (f" ({_inner(modem.fault.english)})" if modem.fault else "")
                + ": check credit and plan, then call your operator.",
            )
        )
    elif modem.fault is not None:
        found.append(
            _problem(
                "modem_rests",
                "bad" if modem.fault.verdict == Verdict.OWNER else "warning",
                f"L'envoi est arrêté : {_inner(modem.fault.french)} ; "
                "le boîtier réessaie tout seul.",
                f"Sending has stopped: {_inner(modem.fault.english)}; the box tries again by itself.",
            )
        )
    if modem.balance is not None and modem.balance_low and modem.balance < modem.balance_low:
        found.append(
            _problem(
                "balance_low",
                "warning",
                "Le crédit de la carte SIM est presque épuisé : rechargez-la bientôt.",
                "The credit of the SIM card is nearly used up: top it up soon.",
            )
        )
    if modem.store_full:
        found.append(
            _problem(
                "store_full",
                "warning",
                "La mémoire SMS du modem est pleine : le boîtier la vide ; "
                "si cela dure, redémarrez le modem dans Réglages › SIM.",
                "The modem's SMS store is full: the box is emptying it; "
                "if this lasts, restart the modem in Settings › SIM.",
            )
        )
    if modem.held_by:
        found.append(_held(modem.held_by))
    return found


def _inner(sentence: str) -> str:
    """Return a sentence for use inside another one."""
    first = sentence[:1] if sentence[1:2].isupper() else sentence[:1].lower()
    return first + sentence[1:].rstrip(".")


_LIMITS: dict[str, tuple[str, str]] = {
    "per_minute": ("la limite par minute est atteinte", "the limit per minute is reached"),
    "per_hour": ("la limite par heure est atteinte", "the limit per hour is reached"),
    "per_day": ("la limite du jour est atteinte", "today's limit is reached"),
    "per_month": ("la limite du mois est atteinte", "this month's limit is reached"),
    "recipients_per_month": (
        "le nombre de destinataires du mois est atteint",
        "this month's number of recipients is reached",
    ),
}


def _held(limit: str) -> Problem:
    if limit == "quiet_hours":
        return _problem(
            "quiet_hours",
            "note",
            "Heures calmes : les messages partiront à leur fin.",
            "Quiet hours: the messages will go out when they end.",
        )
    french, english = _LIMITS.get(limit, ("une limite est atteinte", "a limit is reached"))
    severity: Severity = "note" if limit in ("per_minute", "per_hour") else "warning"
    return _problem(
        f"limit_{limit}",
        severity,
        f"Les messages attendent : {french} ; ils partiront ensuite tout seuls, "
        "ou changez la limite dans Réglages › SIM.",
        f"Messages are waiting: {english}; they will go out by themselves afterwards, "
        "or change the limit in Settings › SIM.",
    )


# --- the box -----------------------------------------------------------------------------------


def _box(facts: DiagnosisInput) -> list[Problem]:
    found: list[Problem] = []
    if _stuck(facts):
        minutes = f"{facts.stuck_minutes:g}"
        found.append(
            _problem(
                "queue_stuck",
                "bad",
                f"La file n'avance plus depuis plus de {minutes} minutes alors que le modem est prêt : "
                "redémarrez le modem dans Réglages › SIM.",
                f"The queue has not moved for more than {minutes} minutes although the modem is ready: "
                "restart the modem in Settings › SIM.",
            )
        )
    if facts.disk_free_mib < facts.disk_reserve_mib:
        found.append(
            _problem(
                "disk_full",
                "bad",
                "La carte mémoire est pleine, le boîtier n'accepte plus de messages : "
                "mettez une carte plus grande, ou gardez les messages moins longtemps "
                "(réglage retention.days).",
                "The memory card is full and the box takes no more messages: "
                "use a larger card, or keep messages for less time (setting retention.days).",
            )
        )
    elif facts.disk_free_mib < facts.disk_reserve_mib + LOW_DISK_MIB:
        found.append(
            _problem(
                "disk_low",
                "warning",
                f"La carte mémoire est presque pleine ({facts.disk_free_mib} Mio libres) : "
                "faites une sauvegarde et mettez une carte plus grande, ou gardez les messages "
                "moins longtemps (réglage retention.days).",
                f"The memory card is nearly full ({facts.disk_free_mib} MiB free): make a backup and "
                "use a larger card, or keep messages for less time (setting retention.days).",
            )
        )
    if facts.held:
        found.append(
            _problem(
                "restored_messages_held",
                "warning",
                f"Depuis la restauration, {facts.held} messages attendent votre décision : ils sont "
                "peut-être déjà partis ; envoyez-les ou non dans Messages retenus.",
                f"Since the restore {facts.held} messages wait for your decision: they may have been sent "
                "before; send or drop them under Held messages.",
            )
        )
    if not facts.clock_trusted:
        found.append(
            _problem(
                "clock_unknown",
                "warning" if facts.scheduled else "note",
                "Le boîtier ne connaît pas encore l'heure : le réseau mobile peut la lui donner, "
                "sinon reliez-le à Internet ; les envois programmés attendent.",
                "The box does not know the time yet: the mobile network may tell it, "
                "else connect it to the internet; scheduled messages wait.",
            )
        )
    if facts.webhooks_given_up >= WEBHOOK_FAILURES:
        found.append(
            _problem(
                "webhook_failing",
                "warning",
                f"Votre serveur n'a pas répondu à {facts.webhooks_given_up} notifications "
                "en 24 heures : vérifiez son adresse dans Réglages › Webhooks.",
                f"Your server did not answer {facts.webhooks_given_up} notifications "
                "within 24 hours: check its address in Settings › Webhooks.",
            )
        )
    return found


def _stuck(facts: DiagnosisInput) -> bool:
    still = facts.minutes_without_progress
    moving = [m for m in facts.modems if m.state == ModemState.READY]
    free = [m for m in moving if not (m.held_by or m.refused or m.fault)]
    return bool(free) and facts.waiting > 0 and still is not None and still >= facts.stuck_minutes
