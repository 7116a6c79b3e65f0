"""Extract the texts for people, and bring the catalogues up to date: `scripts/messages [LANGUAGE …]`."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import structlog
from babel.messages import Catalog
from babel.messages.extract import extract, extract_from_dir
from babel.messages.pofile import read_po, write_po

from modem.error_codes.cme import CME
from modem.error_codes.cms import CMS
from modem.error_codes.tp_status import TP_STATUS
from tests.web.box import WebBox
from web.app import create
from web.openapi.document import document

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "appliance" / "locale"
# What the box shows; and the API reference at /schema, whose texts are those of the OpenAPI document.
DOMAINS = ("zimbox", "reference")
PACKAGES = ("appliance", "modem", "web")
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "N_": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}


def extracted(domain: str) -> Catalog:
    """Return every text of a domain."""
    return _marked() if domain == "zimbox" else _of_the_reference()


def _marked() -> Catalog:
    """Return every text that the code and the templates mark."""
    found = Catalog(fuzzy=False)
    for package in PACKAGES:
        for _file, _line, message, comments, context in extract_from_dir(
            ROOT / package, _METHODS, keywords=_KEYWORDS, comment_tags=("Translators:",),
            strip_comment_tags=True,
        ):  # fmt: skip
            found.add(message, auto_comments=comments, context=context)
    for text in _tables():
        found.add(text)
    return found


def _tables() -> Iterator[str]:
    """Yield the texts of the tables of error codes, which are data without marks."""
    yield from (row.english for table in (CME, CMS) for row in table.values())
    yield from (row.english for row in TP_STATUS.values())


def _of_the_reference() -> Catalog:
    """Return every text that the page of the API reference shows: its own, and those of the document."""
    found = Catalog(fuzzy=False)
    with (ROOT / "web/page/templates/reference.html").open("rb") as template:
        for _line, message, comments, _context in extract("jinja2", template, {"say": None}):
            found.add(message, auto_comments=comments)
    for text in _shown(asyncio.run(_openapi_document())):
        if text and not CODES.fullmatch(text):
            found.add(text)
    return found


async def _openapi_document() -> object:
    with tempfile.TemporaryDirectory() as folder:
        box = await WebBox.start(Path(folder))
        await box.stop()
        return document(create(box.services))


CODES = re.compile(r"(`[A-Z_]+`(, )?)*")  # of errors: a list of names


def _shown(node: object) -> Iterator[str]:
    """Yield what the reference shows of the document: names of groups, summaries and descriptions."""
    if isinstance(node, list):
        for one in node:
            yield from _shown(one)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name in ("summary", "description") and isinstance(value, str):
                yield value
            elif name == "tags" and all(isinstance(tag, dict) for tag in value):
                yield from (tag["name"] for tag in value)
                yield from _shown(value)
            elif name not in ("example", "examples", "servers"):
                yield from _shown(value)


def catalogue_file(language: str, domain: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / f"{domain}.po"


def read(language: str, domain: str) -> Catalog:
    """Return a catalogue, or an empty one for a new language."""
    file = catalogue_file(language, domain)
    if not file.exists():
        return Catalog(locale=language, fuzzy=False)
    with file.open("rb") as po:
        return read_po(po, locale=language)


def updated(language: str, domain: str) -> Catalog:
    """Return a language's catalogue with today's texts: new ones untranslated, unused ones gone."""
    old, new = read(language, domain), Catalog(locale=language, fuzzy=False)
    new.mime_headers = [("Plural-Forms", old.plural_forms)]
    for text in extracted(domain):
        if not text.id:
            continue
        known = old.get(text.id, text.context)
        new.add(
            text.id,
            _typeset(known.string, language) if known else None,
            auto_comments=text.auto_comments,
            user_comments=known.user_comments if known else (),
            context=text.context,
            flags={"fuzzy"} if known and known.fuzzy else (),
        )
    return new


# French ties signs to the word before them, and writes an apostrophe that is not a quotation mark.
_FRENCH = (
    (re.compile(r" (?=[:»›])|(?<=«) "), "\u00a0"),
    (re.compile(r" (?=[;!?])"), "\u202f"),
    (re.compile(r"(?<=\w)'(?=\w)"), "’"),
)


def _typeset(string: Any, language: str) -> Any:
    """Return a translation, or each of its plural forms, with the spaces and signs of the language."""
    if language != "fr" or not string:
        return string
    if not isinstance(string, str):
        return tuple(_typeset(form, language) for form in string)
    pieces = re.split("(`[^`]*`)", string)  # what is in backticks is code
    for index in range(0, len(pieces), 2):
        for found, tied in _FRENCH:
            pieces[index] = found.sub(tied, pieces[index])
    return "".join(pieces)


def write(language: str, domain: str, catalogue: Catalog) -> None:
    """Write a catalogue in the order of its texts, so that two changes seldom meet in one place."""
    for text in catalogue:
        text.flags &= {"fuzzy"}
    body = BytesIO()
    # One line for each text, whatever its length; no dates, files and lines, which change with every edit.
    write_po(body, catalogue, width=0, omit_header=True, sort_output=True, no_location=True)
    file = catalogue_file(language, domain)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        _HEADER.format(language=language, plurals=catalogue.plural_forms) + body.getvalue().decode()
    )


_HEADER = """\
# The texts of ZimBox. scripts/messages brings them up to date; see CONTRIBUTING.md, "Texts".
msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""


def main() -> None:
    """Update the catalogues of the languages given, or of all."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for language in sys.argv[1:] or sorted(folder.name for folder in LOCALE.iterdir()):
        for domain in DOMAINS:
            catalogue = updated(language, domain)
            write(language, domain, catalogue)
            missing = [str(text.id) for text in catalogue if text.id and not text.string]
            sys.stdout.write(
                f"{language} {domain}: {len(catalogue)} texts, {len(missing)} without translation\n"
            )
            sys.stdout.writelines(f"  {text}\n" for text in missing)


if __name__ == "__main__":
    main()
