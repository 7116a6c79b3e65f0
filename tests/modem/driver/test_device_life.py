"""Restarts, hangs and absences at random moments, and the outcome of every message."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from modem.interface import ModemState, Outcome, Verdict
from modem.simulator import Settings
from tests.modem.driven import Driven, driven, part, quick
from tests.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.seconds(20)

RESTARTS = 200
TIMING = quick(
    probe_max_age_seconds=0.05,
    boot_seconds=2.0,
    probe_seconds=0.02,
    network_seconds=0.4,
    prompt_seconds=0.3,
    command_seconds=0.4,
    slow_command_seconds=0.4,
    resync_seconds=0.1,
    resync_pause_seconds=0.003,
    backoff_longest_seconds=0.05,
)


async def keep_sending(box: Driven, outcomes: dict[str, Outcome], done: asyncio.Event) -> None:
    """Message after message; again after a refusal, never after a doubt, as the gateway does."""
    number = 0
    while not done.is_set():
        number += 1
        text = f"message {number}"
        while True:
            if box.device.status.state is not ModemState.READY:
                await asyncio.sleep(0.002)  # polls the state
                continue
            outcome = await box.device.send(part(text))
            if outcome.verdict in (Verdict.TAKEN, Verdict.UNKNOWN):
                outcomes[text] = outcome
                break
            await asyncio.sleep(0.002)  # repeats a send that is refused at once


async def set_up(box: Driven) -> None:
    """Until the modem is as the driver wants it: a restart that says nothing takes a while to be noticed."""
    modem = box.simulator.equipment
    async with asyncio.timeout(HANG_SECONDS):
        await eventually(
            lambda: (
                box.device.status.state is ModemState.READY
                and modem.powered
                and modem.modes.cnmi != list(modem.personality.cnmi_default)
            ),
            "the modem is configured",
        )


def taken(outcomes: dict[str, Outcome]) -> int:
    return sum(outcome.verdict is Verdict.TAKEN for outcome in outcomes.values())


def compare(box: Driven, outcomes: dict[str, Outcome]) -> None:
    """The journal is the truth: what was claimed of each message must agree with it."""
    received: dict[str, list[int]] = {}
    for line in box.journal():
        received.setdefault(line["text"], []).append(line["reference"])
    assert set(received) <= set(outcomes)
    for text, outcome in outcomes.items():
        references = received.get(text, [])
        assert len(references) <= 1, f"{text} went out twice: {outcome}"
        if outcome.verdict is Verdict.TAKEN:
            assert references == [outcome.reference], text
        else:
            assert outcome.verdict is Verdict.UNKNOWN, (text, outcome)


@pytest.mark.parametrize("personality", ["sim7600", "quiet"])
async def test_two_hundred_restarts_at_random_moments(tmp_path: Path, personality: str) -> None:
    """One module says RDY when it starts, the other says nothing at all."""
    chance = random.Random(200)
    outcomes: dict[str, Outcome] = {}
    done = asyncio.Event()
    restarts = RESTARTS if personality == "sim7600" else RESTARTS // 4
    # One that says nothing is looked at before each part, less than `probe_max_age_seconds` before. If it could start
    # within that, it would take the TPDU for a text where it is in text mode again, and nothing could tell.
    without_power = [0, 0, 0.02] if personality == "sim7600" else [0.1, 0.1, 0.2]
    settings = Settings(personality=personality, latency=0.005, latency_jitter=0.005)
    async with driven(tmp_path, settings, timing=TIMING) as box:
        await box.ready()
        sending = asyncio.create_task(keep_sending(box, outcomes, done))
        for number in range(restarts):
            # A busy machine gets no more restarts than messages out: nothing would be proved by them.
            await eventually(lambda done=number: taken(outcomes) > done, "a part is taken")  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.25))  # a random moment
            await box.order("restart", seconds=chance.choice(without_power))
            await eventually(lambda: box.simulator.equipment.powered, "the modem has power")
        await set_up(box)
        done.set()
        async with asyncio.timeout(HANG_SECONDS):
            await sending
        # One or the other came while it was without power anyway.
        assert box.simulator.equipment.starts > restarts * 0.9
        compare(box, outcomes)
        assert taken(outcomes) > restarts
        # The last one shows that everything is set up again: its report comes.
        before = len(box.reports)
        assert (await box.send("the end")).verdict is Verdict.TAKEN
        await box.reported(before + 1)


async def test_a_day_of_everything(tmp_path: Path) -> None:
    """Unplugged, hung, silent, without network, without a SIM: in any order, while sending."""
    chance = random.Random(24)
    outcomes: dict[str, Outcome] = {}
    done = asyncio.Event()
    settings = Settings(latency=0.005, latency_jitter=0.005)
    async with driven(tmp_path, settings, timing=TIMING) as box:
        await box.ready()
        sending = asyncio.create_task(keep_sending(box, outcomes, done))
        for _ in range(40):
            await asyncio.sleep(chance.uniform(0, 0.3))  # a random moment
            match chance.randrange(6):
                case 0:
                    await box.order("unplug", back_after=0.1)
                case 1:
                    await box.order("hang")
                    await asyncio.sleep(0.3)  # the duration of the fault
                    await box.order("restart")
                case 2:
                    await box.order("registration", stat=2)
                    await asyncio.sleep(0.2)  # the duration of the fault
                    await box.order("registration", stat=1)
                case 3:
                    await box.order("answer", command="*", silent=True, times=2)
                case 4:
                    await box.order("sim", present=False)
                    await asyncio.sleep(0.2)  # the duration of the fault
                    await box.order("sim", present=True)
                case 5:
                    await box.order("send", at="taken", silent=True)
        await eventually(
            lambda: len(outcomes) >= 100 and box.device.status.state is ModemState.READY,
            "a hundred outcomes, and the modem is ready",
        )
        done.set()
        await sending
        compare(box, outcomes)
