"""One part over the line, and what became of it."""

from __future__ import annotations

from modem import answers, faults
from modem.interface import Fault, Outcome, Tpdu, Verdict
from modem.port import Modem, NoAnswer, PortError, Refused


def waiting(english: str, french: str) -> Outcome:
    """Nothing went out, and the message is not to blame."""
    fault = Fault(Verdict.WAIT, "DEVICE_ERROR", "modem", None, english, french)
    return Outcome(Verdict.WAIT, fault=fault)


_NO_PROMPT = waiting(
    "The modem did not ask for the text of the message.",
    "Le modem n'a pas demandé le texte du message.",
)
_GONE = waiting(
    "The modem was lost before the message was handed over.",
    "Le modem a été perdu avant la remise du message.",
)
_UNKNOWN = Outcome(
    Verdict.UNKNOWN,
    fault=Fault(
        Verdict.UNKNOWN,
        "SMS_SEND_TIMEOUT",
        "modem",
        None,
        "The message was handed over and the modem did not say what became of it.",
        "Le message a été remis et le modem n'a pas dit ce qu'il est devenu.",
    ),
)


def submit(port: Modem, tpdu: Tpdu) -> Outcome:
    """One AT+CMGS. Blocking, never raises a `PortError`.

    Until the text is written nothing can have gone out, so that every trouble means WAIT; from
    then on only an answer tells, and everything else means UNKNOWN.
    """
    try:
        port.prompt(f"AT+CMGS={tpdu.length}")
    except Refused as refused:
        return _refused_at_once(refused.line)
    except NoAnswer:
        return _NO_PROMPT
    except PortError:
        return _GONE
    try:
        return _taken(port.text(tpdu.hex))
    except Refused as refused:
        if answers.reference(refused.lines) is not None:
            return _taken(refused.lines)
        return _of(faults.words(refused.line)) or _UNKNOWN
    except NoAnswer as silence:
        return _taken(silence.lines)
    except PortError:
        return _UNKNOWN


def _taken(lines: tuple[str, ...]) -> Outcome:
    """An OK without its +CMGS may be the late answer to something else: it proves nothing."""
    if answers.value(lines, "+CMGS") is None:
        return _UNKNOWN
    return Outcome(Verdict.TAKEN, reference=answers.reference(lines))


def _of(fault: Fault | None) -> Outcome | None:
    if fault is None:
        return None
    return Outcome(fault.verdict, fault=None if fault.verdict is Verdict.TAKEN else fault)


def _refused_at_once(line: str) -> Outcome:
    """No prompt but an error: no text was given, so that its outcome is never in doubt."""
    outcome = _of(faults.words(line))
    if outcome is None or outcome.verdict in (Verdict.UNKNOWN, Verdict.TAKEN):
        return _NO_PROMPT
    return outcome
