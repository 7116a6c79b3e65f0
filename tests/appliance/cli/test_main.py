"""The command line, also with wrong arguments."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance.cli import common
from appliance.cli.main import main
from appliance.store import clients, messages
from tests.appliance.conftest import Stage
from tests.waiting import HANG_SECONDS

pytestmark = pytest.mark.process


def test_a_prefix_without_plus_is_refused_instead_of_a_key_that_may_write_to_nobody(
    tmp_path: Path,
) -> None:
    CliRunner().invoke(main, ["init", "--data", str(tmp_path)])
    words = ["key", "create", "--data", str(tmp_path), "--json", "--prefix"]
    refused = CliRunner().invoke(main, [*words, "33"])
    assert refused.exit_code == 2 and "+33" in refused.output
    made = CliRunner().invoke(main, [*words, "+33"])
    assert made.exit_code == 0 and json.loads(made.stdout)["api_key"].startswith("zs_live_")


@pytest.mark.parametrize(
    "words",
    [
        *("key create --name shop --json", "key list", "key revoke 1", "client create"),
        *("client list", "client disable 1", "client enable 1", "client delete 1 --yes"),
        *(
            "client secret 1",
            "device list",
            "device remove 1 --yes",
            "owner forget",
            "backup b.tgz",
        ),
    ],
)
def test_a_command_without_a_box_fails_and_creates_nothing(tmp_path: Path, words: str) -> None:
    place = tmp_path / "elsewhere"
    refused = CliRunner().invoke(main, [*words.split(), "--data", str(place)])
    assert refused.exit_code == 2 and refused.stdout == ""
    assert f"there is no box in {place}" in refused.stderr and "--data" in refused.stderr
    assert not place.exists()


def test_the_settings_of_a_folder_without_a_box_are_called_those_of_a_new_one(
    tmp_path: Path,
) -> None:
    words = ["config", "show", "--data", str(tmp_path)]
    assert "no box" in CliRunner().invoke(main, words).stderr
    CliRunner().invoke(main, ["init", "--data", str(tmp_path)])
    assert CliRunner().invoke(main, words).stderr == ""


def test_a_command_shows_a_long_migration_and_its_output_stays_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(common, "LINES_SECONDS", 0.0)
    (tmp_path / "zimbox.db").touch()
    words = ["client", "list", "--data", str(tmp_path), "--json"]
    first = CliRunner().invoke(main, words)
    assert json.loads(first.stdout) == []
    lines = first.stderr.splitlines()
    assert lines[0].startswith("Preparing the database after an update: step 2 of ")
    assert lines[-1].startswith(f"Preparing the database after an update: step {len(lines)} of ")
    assert CliRunner().invoke(main, words).stderr == ""


def test_a_terminal_shows_a_long_migration_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    report = common.MigrationProgress()
    report(0, 0)
    report(7, 7)
    read = capsys.readouterr().err
    assert read.count("\r") == 2 and read.endswith(" s\n") and read.count("\n") == 1
    assert "the box is at it" in read and "step 7 of 7" in read


def test_init_creates_an_empty_box_once(tmp_path: Path) -> None:
    words = ["init", "--data", str(tmp_path / "box")]
    assert CliRunner().invoke(main, words).exit_code == 0
    listed = CliRunner().invoke(main, ["client", "list", "--data", str(tmp_path / "box"), "--json"])
    assert json.loads(listed.stdout) == []
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2 and "already" in again.stderr


def test_init_refuses_beside_the_key_of_a_box_whose_database_is_gone(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("of another database")
    refused = CliRunner().invoke(main, ["init", "--data", str(tmp_path)])
    assert refused.exit_code == 2 and "restore a backup" in refused.stderr
    assert not (tmp_path / "zimbox.db").exists()


def test_lists_are_tables_under_the_names_of_their_columns(tmp_path: Path) -> None:
    place = ["--data", str(tmp_path)]
    CliRunner().invoke(main, ["init", *place])
    assert CliRunner().invoke(main, ["key", "list", *place]).stdout == "none\n"
    CliRunner().invoke(main, ["key", "create", "--name", "café 東京", "--send-only", *place])
    CliRunner().invoke(main, ["key", "create", "--test", "--prefix", "+33", *place])
    head, first, second = CliRunner().invoke(main, ["key", "list", *place]).stdout.splitlines()
    assert head.split() == ["KEY_ID", "CLIENT_ID", "MODE", "KEY", "NAME", "CREATED_AT", "NARROWING"]
    mode, narrowing = head.index("MODE"), head.index("NARROWING")
    assert first[mode:].startswith("live") and second[mode:].startswith("test")
    assert first.endswith("  send-only") and "café 東京" in first
    assert second[narrowing:] == "prefix +33"


def test_simple_devices_need_a_key_with_prefixes_and_a_cap(tmp_path: Path) -> None:
    place = ["--data", str(tmp_path)]
    CliRunner().invoke(main, ["init", *place])

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, [*words, *place])
        return done.exit_code, done.output

    def narrowings() -> list[dict[str, object]]:
        return [key["narrowing"] for key in json.loads(run("key", "list", "--json")[1])]

    for narrow in ([], ["--prefix", "+33"], ["--daily-cap", "20"]):
        code, said = run("key", "create", "--simple", *narrow)
        assert code == 2 and "--simple needs --prefix and --daily-cap" in said
    assert narrowings() == []
    narrow = ["--prefix", "+33", "--daily-cap", "20"]
    assert run("key", "create", "--simple", *narrow)[0] == 0
    assert narrowings()[0]["simple"] is True
    assert "prefix +33, daily-cap 20, simple" in run("key", "list")[1]
    assert run("key", "simple", "1", "--off") == (0, "closed\n")
    assert narrowings()[0] == {**narrowings()[0], "simple": False, "prefixes": ["+33"]}
    assert run("key", "simple", "1") == (0, "open\n")
    assert narrowings()[0]["simple"] is True
    run("key", "create")
    code, said = run("key", "simple", "2")
    assert code == 2 and "has no prefixes or no daily cap" in said
    assert narrowings()[1]["simple"] is False
    run("key", "revoke", "1")
    for gone in ("1", "9"):
        code, said = run("key", "simple", gone)
        assert code == 1 and f"key {gone} does not exist or is revoked" in said


def test_the_numbers_that_receive_alerts_are_those_that_the_key_may_write_to(
    tmp_path: Path,
) -> None:
    place = ["--data", str(tmp_path)]
    CliRunner().invoke(main, ["init", *place])

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, [*words, *place])
        return done.exit_code, done.output

    def numbers() -> object:
        return json.loads(run("key", "list", "--json")[1])[0]["narrowing"]["alert_to"]

    for wrong, why in (
        ("0612345678", "must begin with +"),
        ("+41791234567", "the prefixes forbid"),
    ):
        code, said = run("key", "create", "--prefix", "+33", "--alert-to", wrong)
        assert code == 2 and why in said
    assert run("key", "create", "--prefix", "+33", "--alert-to", "+33 6 12 34 56 78")[0] == 0
    assert numbers() == ["+33612345678"]
    assert "prefix +33, alert-to +33612345678" in run("key", "list")[1]
    assert run("key", "alerts", "1", "--to", "+33698765432") == (0, "saved\n")
    assert numbers() == ["+33698765432"]
    assert run("key", "alerts", "1", "--to", "+41791234567")[0] == 2
    assert numbers() == ["+33698765432"]
    assert run("key", "alerts", "1") == (0, "saved\n")
    assert numbers() == []
    assert run("key", "alerts", "9")[0] == 1


def test_the_settings_in_force_are_json_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "zimbox.toml"
    file.write_text('rate_limit = 7\n[server]\nmetrics_token = "t0ken"\n[[modem]]\npin = "1234"\n')
    words = ["config", "show", "--data", str(tmp_path), "--config", str(file), "--json"]
    result = CliRunner().invoke(main, words).stdout
    found = json.loads(result)
    assert found["rate_limit"] == 7 and found["modem"][0]["port"] == "sim"
    assert found["modem"][0]["pin"] == found["server"]["metrics_token"] == "(set, not shown)"
    assert "t0ken" not in result and "1234" not in result


def _commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        yield " ".join((*path, name)), command


def test_every_command_and_every_option_says_what_it_does() -> None:
    silent = []
    for name, command in _commands(main):
        if not (command.help or "").strip():
            silent.append(name)
        options = [option for option in command.params if isinstance(option, click.Option)]
        silent += [f"{name} {one.opts[0]}" for one in options if not (one.help or "").strip()]
    assert not silent


def test_the_shell_completes_commands_as_the_manual_says() -> None:
    asked = {"_ZIMBOX_COMPLETE": "bash_complete", "COMP_WORDS": "zimbox key cr", "COMP_CWORD": "2"}
    done = CliRunner().invoke(main, [], prog_name="zimbox", env=asked)
    assert done.output == "plain,create\n"


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--listen", "127.0.0.1:0", "--modem", "sim"),
        ("init",),
        ("doctor",),
    ],
)
def test_an_impossible_data_folder_gives_one_line_without_traceback(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = _zimbox(*words, "--data", str(file))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"Error: {file}: ")


def _zimbox(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: `serve` sets up the log of the whole process."""
    command = [sys.executable, "-m", "appliance", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )


