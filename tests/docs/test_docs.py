"""Each code block of docs/ runs against a box, in the order of its page, with the shown output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.core import config
from tests.box.running import RunningBox
from tests.docs.blocks import DOCS, LANGUAGES, OUTCOMES, PAGES, fences, runnable
from tests.docs.readers import ProgramReader, Reader, ShellReader
from tests.needed import needed

pytestmark = pytest.mark.seconds(15)

# Pages with tests of their own, pages without runnable blocks, and the list of all pages.
OTHERS = {
    *(
        "simulator",
        "performance",
        "reliability",
        "image",
        "installing",
        "webhooks",
        "mqtt",
        "alarms",
        "page",
        "page.fr",
        "testing",
        "index",
    ),
    *("api-contract", "architecture", "glossary", "command-line", "smpp", "past-one-box"),
}


WANTS = {
    "bash": ("bash", "curl", "jq"),
    "python": ("python3",),
    "javascript": ("node",),
    "php": ("php",),
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box with the limits that its documentation tells of."""
    settings = {
        "ZIMBOX_RATE_LIMIT": "100",
        "ZIMBOX_READ_LIMIT": "100000",  # the tests look more often than a client does
        "ZIMBOX_OTP_PER_HOUR": "1000",  # four languages, one number
    }
    running = RunningBox(tmp_path_factory.mktemp("docs"), settings).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def readers(box: RunningBox, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reader]:
    """A reader for each language, made when it is first asked for."""
    made: dict[str, Reader] = {}

    def reader(language: str) -> Reader:
        if language not in made:
            kind = ShellReader if language == "bash" else ProgramReader
            folder = tmp_path_factory.mktemp(language)
            made[language] = kind(box, box.client("--test"), folder)
        return made[language]

    return reader


def preamble(language: str) -> str:
    """What quick-start.md sets up once, and all other pages go on from."""
    return next(b.text for b in runnable("quick-start", language) if "ZIMSEND_URL" in b.text)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_each_block_of_the_page_does_what_it_says(
    page: str, language: str, readers: Callable[[str], Reader]
) -> None:
    if not runnable(page, language):
        assert page in ("simple", "alerts", "keys", "operations", "settings"), (
            "a page for clients speaks all four languages"
        )
        return
    needed(*WANTS[language])
    reader = readers(language)
    if isinstance(reader, ShellReader):
        reader.read(page, preamble(language))
    elif isinstance(reader, ProgramReader):
        # The set-up is itself the first block of that page.
        reader.read(page, language, "" if page == "quick-start" else preamble(language))


@pytest.mark.parametrize("page", PAGES)
def test_every_kind_of_block_is_run(page: str) -> None:
    kinds = {block.kind for block in fences(page)}
    assert kinds <= {*LANGUAGES, *OUTCOMES, "toml", "yaml"}  # yaml: settings of other programs


def test_settings_shown_in_toml_are_valid(tmp_path: Path) -> None:
    shown = [block for page in PAGES for block in fences(page) if block.kind == "toml"]
    assert shown
    for number, block in enumerate(shown):
        file = tmp_path / f"{number}.toml"
        file.write_text(block.text)
        config.load(file, {})


def test_the_index_names_every_page_and_no_other() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    there = {page.stem for page in DOCS.glob("*.md")}
    assert there <= {*PAGES, *OTHERS}
    for page in there - {"index"}:
        assert f"({page}.md)" in index


def test_the_log_has_no_numbers_texts_and_keys(
    box: RunningBox, readers: Callable[[str], Reader]
) -> None:
    reader = readers("bash")
    secret = "Un texte que personne ne lit"
    for number in ("+33612345678", "+33655550106", "+33655550119"):
        reader.client.send(number, secret)
    reader.client.post("/sms/send-otp", {"to": "+33612345678"})
    reader.wait()
    log = box.log()
    assert "request" in log
    for hidden in ("33612345678", "612345678", "5550106", secret, reader.client.api_key):
        assert hidden not in log
