"""The catalogues are complete, and the small reader reads them as Babel does."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Message
from babel.messages.mofile import write_mo

from appliance.core.catalogue import CatalogueError, entries, read_catalogue
from appliance.core.i18n import SOURCE, Text, languages
from tests.messages import DOMAINS, LOCALE, ROOT, catalogue_file, extracted, read

TRANSLATED = [language for language in languages() if language != SOURCE]
FRENCH_LETTERS = re.compile("[àâçéèêëîïôùûœÀÂÇÉÈÊËÎÏÔÙÛŒ«»]")
# Alphabets, and texts that a French sender would write.
WITH_LETTERS = {
    "image/target/error_page.py",  # uses the standard library alone: nothing else may be readable
    "image/target/boot_files.py",  # a line in a file of the card, in both languages
    "modem/sms/national_tables.py",
    "modem/sms/gsm7.py",
    "appliance/core/stop_words.py",  # quotation marks around a keyword
    "web/openapi/examples.py",
    "appliance/domain/schemas.py",  # an example of a message
}


def key(message: Message) -> tuple[str | None, object]:
    return message.context, message.id


def texts(messages: Any) -> dict[tuple[str | None, object], Message]:
    return {key(message): message for message in messages if message.id}


def forms(message: Message) -> list[str]:
    strings = message.string
    return list(strings) if isinstance(strings, list | tuple) else [str(strings or "")]


def places(text: str) -> set[str]:
    """The names in braces; a text without values may show braces as they are."""
    if re.search(r'{{|}}|{"', text):
        return set()
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_language_has_a_catalogue() -> None:
    assert {folder.name for folder in LOCALE.iterdir()} == set(TRANSLATED)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_the_texts_of_code_and_templates_and_no_others(
    language: str, domain: str
) -> None:
    wanted, found = texts(extracted(domain)), texts(read(language, domain))
    assert wanted.keys() - found.keys() == set(), "run scripts/messages, then translate"
    assert found.keys() - wanted.keys() == set(), "run scripts/messages"


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated(language: str, domain: str) -> None:
    open_ones = [
        key(message)
        for message in texts(read(language, domain)).values()
        if message.fuzzy or not all(forms(message))
    ]
    assert open_ones == []


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_has_the_places_of_its_text(language: str, domain: str) -> None:
    for message in texts(read(language, domain)).values():
        ids = message.id if isinstance(message.id, list | tuple) else (message.id,)
        wanted = set[str]().union(*(places(text) for text in ids))
        for form in forms(message):
            assert places(form) == wanted, message.id


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", TRANSLATED)
def test_our_reader_and_babel_agree(language: str, domain: str) -> None:
    written = BytesIO()
    write_mo(written, read(language, domain))
    ours = entries(catalogue_file(language, domain).read_text())
    ours.pop("")
    mo = written.getvalue()
    for entry, text in ours.items():
        assert entry.encode() in mo and text.encode() in mo
    assert len(ours) == len(texts(read(language, domain)))


def test_plurals_contexts_and_lines_that_go_on_are_read() -> None:
    text = """
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\\n"

# a comment
#: some/file.py
msgctxt "mode"
msgid "one"
msgstr "un"

msgid "{n} \\"thing\\""
msgid_plural "{n} things"
msgstr[0] ""
"{n} "
"chose"
msgstr[1] "{n} choses"

#, fuzzy
msgid "perhaps"
msgstr "peut-être"

msgid "later"
msgstr ""
"""
    found = entries(text)
    assert found.pop("").startswith("Content-Type")
    assert found == {"mode\x04one": "un", '{n} "thing"\0{n} things': "{n} chose\0{n} choses"}


def test_a_broken_catalogue_is_refused_with_its_line() -> None:
    for broken in ('msgid "a', "nonsense", 'msgid "\\x"\n'):
        with pytest.raises(CatalogueError, match="line 2"):
            entries("\n" + broken)


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_the_plural_is_chosen_by_each_language(n: int) -> None:
    text = Text("{n} message", (("n", n),), plural="{n} messages", count=n)
    assert text.plain("en") == f"{n} message" + ("" if n == 1 else "s")
    assert text.plain("fr") == f"{n} message" + ("s" if n > 1 else "")


def test_values_are_shown_as_they_are_and_texts_within_are_translated() -> None:
    inner = Text("must not be empty")
    text = Text("The request is invalid: {field}, {reason}", (("field", "{a}'"), ("reason", inner)))
    assert text.plain("fr") == "La requête est invalide : {a}', ne doit pas être vide"
    assert text.typeset("fr") == "La requête est invalide\u00a0: {a}', ne doit pas être vide"
    assert text.typeset("en") == "The request is invalid: {a}', must not be empty"


def test_a_language_without_a_catalogue_is_shown_in_english() -> None:
    assert Text("must not be empty").plain("eo") == "must not be empty"


def test_french_is_in_the_catalogue_only() -> None:
    files = [
        file
        for package in ("appliance", "modem", "web", "image/target")
        for pattern in ("*.py", "*.html")
        for file in (ROOT / package).rglob(pattern)
    ]
    found = {
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        if str(file.relative_to(ROOT)) not in WITH_LETTERS
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if FRENCH_LETTERS.search(line)
    }
    assert found == set()


PYTHON = re.compile(r"\b(int|str|bool|float|dict|NoneType|ValidationError)\b")


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_text_has_the_name_of_a_python_type(domain: str) -> None:
    assert [str(text.id) for text in extracted(domain) if PYTHON.search(str(text.id))] == []


LOOSE = re.compile(r" [:;!?»›]|« |[A-Za-zéèà]'[A-Za-zéèàê]")


@pytest.mark.parametrize("domain", DOMAINS)
def test_french_signs_are_tied_to_their_words(domain: str) -> None:
    loose = [
        form
        for message in texts(read("fr", domain)).values()
        for form in forms(message)
        if LOOSE.search(re.sub("`[^`]*`", "", form))
    ]
    assert loose == []


def test_the_catalogues_are_read_once() -> None:
    assert read_catalogue(catalogue_file("fr", "zimbox")).gettext("Delivered") == "Remis"


def test_another_language_is_another_file(tmp_path: Path) -> None:
    for package in ("appliance", "modem", "web"):
        shutil.copytree(ROOT / package, tmp_path / package)
    german = tmp_path / "appliance" / "locale" / "de" / "LC_MESSAGES" / "zimbox.po"
    german.parent.mkdir(parents=True)
    german.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "English"\nmsgstr "Deutsch"\n\n'
        'msgid "This message does not exist."\nmsgstr "Diese Nachricht gibt es nicht."\n'
    )
    program = (
        "from appliance.core.config import loads\n"
        "from appliance.domain.errors import ApiError\n"
        "from web.error_responses import preferred\n"
        "from web.page.i18n import languages\n"
        "language = preferred('de-AT, en;q=0.5')\n"
        "print(language, languages(), loads('language = \"de\"').language)\n"
        "print(ApiError('MESSAGE_NOT_FOUND').message(language))\n"
        "print(ApiError('WEBHOOK_NOT_FOUND').message(language))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        "de [('fr', 'Français'), ('de', 'Deutsch'), ('en', 'English')] de",
        "Diese Nachricht gibt es nicht.",
        "This webhook does not exist.",
    ]
