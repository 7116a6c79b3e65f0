"""Submission of one part over the line, and its outcome."""

from __future__ import annotations

import itertools

import msgspec

from modem.at import responses
from modem.at.client import AtClient
from modem.at.errors import CommandError, Corrupted, NoResponse, PortError, ProbeRequired
from modem.driver.references import References
from modem.error_codes import lookup
from modem.interface import N_, Fault, FaultKind, Outcome, Tpdu, Verdict


def waiting(english: str) -> Outcome:
    """Return the outcome of a part that was not sent, through no fault of the message."""
    fault = Fault(Verdict.WAIT, FaultKind.DEVICE, "modem", None, english)
    return Outcome(Verdict.WAIT, fault=fault, given=False)


_NO_PROMPT = waiting(
    N_("The modem did not ask for the text of the message."),
)
_PORT_LOST = waiting(
    N_("The modem was lost before the message was handed over."),
)
_UNKNOWN = Outcome(
    Verdict.UNKNOWN,
    fault=Fault(
        Verdict.UNKNOWN,
        FaultKind.TIMEOUT,
        "modem",
        None,
        N_("The message was handed over and the modem did not say what became of it."),
    ),
)


PROBE_REQUIRED = waiting(
    N_("The modem was silent and may have restarted; nothing went out."),
)
_CORRUPTED = waiting(
    N_("The line to the modem spoils what is sent over it; nothing went out."),
)
# Errors for a malformed TPDU. Ours are well-formed, so the line has altered it.
_ILL_FORMED = (304, 305)
_ATTEMPTS = 2  # attempts, if nothing was sent and something may have been altered
_ATTEMPTS_IF_DEGRADED = 8  # … on a degraded line


def submit(client: AtClient, tpdu: Tpdu, references: References) -> Outcome:
    """Submit a TPDU with AT+CMGS, repeated if the line has altered it. Blocks, never raises a `PortError`.

    Until the text is written nothing can have been sent, so every error means WAIT. After that only an answer
    decides, and everything else means UNKNOWN. DOUBTFUL means that the caller must probe the modem first.
    """
    for attempt in itertools.count(1):
        checked = client.port.degraded
        outcome = _once(client, tpdu)
        limit = _ATTEMPTS_IF_DEGRADED if checked else _ATTEMPTS
        if attempt >= limit or not _may_be_corrupted(outcome, client, checked=checked):
            return _counted(outcome, references, degraded=client.port.degraded)
    raise AssertionError("the count has no end")


def _counted(outcome: Outcome, references: References, *, degraded: bool) -> Outcome:
    if outcome.verdict is Verdict.UNKNOWN:
        references.note_uncertain()
    if outcome.verdict is not Verdict.TAKEN:
        return outcome
    return Outcome(Verdict.TAKEN, references.accepted(outcome.reference, degraded=degraded))


def _may_be_corrupted(outcome: Outcome, client: AtClient, *, checked: bool) -> bool:
    """Return whether the line was the cause and another attempt makes sense. Only if nothing was sent."""
    if outcome is _CORRUPTED:
        return True
    if outcome is _NO_PROMPT:
        return checked
    if outcome.fault is None:
        return False
    ill_formed = outcome.fault.source == "CMS" and outcome.fault.number in _ILL_FORMED
    if ill_formed:
        client.port.mark_degraded(f"CMS {outcome.fault.number}")
    return ill_formed


def _once(client: AtClient, tpdu: Tpdu) -> Outcome:
    try:
        client.prompt(f"AT+CMGS={tpdu.length}")
    except CommandError as refused:
        return _refused_at_once(refused.line)
    except Corrupted:
        return _CORRUPTED
    except ProbeRequired:
        return PROBE_REQUIRED
    except NoResponse:
        return _NO_PROMPT
    except PortError:
        return _PORT_LOST
    try:
        return _taken(client.text(tpdu.hex))
    except CommandError as refused:
        if responses.reference(refused.lines) is not None:
            return _taken(refused.lines)
        return _of(lookup.words(refused.line)) or _UNKNOWN
    except Corrupted:
        return _CORRUPTED if _taken_back(client) else _UNKNOWN
    except PortError:
        return _UNKNOWN


def _taken_back(client: AtClient) -> bool:
    try:
        return client.text_discarded()
    except PortError:
        return True  # a modem that was lost or restarted has no text at its prompt


def _taken(lines: tuple[str, ...]) -> Outcome:
    """Return the outcome of an answer. An OK without +CMGS may belong to an earlier command."""
    if responses.value(lines, "+CMGS") is None:
        return _UNKNOWN
    return Outcome(Verdict.TAKEN, reference=responses.reference(lines))


def _of(fault: Fault | None) -> Outcome | None:
    if fault is None:
        return None
    return Outcome(fault.verdict, fault=None if fault.verdict is Verdict.TAKEN else fault)


def _refused_at_once(line: str) -> Outcome:
    """Return the outcome of an error instead of a prompt: no text was written, so it is certain."""
    outcome = _of(lookup.words(line))
    if outcome is None or outcome.verdict in (Verdict.UNKNOWN, Verdict.TAKEN):
        return _NO_PROMPT
    return msgspec.structs.replace(outcome, given=False)
