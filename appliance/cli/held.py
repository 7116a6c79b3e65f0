"""`zimbox held …`: messages held after a restore, whether the box runs or not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from appliance.cli.common import data_option, print_result, store
from appliance.domain import ids
from appliance.domain.validation import timestamp
from appliance.store import held as held_store
from appliance.store.held import Decision

LISTED_MOST = 1_000_000


@click.group("held")
def held() -> None:
    """Decide about messages that were queued in a restored backup."""


@held.command("list")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def held_list(data: Path, as_json: bool) -> None:
    """List the messages that wait for a decision, the oldest first."""
    rows = store(data, lambda db: held_store.listed(db, LISTED_MOST))
    table = [
        {
            "message_id": ids.message_id(row.id),
            "client_id": f"client_{row.tenant // 2}",
            "to": row.recipient,
            "message": row.body,
            "created_at": timestamp(row.created_at),
            "scheduled_at": timestamp(row.scheduled_at),
            "decide_by": timestamp(row.expires_at),
        }
        for row in rows
    ]
    print_result(table, as_json)


@held.command("send")
@data_option
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]…")
@click.option("--all", "everything", is_flag=True, help="All that are held.")
def held_send(data: Path, message_ids: Sequence[str], everything: bool) -> None:
    """Queue held messages. One that had left before the restore is sent twice."""
    _decide(data, "send", message_ids, everything)


@held.command("drop")
@data_option
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]…")
@click.option("--all", "everything", is_flag=True, help="All that are held.")
def held_drop(data: Path, message_ids: Sequence[str], everything: bool) -> None:
    """Fail held messages (SMS_SEND_TIMEOUT). Nothing is sent."""
    _decide(data, "drop", message_ids, everything)


def _decide(data: Path, decision: Decision, message_ids: Sequence[str], everything: bool) -> None:
    if bool(message_ids) == everything:
        raise click.UsageError("name messages, or give --all")
    numbers = [ids.parse("msg", text) for text in message_ids]
    for text, number in zip(message_ids, numbers, strict=True):
        if number is None:
            raise click.BadParameter(f"{text!r} is not a message id")
    wanted = [None] if everything else numbers
    concerned = store(data, lambda db: [held_store.decide(db, decision, one) for one in wanted])
    for text, count in zip(message_ids, concerned, strict=False):
        if not count:
            click.echo(f"{text} is not held", err=True)
    click.echo(f"{sum(concerned)} messages to {decision}")
    if message_ids and not all(concerned):
        sys.exit(1)
