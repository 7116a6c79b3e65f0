"""Client of the steward, which does what needs root. Only the SD card image has a steward.

One JSON object per line over a Unix socket, with fixed verbs: restart-gateway, restart-box, power-off,
usb-reset {port}, set-time {epoch, at}, update {file}. The last line of an answer has "done".
As a program: `python -m appliance.maintenance.steward_client VERB NAME=VALUE …`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

SOCKET = Path("/run/zimbox/steward.sock")
# It answers after each step; the longest is the stop of a gateway that is sending.
ANSWER_SECONDS = 600.0


class NoSteward(Exception):
    """This box has no steward: it does not run from the SD card image."""


async def ask(
    verb: str, *, socket: Path = SOCKET, **details: object
) -> AsyncIterator[dict[str, Any]]:
    """Yield every line of the answer; the last has "done": true and "ok". Raises NoSteward, TimeoutError."""
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
    """Send the command-line request; return "" if it was done, else the reason."""
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
