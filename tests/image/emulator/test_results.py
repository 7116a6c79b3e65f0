"""The table of the scenarios' results."""

from pathlib import Path

from image.emulator import results


def test_a_run_replaces_the_one_before_and_unfinished_runs_have_no_row(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.note("sms", {"first_200_seconds": 99, "old": 1}, file)
    results.begin("sms", file)
    results.note("sms", {"first_200_seconds": 31}, file)
    results.end("sms", "passed", 61.4, "From curl | to the network", file)
    results.note("wifi", {"connected": True}, file)
    page = results.table(results.read(file))
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == 1
    assert "| `sms` | From curl / to the network | passed | 61 | first 200 seconds: 31 |" in rows[0]


def test_a_build_that_ran_some_scenarios_keeps_the_rows_of_the_others(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for name in ("sms", "wifi"):
        results.end(name, "passed", 61, f"{name} of the first card", file)
    page = results.table(results.read(file))
    results.end("sms", "passed", 59, "sms of the second card", file)
    results.begin("wifi", file)
    second = results.table(results.read(file), page)
    rows = [line for line in second.splitlines() if line.startswith("| `")]
    assert [row.split(" | ")[1] for row in rows] == [
        "sms of the second card",
        "wifi of the first card",
    ]
