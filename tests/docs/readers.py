"""Run the blocks of a page one after another, and compare the output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.box.launcher import ZIMBOX
from tests.box.running import Client, RunningBox, eventually
from tests.docs.blocks import Block, check, runnable

RUN_SECONDS = 280.0  # one block, or all blocks of a page in one interpreter; never waited in full
EXAMPLE_HOST = "http://zimbox.local"
EXAMPLE_DAY = "2030-06-01"  # a day ahead, in examples that schedule
# Numbers whose message stays where it is for longer than a reader waits (docs/keys.md).
NEVER_SETTLED = ("5550103", "5550109", "5550110", "5550111")
ANSWERING = ("5550118", "5550119")  # whose phone answers what it receives
END = "\x1eend of block"


class Reader:
    """One client of the box with a key of one kind; reads pages in one language."""

    def __init__(self, box: RunningBox, client: Client, folder: Path) -> None:
        self.box, self.client, self.folder = box, client, folder

    @property
    def environment(self) -> dict[str, str]:
        """As the reader's own shell has it after quick-start.md; `zimbox` is on the box's path."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("ZIMBOX_")},
            "PATH": f"{ZIMBOX.parent}{os.pathsep}{os.environ['PATH']}",
            "ZIMBOX_DATA": str(self.box.data),
            "ZIMSEND_URL": f"{self.client.url}/v1",
            "ZIMSEND_API_KEY": self.client.api_key,
            "ZIMSEND_CLIENT_ID": self.client.client_id,
        }

    def own(self, text: str) -> str:
        """A block with the reader's own address and keys in it."""
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        for example, own in (
            (re.escape(EXAMPLE_HOST), self.client.url),
            (r"=zs_(?:test|live)_[\w…]+", f"={self.client.api_key}"),
            (r"=client_\d+", f"={self.client.client_id}"),
            (re.escape(EXAMPLE_DAY), tomorrow),
        ):
            text = re.sub(example, own.replace("\\", r"\\"), text)
        return text

    def wait(self) -> None:
        """A reader is slower than the box: everything sent so far has gone where it goes."""
        eventually(self._settled, "messages of the examples are settled")

    def _settled(self) -> bool:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        page = self.client.get("/sms/history", params={"limit": "100"}).json()["data"]
        under_way = any(
            entry["status"] in ("queued", "sent")
            and (entry["scheduled_at"] or "") <= now
            and not entry["to"].endswith(NEVER_SETTLED)
            for entry in page
        )
        asked = sum(entry["to"].endswith(ANSWERING) for entry in page)
        answers = self.client.get("/sms/inbox").json()["pagination"]["total_items"] if asked else 0
        return not under_way and bool(answers >= asked)


class ShellReader(Reader):
    """Types each block into a new bash, with the ids that the block before it answered."""

    def read(self, page: str, preamble: str) -> None:
        ids: dict[str, str] = {}
        for block in runnable(page, "bash"):
            result = f"{self.own(preamble)}\n{with_ids(self.own(block.text), ids)}"
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", result],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{page}.md:{block.line}\n{done.stdout}{done.stderr}"
            checked(page, block, done.stdout)
            ids |= ids_in(done.stdout)
            self.wait()


# Each program of a page is one run; between two of its blocks it says so and waits for a line.
_PROGRAMS: dict[str, tuple[str, str, str, str]] = {
    "python": (sys.executable, "page.py", "", f"print({END!r}, flush=True); input()"),
    "javascript": (
        "node",
        "page.mjs",
        "import { readSync as readLine } from 'node:fs';\n",
        f"console.log({END!r}); readLine(0, Buffer.alloc(1));",
    ),
    "php": ("php", "page.php", "<?php\n", f'echo "{END}\\n"; fgets(STDIN);'),
}


class ProgramReader(Reader):
    """Types all blocks of a page into one interpreter, waiting for the box after each."""

    def read(self, page: str, language: str, preamble: str) -> None:
        program, name, head, pause = _PROGRAMS[language]
        blocks = runnable(page, language)
        lines = [head]
        for text in (preamble, *(block.text for block in blocks)):
            lines.append(self.own(text).replace("<?php\n", ""))
            lines.append(pause)
        (self.folder / name).write_text("\n".join(lines))
        running = subprocess.Popen(
            [program, name],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        late = threading.Timer(RUN_SECONDS, running.kill)
        late.start()
        try:
            self._turn_by_turn(page, running, blocks)
        finally:
            late.cancel()
            running.kill()
            running.communicate()

    def _turn_by_turn(self, page: str, running: subprocess.Popen[str], blocks: list[Block]) -> None:
        assert running.stdin is not None and running.stdout is not None
        for block in (None, *blocks):
            printed: list[str] = []
            for line in running.stdout:
                if line.startswith(END):
                    break
                printed.append(line)
            else:
                place = block.line if block else "preamble"
                raise AssertionError(f"{page}.md:{place} ended early\n{''.join(printed)}")
            if block:
                checked(page, block, "".join(printed))
                self.wait()
            running.stdin.write("\n")
            running.stdin.flush()
        assert running.wait(RUN_SECONDS) == 0, f"{page}.md"


def checked(page: str, block: Block, printed: str) -> None:
    """`check`, with the place in the page."""
    try:
        check(block, printed)
    except (AssertionError, ValueError) as error:
        raise AssertionError(f"{page}.md:{block.line} {block.kind}\n{error}\n{printed}") from None


_IDS = {
    kind: re.compile(rf"\b{kind}_[0-9a-f]{{12,16}}\b") for kind in ("msg", "otp", "batch", "inbox")
}
_NUMBERS = {  # as the command line prints them, and where its examples write them
    "key": (re.compile(r'"?key_id"?: (\d+)'), r"(?<=key revoke )\d+"),
    "client": (re.compile(r'"?client_id"?: "?(client_\d+)'), r"(?<= )client_\d+\b"),
}


def ids_in(printed: str) -> dict[str, str]:
    """The first id of each kind that a block answered."""
    found: dict[str, Any] = {kind: pattern.search(printed) for kind, pattern in _IDS.items()}
    found |= {kind: pattern.search(printed) for kind, (pattern, _) in _NUMBERS.items()}
    return {kind: match[match.re.groups] for kind, match in found.items() if match}


def with_ids(text: str, ids: dict[str, str]) -> str:
    """A block with the ids of its own run in place of the page's."""
    for kind, own in ids.items():
        pattern = _IDS[kind].pattern if kind in _IDS else _NUMBERS[kind][1]
        text = re.sub(pattern, own, text)
    return text
