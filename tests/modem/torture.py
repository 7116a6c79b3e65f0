"""A line that delays, splits, loses, doubles and garbles bytes, and what the driver makes of it.

Every message is offered again after a refusal, as the gateway does, and never after an unknown
outcome. Then what the driver claimed is compared with what the network received.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import structlog

from modem.interface import ModemState, Outcome, Verdict
from modem.simulator import Settings
from modem.sms import tpdu as tpdu_codec
from modem.sms.tpdu import Report
from tests.modem.driven import Driven, driven, part, quick

# Short, but with room between what a healthy answer takes and its time-out.
TIMING = quick(
    command_seconds=0.15,
    echo_seconds=0.1,
    slow_command_seconds=0.15,
    list_seconds=0.3,
    prompt_seconds=0.1,
    network_seconds=0.15,
    closing_seconds=0.05,
    resync_seconds=0.08,
    resync_pause_seconds=0.005,
    probe_seconds=0.05,
    boot_seconds=1.0,
    idle_poll_seconds=0.5,
    stored_poll_seconds=0.5,
    backoff_longest_seconds=0.1,
)
# A line that loses nothing is never silent: who waits longer there waits for a busy machine only.
PATIENT = msgspec.structs.replace(
    TIMING, command_seconds=5, slow_command_seconds=5, prompt_seconds=5, network_seconds=5
)
PATIENCE = 60.0  # for one message, with all its attempts: beyond that the driver hangs


class Damage(msgspec.Struct, frozen=True):
    """Chances per byte, both ways."""

    lose: float = 0.0
    double: float = 0.0
    garble: float = 0.0
    noise: float = 0.0
    split: float = 0.05
    delay: float = 0.002
    digits: bool = False  # garbles hex digits too: nobody can see that


# One message in five is hit by it somewhere.
BAD_LINE = Damage(lose=0.0004, double=0.0004, garble=0.0004, noise=0.0002)


class Result(msgspec.Struct):
    """What happened, and what must not."""

    messages: int = 0
    attempts: int = 0
    verdicts: dict[str, int] = {}
    recoveries: dict[str, int] = {}
    wrong_texts: list[str] = []  # the network got something nobody sent
    duplicates: list[str] = []  # the network got twice what was not in doubt
    untrue: list[str] = []  # taken and never received, or refused and received
    wrong_references: int = 0  # taken, with a reference that is not the network's
    lost_reports: int = 0  # the modem gave them, the line spoilt them
    wrong_reports: list[str] = []
    stuck: list[str] = []

    @property
    def faultless(self) -> bool:
        return not (
            self.wrong_texts or self.duplicates or self.untrue or self.wrong_reports or self.stuck
        )


async def torture(folder: Path, messages: int, seed: int, damage: Damage) -> Result:
    """So many messages over a line with so much damage."""
    chance = random.Random(seed)
    result = Result(messages=messages)
    settings = Settings(seed=seed, magic=False)
    outcomes: dict[str, list[Outcome]] = {}
    async with driven(
        folder, settings, timing=TIMING if damage.lose or damage.garble else PATIENT, start=False
    ) as box:
        await box.order(
            "line",
            lose=damage.lose,
            double=damage.double,
            garble=damage.garble,
            noise=damage.noise,
            split=damage.split,
            delay=damage.delay,
            delay_seconds=0.003,
            spare=[] if damage.digits else ["garble"],
        )
        await box.device.start()
        for number in range(messages):
            text = f"{number:06d} " + "".join(chance.choices(_LETTERS, k=chance.randrange(0, 140)))
            outcomes[text] = await _deliver(box, text, number, result)
        await box.order("line")  # well again: what is still on its way may come
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await box.ready()
                await asyncio.sleep(0.5)  # late reports arrive
        result.recoveries = dict(box.device.status.recoveries)
        _compare(box, outcomes, result)
    return result


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?@"


async def _deliver(box: Driven, text: str, number: int, result: Result) -> list[Outcome]:
    """Tries as the gateway does: again after a refusal that may pass, never after a doubt."""
    tried: list[Outcome] = []
    tpdu = part(text, to=f"+49151{number:07d}")
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if box.device.status.state is not ModemState.READY:
                    await asyncio.sleep(0.01)  # polls the state
                    continue
                result.attempts += 1
                tried.append(await box.device.send(tpdu))
                if tried[-1].verdict in (Verdict.TAKEN, Verdict.UNKNOWN, Verdict.NEVER):
                    break
                await asyncio.sleep(0.002)  # repeats a send that is refused at once
    except TimeoutError:
        result.stuck.append(f"{text[:6]}: {box.device.status.detail}")
    return tried


def _compare(box: Driven, outcomes: dict[str, list[Outcome]], result: Result) -> None:
    received: dict[str, list[int]] = {}
    for line in box.journal():
        text, recipient = line["text"], line["recipient"]
        received.setdefault(text, []).append(line["reference"])
        if text not in outcomes or recipient != f"+49151{int(text[:6]):07d}":
            result.wrong_texts.append(json.dumps(line))
    counts: Counter[str] = Counter()
    for text, tried in outcomes.items():
        last = tried[-1] if tried else None
        counts[last.verdict.value if last else "none"] += 1
        references = received.get(text, [])
        if len(references) > 1:
            result.duplicates.append(f"{text[:6]}: {[o.verdict.value for o in tried]}")
        if last is None:
            continue
        if last.verdict is Verdict.TAKEN and not references:
            result.untrue.append(f"{text[:6]}: taken, and not received")
        if last.verdict is Verdict.NEVER:
            result.untrue.append(f"{text[:6]}: {last.fault}")
        if last.verdict is Verdict.TAKEN and last.reference not in references:
            result.wrong_references += 1
    result.verdicts = dict(counts)
    _compare_reports(box, result)


def _compare_reports(box: Driven, result: Result) -> None:
    true: Counter[tuple[int, str]] = Counter(
        (line["reference"], line["recipient"]) for line in box.journal("report")
    )
    received: Counter[tuple[int, str]] = Counter()
    for event in box.received:
        try:
            report = tpdu_codec.decode(event.hex)
        except tpdu_codec.PduError:
            result.wrong_reports.append(event.hex)
            continue
        assert isinstance(report, Report)
        received[report.reference, report.recipient] += 1
        if (report.reference, report.recipient) not in true or report.status != 0:
            result.wrong_reports.append(event.hex)
    result.lost_reports = sum((true - received).values())


def main(arguments: list[str]) -> int:
    """Ten thousand messages, or as many as asked for; prints what happened."""
    digits = "--digits" in arguments
    numbers = [int(argument) for argument in arguments if argument.isdigit()]
    messages, seed = (*numbers, *(10_000, 1)[len(numbers) :])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    damage = msgspec.structs.replace(BAD_LINE, digits=digits)
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(torture(Path(folder), messages, seed, damage))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n")
    return 0 if result.faultless or (digits and not result.stuck) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
