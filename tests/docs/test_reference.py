"""docs/settings.md and docs/command-line.md name every setting and every option, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from appliance.cli.main import main
from appliance.core.config import Config, ModemSettings
from tests.docs.blocks import DOCS

CELL = re.compile(r"(?<!\\)\|")


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of each section's table, without its head; `""` is the part before the first."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    sections = {"": text.partition("\n## ")[0]}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        sections[heading] = body
    return {
        heading: [
            [cell.strip() for cell in CELL.split(line)[1:-1]]
            for line in [line for line in body.splitlines() if line.startswith("|")][2:]
        ]
        for heading, body in sections.items()
    }


def settings_of(section: msgspec.Struct, path: str = "") -> Iterator[tuple[str, str]]:
    """Each setting below this section with its default, as the page writes them."""
    for name in section.__struct_fields__:
        value: Any = getattr(section, name)
        if f"{path}{name}" == "modem":
            continue  # a list, whose items have rows of their own
        if isinstance(value, msgspec.Struct):
            yield from settings_of(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", "" if value is None else msgspec.json.encode(value).decode()


def test_every_setting_has_a_row_with_its_default() -> None:
    documented = [row for rows in tables("settings").values() for row in rows]
    there = dict(settings_of(Config()))
    there |= {f"modem.{name}": value for name, value in settings_of(ModemSettings())}
    # The limits of one modem are those of all, documented once.
    there = {name: value for name, value in there.items() if not name.startswith("modem.limits.")}
    assert {row[0].strip("`"): row[1].strip("`") for row in documented} == there
    assert len(documented) == len(there)
    assert all(row[2] for row in documented)


def commands(group: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, also those that are loaded when they are asked for."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        assert inner is not None
        yield from commands(inner, f"{path} {name}".strip())


COMMANDS = dict(commands(main))
COMMON = {"--data"}  # of all commands but those that the page names


def options(command: click.Command) -> set[str]:
    return {
        name
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }


def names(cell: str) -> set[str]:
    return set(re.findall(r"--?[a-z][\w-]*", cell.partition(" ")[0] if "," not in cell else cell))


def test_every_command_has_a_row_with_its_arguments() -> None:
    listed = [row[0].strip("`").removeprefix("zimbox ") for row in tables("command-line")[""]]
    there = [
        " ".join(
            [
                path,
                *(
                    each.name.upper()
                    for each in command.params
                    if each.name and isinstance(each, click.Argument)
                ),
            ]
        )
        for path, command in COMMANDS.items()
    ]
    assert sorted(listed) == sorted(there)


def test_every_option_has_a_row_under_its_command() -> None:
    sections = tables("command-line")
    for path, command in COMMANDS.items():
        rows = sections.get(path, [])
        documented = {name for row in rows for name in names(row[0])}
        assert documented == options(command) - COMMON, path
        assert all(row[1] for row in rows), path
    assert set(sections) - set(COMMANDS) == {"", "Completion", "Options of all commands"}


def test_the_commands_without_a_data_folder_are_named() -> None:
    text = (DOCS / "command-line.md").read_text("utf-8")
    sentence = re.search(r"Every command except (.*?) takes `--data DIR`", text)
    assert sentence
    without = {f"zimbox {path}" for path, each in COMMANDS.items() if "--data" not in options(each)}
    assert set(re.findall(r"`([^`]+)`", sentence[1])) == without


def test_every_command_and_option_has_help() -> None:
    for path, command in COMMANDS.items():
        assert command.help, path
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help and option.help.endswith("."), f"{path} {option.opts}"
