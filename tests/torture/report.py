"""docs/reliability.md: exactly what one run did, and what it found."""

from __future__ import annotations

from datetime import datetime

from tests.torture.run import Outcome

_PAGE = """# Reliability

`scripts/torture` runs a box and lets one fault after another happen to it under traffic: three clients send
single messages, bulks and one-time passwords, schedule, cancel and read; SMS arrive; a webhook receiver notes every
call. Afterwards four books are compared line by line: what the clients were answered, what the box says, what the
receiver was told, and what the simulated network received. A short form of it is in the tests.

This page is written by the program from one run, and states that run and no other up to the last section.

| | |
| --- | --- |
| date | {day} |
| commit | `{commit}` |
| seed | {seed} |
| duration | {minutes} minutes |
| messages asked for | {posted} |
| of these answered 202 | {acknowledged} |
| parts that the network received | {parts} |
| received SMS | {received} |
| webhook calls | {webhook_calls} |
| one-time passwords verified with the code that went out | {codes_verified} |
| faults | {all_faults} |
| of these kills (`kill -9`) | {kills} |

## Result

| | |
| --- | --- |
| acknowledged messages lost | 0 |
| parts sent twice unasked | 0 |
| wrong final states | 0 |
| webhook events lost or out of order | 0 |
| received SMS lost or doubled | 0 |
| failed, with `uncertain` set because nobody knows whether they left | {uncertain} |

The run fails, and this page is not written, if any of the zeros is not one.

| final status | messages |
| --- | --- |
{statuses}

`sent` instead of `delivered`: its report came while the box was dead, or was lost on purpose.

## Faults

| fault | times |
| --- | --- |
{faults}

## Resources of the box's process

The peak of memory and the present number of the others, after each fault, over all its lives.

| | lowest | highest |
| --- | --- | --- |
| memory (peak RSS) | {memory_low} MiB | {memory_high} MiB |
| threads | {threads_low} | {threads_high} |
| open descriptors | {descriptors_low} | {descriptors_high} |

The database had {database_mib} MiB at the end.

## What this does not show

* A real modem, a real network, or a card that lies about what it has written.
* A clock that jumps by more than a day: other tests set it from 1970 to 2040 and back.
* A power cut shuts the box's file system down (`FS_IOC_SHUTDOWN`): what was not synced is lost. Torn and reordered
  writes of a card are tried by replaying the recorded writes of an emulated one (`scripts/image`).
* A slow disk is a process that stands still for up to two seconds.
"""


def page(outcome: Outcome, commit: str, now: datetime) -> str:
    """Return the page. Only for a run whose books agree."""
    assert not outcome.disagreements

    def rows(counts: dict[str, int]) -> str:
        return "\n".join(f"| {name} | {count:,} |" for name, count in counts.items())

    return _PAGE.format(
        day=f"{now:%Y-%m-%d}",
        commit=commit,
        seed=outcome.seed,
        minutes=round(outcome.seconds / 60),
        posted=f"{outcome.posted:,}",
        acknowledged=f"{outcome.acknowledged:,}",
        parts=f"{outcome.parts:,}",
        received=f"{outcome.received:,}",
        webhook_calls=f"{outcome.webhook_calls:,}",
        codes_verified=f"{outcome.codes_verified:,}",
        all_faults=f"{sum(outcome.faults.values()):,}",
        kills=f"{outcome.faults.get('kill', 0):,}",
        uncertain=f"{outcome.uncertain:,}",
        statuses=rows(outcome.statuses),
        faults=rows(outcome.faults),
        memory_low=outcome.memory_kib.lowest // 1024,
        memory_high=outcome.memory_kib.highest // 1024,
        threads_low=outcome.threads.lowest,
        threads_high=outcome.threads.highest,
        descriptors_low=outcome.descriptors.lowest,
        descriptors_high=outcome.descriptors.highest,
        database_mib=outcome.database_kib // 1024,
    )
