"""The files for contributors are well-formed and agree with this tree."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RECORDS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
HEADINGS = ["Context", "Decision", "Consequences"]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_record_has_the_usual_form(record: Path) -> None:
    text = record.read_text("utf-8")
    number = record.name[:4]
    assert re.match(rf"# {number}\. \S.*\n", text), "title with its number"
    assert re.search(r"^(\*\*)?Status:?(\*\*)?:? \w|^## Status$", text, re.MULTILINE)
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", text), "its date"
    found = [name for name in re.findall(r"^## (.+)$", text, re.MULTILINE) if name in HEADINGS]
    assert found == HEADINGS


def test_each_decision_record_has_a_number_of_its_own_and_a_line_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    numbers = [record.name[:4] for record in RECORDS]
    assert len(set(numbers)) == len(numbers)
    listed = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \|", index, re.MULTILINE)
    there = {
        (record.name[:4], record.name, record.read_text("utf-8").splitlines()[0].split(". ", 1)[1])
        for record in RECORDS
    }
    assert set(listed) == there


def test_every_package_says_that_it_is_typed_and_ships_the_mark() -> None:
    packages = [
        name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    ]
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]
    for package in packages:
        assert (ROOT / package / "py.typed").is_file()
        assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"][package]


def test_hooks_and_workflow_call_scripts_that_are_there() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    called = [*re.findall(r"entry: (\S+)", hooks), *re.findall(r"run: (\.?\w*/\S+)", workflow)]
    assert called == ["scripts/check", ".ci/run"]
    for script in called:
        assert (ROOT / script).stat().st_mode & 0o100, f"{script} can be executed"


def test_links_between_documents_exist() -> None:
    pages = [
        page
        for page in tracked()
        if page.suffix == ".md" and page.relative_to(ROOT).parts[0] != "tests"
    ]
    assert ROOT / "README.md" in pages
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_each_promise_of_security_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    promises = text.partition("\n## Promises\n")[2]
    rows = re.findall(r"^\| (?!promise|---)([^|]+) \| ([^|]+) \|$", promises, re.MULTILINE)
    assert rows
    tests = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py") if path.is_file()
    )
    there = set(re.findall(r"def (test_\w+)\(", tests))
    for promise, named in rows:
        found = re.findall(r"`(test_\w+)`", named)
        assert found, promise
        assert set(found) <= there, f"{promise}: {sorted(set(found) - there)}"


def test_the_changelog_has_the_usual_form_and_the_version_of_this_tree() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    releases = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert releases[0] == "[Unreleased]"
    assert releases[1].startswith(f"[{PROJECT['project']['version']}] - ")
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_cited_sections_of_the_contract_exist() -> None:
    contract = (ROOT / "docs" / "api-contract.md").read_text("utf-8")
    sections = set(re.findall(r"^## (.+)$", contract, re.MULTILINE))
    cited = {
        section
        for path in tracked()
        if path.suffix == ".py" and path.is_file()
        for citation in re.findall(
            r'docs/api-contract\.md, ("[^"]+"(?: and "[^"]+")*)', path.read_text("utf-8")
        )
        for section in re.findall(r'"([^"]+)"', citation)
    }
    assert len(cited) > 5
    assert cited <= sections


def test_each_path_that_a_document_names_exists() -> None:
    """Source files in backticks, from the top folder; `zimbox.toml` and the like are the reader's own."""
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in tracked()
        if page.suffix == ".md" and page.relative_to(ROOT).parts[0] != "tests"
        for path in re.findall(r"`([\w.-]+/[\w./-]+\.(?:py|sql|txt))\b", page.read_text("utf-8"))
        if not path.startswith(("build/", "data/")) and not (ROOT / path).exists()
    ]
    assert missing == []
