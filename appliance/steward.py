"""Asks the appliance's steward for what needs root. Only the image has one; a laptop has not.

One JSON object a line over a Unix socket, verbs fixed: restart-gateway, restart-box, power-off,
usb-reset {port}, set-time {epoch, at}, update {file}. The last line of an answer has "done".
As a program: `python -m appliance.steward VERB NAME=VALUE …`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

SOCKET = Path("/run/zimbox/steward.sock")
# It answers at once or after the step it does; the longest is the stop of a gateway that sends.
ANSWER_SECONDS = 600.0


class NoSteward(Exception):
    """This box has no steward: it is not the appliance's image."""


async def ask(
    verb: str, *, socket: Path = SOCKET, **details: object
) -> AsyncIterator[dict[str, Any]]:
    """Every line of the answer; the last one has "done": true and "ok". Raises NoSteward, TimeoutError."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError as error:
        raise NoSteward(f"{socket}: {error}") from None
    try:
        writer.write(json.dumps({"verb": verb, **details}).encode() + b"\n")
        await writer.drain()
        while True:
            async with asyncio.timeout(ANSWER_SECONDS):
                line = await reader.readline()
            if not line:
                return
            yield json.loads(line)
    finally:
        writer.close()


async def order(words: Sequence[str], socket: Path = SOCKET) -> str:
    """Ask for what the command line says; "" if it was done, else why not."""
    details = dict(word.partition("=")[::2] for word in words[1:])
    try:
        async for line in ask(words[0], socket=socket, **details):
            if line.get("done"):
                return "" if line.get("ok") else str(line.get("words"))
    except (NoSteward, TimeoutError) as error:
        return str(error) or "no answer in time"
    return "the steward hung up"


if __name__ == "__main__":
    sys.exit(asyncio.run(order(sys.argv[1:] or [""])) or 0)
