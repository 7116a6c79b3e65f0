"""The tables of docs/ agree with the code: codes, test numbers, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.errors import ERROR_SPECS, FAILURES
from modem.simulator.network.test_numbers import OUTCOMES
from tests.box.running import QUICK_DRIVER, RunningBox, eventually
from tests.docs.blocks import DOCS

pytestmark = pytest.mark.seconds(15)

TEST_SETTLE_SECONDS = (
    280.0  # two of the numbers hold the modem up for three seconds each; never waited in full
)


def rows(page: str, heading: str, level: int = 2) -> list[list[str]]:
    """The cells of the first table under a heading of a level, without its head."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    _, found, after = text.partition(f"\n{'#' * level} {heading}\n")
    assert found, f"{page}.md has no {heading!r}"
    lines = re.search(r"(?:^\|.*\n)+", re.split("\n#{2,} ", after)[0], re.MULTILINE)
    assert lines
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[0].splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in cells]


def test_every_code_is_there_with_its_status_and_no_other() -> None:
    result = {row[0].strip("`"): int(row[1]) for row in rows("errors", "All codes")}
    assert result == {code: kind.status for code, kind in ERROR_SPECS.items()}
    assert all(row[2] for row in rows("errors", "All codes"))


def test_every_reason_of_a_failed_message_is_there_and_no_other() -> None:
    assert [row[0].strip("`") for row in rows("errors", "Why a message failed")] == list(FAILURES)


def test_every_number_that_produces_an_outcome_is_there() -> None:
    result = [row[0].strip("`")[-2:] for row in rows("keys", "Numbers that produce each outcome")]
    assert result == sorted(OUTCOMES)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RunningBox]:
    running = RunningBox(tmp_path, {**QUICK_DRIVER, "ZIMBOX_SENDING_WAIT_SECONDS": "0.5"})
    running.start()
    yield running
    running.stop()


def test_every_test_number_has_its_documented_outcome(box: RunningBox) -> None:
    tester = box.client("--test")
    result = rows("keys", "Numbers that produce each outcome")
    sent = {
        row[0]: tester.send(f"+336{re.sub('[^0-9]', '', row[0]).zfill(8)}", f"To {row[0]}")
        for row in result
    }

    def as_documented() -> bool:
        return not wrong()

    def wrong() -> list[str]:
        found = []
        for number, _, status, error in result:
            now = tester.status(sent[number])
            code = (now["error"] or {}).get("code", "")
            uncertain = now["uncertain"] == (number.strip("`").endswith("0110"))
            if (now["status"], code) != (status.strip("`"), error.strip("`")) or not uncertain:
                found.append(f"{number}: {now}")
        return found

    try:
        eventually(as_documented, "as the page says", TEST_SETTLE_SECONDS)
    except AssertionError:
        raise AssertionError("\n".join(wrong())) from None


LINK = re.compile(r"\]\((?P<page>[\w\-]*\.md)?(?:#(?P<anchor>[^)]*))?\)")
# Pages that come with the feature they describe.
LATER: set[str] = set()


def test_every_link_has_a_target() -> None:
    for page in DOCS.glob("*.md"):
        for link in LINK.finditer(page.read_text("utf-8")):
            target = DOCS / (link["page"] or page.name)
            if not target.exists():
                assert target.name in LATER, f"{page.name}: {link[0]}"
            elif link["anchor"]:
                assert link["anchor"] in anchors(target), f"{page.name}: {link[0]}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
