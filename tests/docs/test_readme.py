"""The commands and the first SMS of README.md work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox, free_port
from tests.docs.blocks import runnable
from tests.needed import needed

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
RUN_SECONDS = 280.0


def test_the_readme_has_one_screenshot_and_two_commands() -> None:
    assert len(re.findall(r"!\[", README)) == 1
    commands = re.findall(r"^(\./scripts/\w+) +#", README, re.MULTILINE)
    assert commands == ["./scripts/run", "./scripts/test"]
    for command in commands:
        assert os.access(ROOT / command, os.X_OK)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    box = RunningBox(tmp_path).start()
    yield box.client()
    box.stop()


def test_the_quick_start_works_as_printed_after_scripts_run(tmp_path: Path) -> None:
    needed("bash", "curl")
    folder = _checkout(tmp_path)
    listen = f"127.0.0.1:{free_port()}"
    command = [str(folder / "scripts/run"), "--listen", listen]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZIMBOX_", "ZIMSEND_"))}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            printed = []
            for line in started.stdout:
                printed.append(line.strip())
                if line.startswith("ZimBox on "):
                    break
            exports = [line for line in printed if line.startswith("export ")]
            assert len(exports) == 3, printed
            create, setup, check, send = (
                block.text for block in runnable("quick-start", "bash")[:4]
            )
            setup = re.sub(
                r"^export .*\n", "", setup, flags=re.MULTILINE
            )  # those that were printed
            words = "\n".join([*exports, create, setup, check, send])
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", words],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert "api_key: zs_test_" in done.stdout and '"status":"queued"' in done.stdout
        finally:
            started.terminate()


def _checkout(tmp_path: Path) -> Path:
    """A folder as somebody who cloned the project has it, set up with this one's .venv."""
    folder = tmp_path / "zimbox"
    for part in ("scripts", "requirements"):
        shutil.copytree(ROOT / part, folder / part)
    (folder / ".venv").mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith(".installed"):
            (folder / ".venv" / entry.name).symlink_to(entry)
    shutil.copy(folder / "requirements/run.txt", folder / ".venv/.installed-run")
    return folder


def test_the_first_sms_of_the_readme_is_sent(client: Client) -> None:
    needed("bash", "curl")
    send, ask = re.findall(r"^```sh\n(curl .*?)^```", README, re.MULTILINE | re.DOTALL)
    answer = json.loads(
        re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0].replace(", …}", "}")
    )
    result = run(client, send)
    assert list(result)[: len(answer)] == list(answer)
    assert {**result, "message_id": ""} == {**result, **answer, "message_id": ""}
    client.until(result["message_id"], "delivered")
    asked = run(client, ask.replace("msg_19c0…", result["message_id"]))
    assert (asked["message_id"], asked["status"]) == (result["message_id"], "delivered")


def run(client: Client, line: str) -> dict[str, str]:
    for result, own in (
        ("http://127.0.0.1:8080", client.url),
        ("zs_live_…", client.api_key),
        ("client_1", client.client_id),
    ):
        assert result in line
        line = line.replace(result, own)
    done = subprocess.run(
        ["bash", "-euc", line],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=True,
    )
    answer: dict[str, str] = json.loads(done.stdout)
    return answer