def test_a_file_that_is_not_a_database_gives_one_line_without_traceback(tmp_path: Path) -> None:
    """What `serve` does then is in tests/box/test_failed_start.py."""
    (tmp_path / "zimbox.db").write_bytes(b"nonsense" * 1000)
    done = _zimbox("key", "list", "--data", str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith("file is not a database")


def test_a_backup_to_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["init", "--data", str(tmp_path)])
    words = ["backup", str(tmp_path / "none" / "b.tgz"), "--data", str(tmp_path)]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1 and "No such file or directory" in refused.stderr


@pytest.mark.parametrize("modem", ["", "@115200"])
def test_a_modem_without_a_port_is_refused(tmp_path: Path, modem: str) -> None:
    refused = CliRunner().invoke(main, ["serve", "--data", str(tmp_path), "--modem", modem])
    assert refused.exit_code == 2 and "--modem" in refused.output


async def test_an_interrupted_deletion_of_a_client_can_be_continued(stage: Stage) -> None:
    number = await stage.take()
    assert await stage.db.write(messages.cancel, stage.ids, number, stage.now)
    assert await stage.archive() == 1
    assert await stage.db.write(clients.erase, 1, stage.now)  # and then the power was cut
    words = ["client", "delete", "--yes", "--data", str(stage.db.path.parent), "client_1"]
    done = await asyncio.to_thread(CliRunner().invoke, main, words)
    assert done.exit_code == 0
    view = await stage.view(number)
    assert (view.to, view.message) == ("", "")
    assert (await asyncio.to_thread(CliRunner().invoke, main, words)).exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("key", "create", "--expires-days", "99999999"),
        ("key", "create", "--daily-cap", "9" * 30),
        ("key", "create", "--name", "\udcff"),
        ("key", "create", "--name", "two\nlines"),
        ("client", "create", "--name", "\x1b[31m"),
        ("key", "revoke", "9" * 20),
        ("doctor", "--port", "/dev/null@fast"),
        ("doctor", "--port", "/dev/null", "--send-to", "nobody"),
        ("serve", "--modem", f"sim@{'9' * 20}"),
        ("backup", "/dev/null"),
    ],
)
def test_impossible_arguments_give_one_line_and_change_nothing(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    place = ["--data", str(tmp_path)]
    assert CliRunner().invoke(main, ["init", *place]).exit_code == 0
    assert CliRunner().invoke(main, ["key", "create", *place]).exit_code == 0
    refused = CliRunner().invoke(main, [*words, *place])
    assert refused.exit_code == 2, refused.output
    assert refused.output.splitlines()[-1].startswith("Error: ")
    listed = CliRunner().invoke(main, ["key", "list", "--json", *place])
    assert [key["key_id"] for key in json.loads(listed.stdout)] == [1]


@pytest.mark.parametrize("name", ["zimbox.db", "secret.key", "../data/zimbox.db"])
def test_a_backup_never_overwrites_its_own_box(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    CliRunner().invoke(main, ["init", "--data", str(data)])
    refused = CliRunner().invoke(main, ["backup", str(data / name), "--data", str(data)])
    assert refused.exit_code == 2 and "another name" in refused.output
    assert CliRunner().invoke(main, ["key", "list", "--data", str(data)]).exit_code == 0


def test_the_doctor_makes_no_folder(tmp_path: Path) -> None:
    words = ["doctor", "--port", "/dev/null", "--data", str(tmp_path / "none")]
    assert CliRunner().invoke(main, words).exit_code == 1
    assert not (tmp_path / "none").exists()


def test_only_the_owner_can_read_the_database_in_a_shared_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    CliRunner().invoke(main, ["init", "--data", str(tmp_path)])
    assert (tmp_path / "zimbox.db").stat().st_mode & 0o777 == 0o600
    file = str(tmp_path / "b.tgz")
    CliRunner().invoke(main, ["backup", file, "--data", str(tmp_path)])
    CliRunner().invoke(main, ["restore", file, "--data", str(tmp_path)])
    assert (tmp_path / "zimbox.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("port", "why"),
    [
        ("socket://pi", "rfc2217://HOST:PORT"),
        ("socket://pi:2000?logging=debug", "rfc2217://HOST:PORT"),
        ("loop://", "rfc2217://HOST:PORT"),
        ("socket://pi:2000@9600", "the serial server sets the speed"),
    ],
)
def test_an_address_of_a_modem_that_cannot_be_opened_is_refused(
    tmp_path: Path, port: str, why: str
) -> None:
    for words in (["serve", "--modem", port], ["doctor", "--port", port]):
        refused = CliRunner().invoke(main, [*words, "--data", str(tmp_path)])
        assert refused.exit_code == 2 and why in " ".join(refused.stderr.split())
