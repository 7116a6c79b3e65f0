"""The owner's manual says the same in both languages."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
# About how the page is made, which the owner does not need.
ENGLISH_ONLY = 1  # "Cost"


def _manual(name: str) -> tuple[int, int, int, int]:
    """Return the number of sections, table rows, list entries and code blocks of a manual."""
    lines = (DOCS / name).read_text("utf-8").splitlines()
    return (
        sum(line.startswith("## ") for line in lines),
        sum(line.startswith("| ") for line in lines),
        sum(line.startswith(("- ", "1. ", "2. ", "3. ", "4. ", "5. ")) for line in lines),
        sum(line == "forget_owner = true" for line in lines),
    )


def test_the_french_manual_has_every_section_verdict_step_and_setting_of_the_english_one() -> None:
    english, french = _manual("page.md"), _manual("page.fr.md")
    assert english[1] > 15 and english[2] > 10
    assert french == (english[0] - ENGLISH_ONLY, *english[1:])
