"""Extract the texts for people, and bring the catalogues up to date: `scripts/messages [LANGUAGE …]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from modem.error_codes.cme import CME
from modem.error_codes.cms import CMS
from modem.error_codes.tp_status import TP_STATUS

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "appliance" / "locale"
PACKAGES = ("appliance", "modem", "web")
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "N_": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}


def extracted() -> Catalog:
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


def catalogue_file(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "zimbox.po"


def read(language: str) -> Catalog:
    """Return a catalogue, or an empty one for a new language."""
    file = catalogue_file(language)
    if not file.exists():
        return Catalog(locale=language, fuzzy=False)
    with file.open("rb") as po:
        return read_po(po, locale=language)


def updated(language: str) -> Catalog:
    """Return a language's catalogue with today's texts: new ones untranslated, unused ones gone."""
    old, new = read(language), Catalog(locale=language, fuzzy=False)
    new.mime_headers = [("Plural-Forms", old.plural_forms)]
    for text in extracted():
        if not text.id:
            continue
        known = old.get(text.id, text.context)
        new.add(
            text.id,
            known.string if known else None,
            auto_comments=text.auto_comments,
            user_comments=known.user_comments if known else (),
            context=text.context,
            flags={"fuzzy"} if known and known.fuzzy else (),
        )
    return new


def write(language: str, catalogue: Catalog) -> None:
    """Write a catalogue in the order of its texts, so that two changes seldom meet in one place."""
    for text in catalogue:
        text.flags &= {"fuzzy"}
    body = BytesIO()
    # One line for each text, whatever its length; no dates, files and lines, which change with every edit.
    write_po(body, catalogue, width=0, omit_header=True, sort_output=True, no_location=True)
    file = catalogue_file(language)
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
    for language in sys.argv[1:] or sorted(folder.name for folder in LOCALE.iterdir()):
        catalogue = updated(language)
        write(language, catalogue)
        missing = [str(text.id) for text in catalogue if text.id and not text.string]
        sys.stdout.write(
            f"{language}: {len(catalogue)} texts, {len(missing)} without translation\n"
        )
        sys.stdout.writelines(f"  {text}\n" for text in missing)


if __name__ == "__main__":
    main()
