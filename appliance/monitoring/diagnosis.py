"""Diagnosis: what is wrong with the box, and what to do about it. Pure.

The page, `/health` and `zimbox doctor` go by these rules.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from appliance.core.i18n import Text, _, ngettext
from appliance.devices.snapshot import ModemSnapshot
from appliance.monitoring.wifi import Wifi
from appliance.store.failure_causes import fault_text
from modem.interface import Fault, FaultKind, Limitation, ModemState, Verdict

Severity = Literal["bad", "warning", "note"]

WEAK_DBM = -103  # at or below this, sending fails often
LOW_DISK_MIB = 200  # above the reserve: time to act before the box refuses messages
MQTT_MINUTES = 2.0  # without a broker before the page warns
WEBHOOK_FAILURES = 3  # given up within a day before the page warns
# Failed messages of the last hours: so many, and this share of all, before the page warns, or calls it bad.
FAILURES_LEAST = 3
FAILURES_WARN, FAILURES_BAD = 0.15, 0.5


class DiagnosisInput(msgspec.Struct, frozen=True):
    """The state of the box that a diagnosis needs."""

    modems: tuple[ModemSnapshot, ...]
    waiting: int = 0  # parts that may be sent now
    scheduled: int = 0  # messages scheduled for later
    minutes_without_progress: float | None = None  # since a part was last sent; None: nothing waits
    stuck_minutes: float = 15.0  # without progress for this long, although a modem is ready
    disk_free_mib: int = 1 << 20
    disk_reserve_mib: int = 32
    clock_trusted: bool = True
    webhooks_given_up: int = 0  # in the last 24 h
    unplaced_reports: int = 0  # delivery reports of the last 24 h that belong to no message
    wifi: Wifi | None = None
    recent_hours: int = 3  # the time that the next two are of
    recent_gone: int = 0  # messages created in it that have left the queue
    recent_failed: int = 0  # those of them that failed
    mqtt_minutes: float | None = (
        None  # without the MQTT broker; None: it is there, or there is none
    )
    mqtt_cause: str = ""
    held: int = 0  # messages of a restored backup that wait for the owner's decision


class Problem(msgspec.Struct, frozen=True):
    """A problem: what is wrong, and what to do about it."""

    code: str
    severity: Severity
    what: Text
    advice: Text
    modems: str = ""  # the names of those that have it, unless all have

    @property
    def text(self) -> Text:
        """The problem in one sentence."""
        return self._sentence(self.what)

    @property
    def text_after_what(self) -> Text:
        """The sentence without its beginning, which a page may show larger."""
        return self._sentence("")

    def _sentence(self, what: str | Text) -> Text:
        if self.modems:
            return _(
                "{what} ({modems}): {advice}", what=what, modems=self.modems, advice=self.advice
            )
        return _("{what}: {advice}", what=what, advice=self.advice)


ALL_WELL = _("All is well: the box sends and receives.")
ORDER: dict[Severity, int] = {"bad": 0, "warning": 1, "note": 2}


def diagnose(facts: DiagnosisInput) -> tuple[Problem, ...]:
    """Return all problems, the worst first; empty when all is well."""
    found = _of_modems(facts.modems)
    if not facts.modems:
        found.append(
            Problem(
                "no_modem",
                "bad",
                _("No modem is set up"),
                _("connect the modem, then restart the box."),
            )
        )
    found += _box(facts)
    return tuple(sorted(found, key=lambda p: ORDER[p.severity]))


def _of_modems(modems: tuple[ModemSnapshot, ...]) -> list[Problem]:
    """Return each problem once, with the names of its modems unless all have it."""
    having: dict[Problem, list[str]] = {}
    for modem in modems:
        for problem in of_modem(modem):
            having.setdefault(problem, []).append(modem.name)
    return [
        problem
        if len(names) == len(modems)
        else msgspec.structs.replace(problem, modems=", ".join(names))
        for problem, names in having.items()
    ]


# --- one modem ---------------------------------------------------------------------------------

_STATES: dict[ModemState, tuple[str, Severity, Text, Text]] = {
    ModemState.SIM_MISSING: (
        "sim_missing",
        "bad",
        _("No SIM card"),
        _("switch the box off, insert the SIM card, switch it on again."),
    ),
    ModemState.SIM_FAILURE: (
        "sim_failure",
        "bad",
        _("The SIM card does not answer"),
        _("take it out, wipe it and put it back; if that does not help, try it in a phone."),
    ),
    ModemState.PUK_REQUIRED: (
        "puk_required",
        "bad",
        _("The SIM card is locked"),
        _("enter the PUK code you got from your operator in Settings › SIM."),
    ),
    ModemState.NO_SMSC: (
        "no_smsc",
        "bad",
        _("The SIM card has no SMS centre number"),
        _("ask your operator for it and set it with the SIM in a phone."),
    ),
    ModemState.STOPPED: (
        "stopped",
        "note",
        _("The modem is stopped"),
        _("the box is restarting or shutting down."),
    ),
    ModemState.REFUSING: (
        "modem_refuses",
        "bad",
        _("The modem answers but does not keep its settings"),
        _(
            "the box resets it and tries again; if this lasts, unplug the modem and plug it in again, "
            "and make sure that no other program uses its port."
        ),
    ),
    ModemState.STARTING: (
        "starting",
        "note",
        _("The modem is starting"),
        _("give it a minute."),
    ),
}


_LIMITATIONS: dict[Limitation, tuple[str, Severity, Text, Text]] = {
    Limitation.NO_STORAGE: (
        "no_storage",
        "bad",
        _("The modem has no room for received messages"),
        _(
            "received SMS stay with the operator; put in another SIM card, "
            "or use a modem with a message storage of its own."
        ),
    ),
    Limitation.STORAGE_STUCK: (
        "storage_stuck",
        "bad",
        _("The modem's SMS storage is full and cannot be emptied"),
        _(
            "received SMS stay with the operator; restart the modem in Settings › SIM, "
            "or delete the messages with the SIM card in a phone."
        ),
    ),
    Limitation.NO_REPORTS: (
        "no_reports",
        "warning",
        _("No delivery reports reach the box"),
        _(
            "messages go out and stay at “sent”; choose another port of the modem in the settings, "
            "or ask your operator whether the plan includes delivery reports."
        ),
    ),
    Limitation.RESTARTING: (
        "modem_restarts",
        "bad",
        _("The modem restarts again and again"),
        _(
            "use the original power supply and a short cable, then restart the modem in Settings › SIM."
        ),
    ),
}


def of_modem(modem: ModemSnapshot) -> list[Problem]:
    """Return the problems of one modem."""
    limited = [
        Problem(*_LIMITATIONS[each]) for each in Limitation if each in modem.status.limitations
    ]
    return [*_state(modem), *limited, *_power(modem)]


def _state(modem: ModemSnapshot) -> list[Problem]:
    if modem.state in _STATES:
        return [Problem(*_STATES[modem.state])]
    if modem.state == ModemState.OFFLINE:
        return [_offline(modem)]
    if modem.state == ModemState.PIN_REQUIRED:
        return [_pin(modem)]
    if modem.state in (ModemState.SEARCHING, ModemState.DENIED):
        return [_no_network(modem)]
    return _sending(modem)


def _offline(modem: ModemSnapshot) -> Problem:
    if modem.network:
        return Problem(
            "modem_offline",
            "bad",
            _("The modem does not answer"),
            _(
                "check the network to its serial server, that ser2net runs there and that the modem has power; "
                "the box keeps trying and will go on by itself."
            ),
        )
    return Problem(
        "modem_offline",
        "bad",
        _("The modem does not answer"),
        _("check its cable and its power; the box keeps looking for it and will go on by itself."),
    )


def _pin(modem: ModemSnapshot) -> Problem:
    left = modem.status.pin_tries_left
    if left is not None and left < 2:
        return Problem(
            "pin_last_try",
            "bad",
            _("Only one PIN try is left"),
            _("put the SIM card into a phone and unlock it there."),
        )
    what = _("The SIM card asks for its PIN")
    if left is None:
        return Problem("pin_required", "bad", what, _("enter it in Settings › SIM."))
    return Problem(
        "pin_required", "bad", what, _("enter it in Settings › SIM ({left} tries left).", left=left)
    )


def _no_network(modem: ModemSnapshot) -> Problem:
    if (
        modem.state == ModemState.DENIED or modem.status.registration == 3
    ):  # 27.007 7.2: registration denied
        return Problem(
            "network_denied",
            "bad",
            _("The network refuses this SIM card"),
            _("check with your operator that it is activated and paid for."),
        )
    if modem.status.signal_dbm is None:
        return Problem(
            "no_signal",
            "bad",
            _("No network, no signal at all"),
            _("check that the antenna is screwed on and move the box nearer to a window."),
        )
    return Problem(
        "searching",
        "bad",
        _("No network yet"),
        _(
            "the modem is searching; if this takes more than five minutes, "
            "move the antenna or check your operator's coverage."
        ),
    )


def _power(modem: ModemSnapshot) -> list[Problem]:
    if not modem.status.warning:
        return []
    if modem.status.warning == "overvoltage":
        return [
            Problem(
                "overvoltage",
                "warning",
                _("The supply voltage is too high"),
                _("unplug the box and use the original power supply."),
            )
        ]
    if modem.status.warning == "undervoltage":
        return [_undervoltage()]
    return [
        Problem(
            "modem_warning",
            "warning",
            _("The modem reports"),
            _("{warning}.", warning=modem.status.warning),
        )
    ]


def _undervoltage() -> Problem:
    return Problem(
        "undervoltage",
        "warning",
        _("The supply voltage is too low"),
        _("use the original power supply and a short cable."),
    )


def _sending(modem: ModemSnapshot) -> list[Problem]:
    found: list[Problem] = []
    if modem.fault is not None and modem.fault.kind == FaultKind.CREDIT:
        found.append(
            Problem(
                "no_credit",
                "bad",
                _("No credit on the SIM card"),
                _("top it up; the messages wait and will go out afterwards."),
            )
        )
    elif modem.refused:
        found.append(
            Problem(
                "operator_refuses",
                "bad",
                _("The operator refuses SMS from this SIM"),
                _with_cause(modem.fault)
                if modem.fault
                else _("check credit and plan, then call your operator."),
            )
        )
    elif modem.fault is not None:
        found.append(
            Problem(
                "modem_rests",
                "bad" if modem.fault.verdict == Verdict.OWNER else "warning",
                _("Sending has stopped"),
                _("the box tries again by itself. {cause}", cause=fault_text(modem.fault)),
            )
        )
    dbm = modem.status.signal_dbm
    if dbm is not None and dbm <= WEAK_DBM:
        found.append(
            Problem(
                "signal_weak",
                "warning",
                _("The signal is weak ({dbm} dBm)", dbm=dbm),
                _("move the antenna to a window."),
            )
        )
    if modem.balance_low:
        found.append(
            Problem(
                "balance_low",
                "warning",
                _("The credit of the SIM card is nearly used up"),
                _("top it up soon."),
            )
        )
    if modem.status.storage_full:
        found.append(
            Problem(
                "store_full",
                "warning",
                _("The modem's SMS store is full"),
                _("the box is emptying it; if this lasts, restart the modem in Settings › SIM."),
            )
        )
    if modem.held_by:
        found.append(_held(modem.held_by))
    if modem.identified_by in _IDENTITIES:
        what, advice = _IDENTITIES[modem.identified_by]
        found.append(Problem("identity", "note", what, advice))
    return found


_NO_IMEI = _("The modem does not tell its serial number (IMEI)")
_IDENTITIES: dict[str, tuple[Text, Text]] = {
    "sim": (_NO_IMEI, _("the box knows it by its SIM card; with another SIM it is a new modem.")),
    "port": (_NO_IMEI, _("the box knows it by its port; leave it plugged in there.")),
    "imei and sim": (
        _("Another modem has the same serial number (IMEI)"),
        _("the box tells them apart by their SIM cards; do not swap these."),
    ),
}


def _with_cause(fault: Fault) -> Text:
    return _("check credit and plan, then call your operator. {cause}", cause=fault_text(fault))


_LIMITS: dict[str, Text] = {
    "per_minute": _("the limit per minute is reached"),
    "per_hour": _("the limit per hour is reached"),
    "per_day": _("today's limit is reached"),
    "per_month": _("this month's limit is reached"),
    "recipients_per_month": _("this month's number of recipients is reached"),
}


def _held(limit: str) -> Problem:
    if limit == "quiet_hours":
        return Problem(
            "quiet_hours",
            "note",
            _("Quiet hours"),
            _("the messages will go out when they end."),
        )
    reached = _LIMITS.get(limit, _("a limit is reached"))
    severity: Severity = "note" if limit in ("per_minute", "per_hour") else "warning"
    return Problem(
        f"limit_{limit}",
        severity,
        _("Messages are waiting"),
        _(
            "{limit}; they will go out by themselves afterwards, "
            "or change the limit in Settings › SIM.",
            limit=reached,
        ),
    )


# --- the box -----------------------------------------------------------------------------------


def _wifi(wifi: Wifi | None) -> list[Problem]:
    if wifi is None or wifi.state in ("connected", "connecting"):
        return []
    if wifi.state == "wrong_password":
        return [
            Problem(
                "wifi_wrong_password",
                "warning",
                _("The Wi-Fi network {ssid} refuses the password", ssid=wifi.ssid),
                _(
                    "put a zimbox.toml with the right one on the memory card; a cable works meanwhile."
                ),
            )
        ]
    return [
        Problem(
            "wifi_not_found",
            "warning",
            _("The Wi-Fi network {ssid} is not found", ssid=wifi.ssid),
            _(
                "check its name and the distance to the router; a 5 GHz network is not seen by every board."
            ),
        )
    ]


def _failures(facts: DiagnosisInput) -> list[Problem]:
    """Return a problem when many messages of the last hours failed, whatever the modem says of itself."""
    failed, gone = facts.recent_failed, facts.recent_gone
    if failed < FAILURES_LEAST or failed < FAILURES_WARN * gone:
        return []
    return [
        Problem(
            "many_failures",
            "bad" if failed >= FAILURES_BAD * gone else "warning",
            _(
                "{failed} of {gone} SMS of the last {hours} hours have failed",
                failed=failed,
                gone=gone,
                hours=facts.recent_hours,
            ),
            _("look at the reasons in Messages, status Failed."),
        )
    ]


def _box(facts: DiagnosisInput) -> list[Problem]:
    found = _failures(facts)
    if _stuck(facts):
        minutes = f"{facts.stuck_minutes:g}"
        found.append(
            Problem(
                "queue_stuck",
                "bad",
                _(
                    "The queue has not moved for more than {minutes} minutes although the modem is ready",
                    minutes=minutes,
                ),
                _("restart the modem in Settings › SIM."),
            )
        )
    if facts.disk_free_mib < facts.disk_reserve_mib:
        found.append(
            Problem(
                "disk_full",
                "bad",
                _("The memory card is full and the box takes no more messages"),
                _("use a larger card, or keep messages for less time (setting retention.days)."),
            )
        )
    elif facts.disk_free_mib < facts.disk_reserve_mib + LOW_DISK_MIB:
        found.append(
            Problem(
                "disk_low",
                "warning",
                _("The memory card is nearly full ({free} MiB free)", free=facts.disk_free_mib),
                _(
                    "make a backup and use a larger card, or keep messages for less time (setting retention.days)."
                ),
            )
        )
    if facts.held:
        found.append(
            Problem(
                "restored_messages_held",
                "warning",
                ngettext(
                    "{n} message waits for your decision since the restore",
                    "{n} messages wait for your decision since the restore",
                    facts.held,
                ),
                _("they may have been sent before; send or drop them under Held messages."),
            )
        )
    found += _wifi(facts.wifi)
    if not facts.clock_trusted:
        found.append(
            Problem(
                "clock_unknown",
                "warning" if facts.scheduled else "note",
                _("The box does not know the time yet"),
                _(
                    "the mobile network may tell it, else connect it to the internet; scheduled messages wait."
                ),
            )
        )
    if facts.webhooks_given_up >= WEBHOOK_FAILURES:
        found.append(
            Problem(
                "webhook_failing",
                "warning",
                _(
                    "Your server did not answer {n} notifications within 24 hours",
                    n=facts.webhooks_given_up,
                ),
                _("check its address in Settings › Webhooks."),
            )
        )
    if facts.mqtt_minutes is not None and facts.mqtt_minutes >= MQTT_MINUTES:
        found.append(
            Problem(
                "mqtt_offline",
                "warning",
                _("The MQTT broker is not connected"),
                _(
                    "check [mqtt] in zimbox.toml ({cause}); the box keeps trying, and events wait.",
                    cause=facts.mqtt_cause,
                ),
            )
        )
    if facts.unplaced_reports:
        found.append(
            Problem(
                "unplaced_reports",
                "note",
                _(
                    "{n} delivery reports within 24 hours belong to no message",
                    n=facts.unplaced_reports,
                ),
                _(
                    "the operator alters them, or the SIM was used elsewhere; some messages stay Sent."
                ),
            )
        )
    return found


def _stuck(facts: DiagnosisInput) -> bool:
    still = facts.minutes_without_progress
    moving = [m for m in facts.modems if m.state == ModemState.READY]
    free = [m for m in moving if not (m.held_by or m.refused or m.fault)]
    return bool(free) and facts.waiting > 0 and still is not None and still >= facts.stuck_minutes
