"""What README.md tells a newcomer is so: the two commands and the first SMS."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.box.running import Client, RunningBox
from tests.needed import needed

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
RUN_SECONDS = 60.0


def test_it_has_one_screenshot_and_the_two_commands_are_there() -> None:
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


def test_the_first_sms_goes_as_it_stands(client: Client) -> None:
    needed("bash", "curl")
    send, ask = re.findall(r"^```sh\n(curl .*?)^```", README, re.MULTILINE | re.DOTALL)
    answer = json.loads(
        re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0].replace(", …}", "}")
    )
    told = run(client, send)
    assert list(told)[: len(answer)] == list(answer)
    assert {**told, "message_id": ""} == {**told, **answer, "message_id": ""}
    client.until(told["message_id"], "delivered")
    asked = run(client, ask.replace("msg_19c0…", told["message_id"]))
    assert (asked["message_id"], asked["status"]) == (told["message_id"], "delivered")


def run(client: Client, line: str) -> dict[str, str]:
    for told, own in (
        ("http://127.0.0.1:8080", client.url),
        ("zs_live_…", client.api_key),
        ("client_1", client.client_id),
    ):
        assert told in line
        line = line.replace(told, own)
    done = subprocess.run(
        ["bash", "-euc", line],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=True,
    )
    answer: dict[str, str] = json.loads(done.stdout)
    return answer
