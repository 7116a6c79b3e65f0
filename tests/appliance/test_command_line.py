"""The command line, for owners who mistype."""

import json
from pathlib import Path

from click.testing import CliRunner

from appliance.__main__ import main


def test_a_prefix_without_plus_is_refused_instead_of_a_key_that_may_write_to_nobody(
    tmp_path: Path,
) -> None:
    words = ["key", "create", "--data", str(tmp_path), "--json", "--prefix"]
    refused = CliRunner().invoke(main, [*words, "33"])
    assert refused.exit_code == 2 and "+33" in refused.output
    made = CliRunner().invoke(main, [*words, "+33"])
    assert made.exit_code == 0 and json.loads(made.stdout)["api_key"].startswith("zs_live_")


def test_a_command_in_the_wrong_folder_says_that_it_makes_a_new_box(tmp_path: Path) -> None:
    words = ["key", "list", "--data", str(tmp_path / "elsewhere")]
    assert "a new one is made" in CliRunner().invoke(main, words).stderr
    assert CliRunner().invoke(main, words).stderr == ""
