"""What README.md tells a newcomer is so: its commands, its settings, the first SMS."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from appliance.__main__ import main
from appliance.config import Config, Limits, ModemSettings
from tests.box.running import Client, RunningBox
from tests.needed import needed

pytestmark = pytest.mark.xdist_group("docs")

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
RUN_SECONDS = 60.0


def table(head: str) -> list[list[str]]:
    """The cells of the table that begins with this cell, without its head."""
    lines = README.partition(f"| {head} |")[2].split("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip() for cell in row] for row in cells]


def commands(group: click.Command, path: str) -> Iterator[str]:
    if not isinstance(group, click.Group):
        yield path
        return
    for name, inner in group.commands.items():
        yield from commands(inner, f"{path} {name}")


def test_every_command_is_there_and_no_other() -> None:
    told = set()
    for cell, *_ in table("command"):
        *words, last = (word for word in cell.strip("`").split() if not word.isupper())
        told |= {" ".join([*words, each]) for each in last.split("\\|")}
    assert told == set(commands(main, "zimbox"))


def test_those_without_a_data_folder_are_named() -> None:
    named = re.search(r"^All but (.*) take `--data DIR`", README, re.MULTILINE)
    assert named
    without = {
        word
        for word in set(commands(main, "zimbox"))
        if not any(option.name == "data" for option in command(word).params)
    }
    assert {f"zimbox {name}" for name in re.findall(r"`(\w+)`", named[1])} == without


def command(path: str) -> click.Command:
    found: click.Command = main
    for word in path.split()[1:]:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    return found


def test_every_setting_that_is_shown_is_one_with_that_default() -> None:
    for names, default, _ in table("setting"):
        section, _, several = names.strip("`").replace("`", "").rpartition("] ")
        place = {"": Config(), "[[modem]": ModemSettings(), "[limits": Limits()}.get(section)
        if place is None:
            place = getattr(Config(), section.strip("["))
        keys = re.findall(r"\w+", several)
        values = [getattr(place, key) for key in keys]
        told = re.findall(r"[\w/]+", default.replace(",000", "000"))
        if told and told != ["none"]:
            assert told == [str(int(v) if isinstance(v, float) else v) for v in values], names
        elif told:
            assert not any(values), names


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
