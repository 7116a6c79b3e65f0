"""Texts for people: English in the code, other languages in `appliance/locale/LANGUAGE/LC_MESSAGES/zimbox.po`.

`_("Choose a file first.")` marks a text and returns a `Text`, which is translated when the reader's
language is known. CONTRIBUTING.md says how to add a text and a language.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import msgspec

from appliance.core.catalogue import read_catalogue

# The language of the texts in the code.
SOURCE = "en"
# What the API answers in and a new box shows where nobody has chosen (docs/api-contract.md).
DEFAULT = "fr"
LOCALE = Path(__file__).parent.parent / "locale"

# The tag of a language as in RFC 5646: one of `languages()`.
Language = str


Value: TypeAlias = "str | int | float | Text"


class Text(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text in English with named places such as `{number}`, and the values for them.

    It can be stored as JSON and shown later in any language; in English where it has no translation.
    """

    msgid: str
    values: tuple[tuple[str, Value], ...] = ()
    context: str = ""
    plural: str = ""
    count: int = 1

    def plain(self, language: Language) -> str:
        """Return the text in `language` with ordinary spaces and apostrophes, for programs and terminals."""
        return self._shown(language, _plain)

    def typeset(self, language: Language) -> str:
        """Return the text in `language` for a page, with no-break spaces and curly apostrophes."""
        return self._shown(language, _typeset)

    def _shown(self, language: Language, adapt: Callable[[str], str]) -> str:
        # Adapted before the values are filled in: what somebody wrote stays as it is.
        text = adapt(_translated(self, translations(language)))
        if not self.values:
            return text
        return text.format_map(
            {
                name: value._shown(language, adapt) if isinstance(value, Text) else value
                for name, value in self.values
            }
        )

    def __str__(self) -> str:
        return self.plain(SOURCE)


def _translated(text: Text, found: gettext.NullTranslations) -> str:
    if text.plural:
        return found.ngettext(text.msgid, text.plural, text.count)
    if text.context:
        return found.pgettext(text.context, text.msgid)
    return found.gettext(text.msgid)


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("’", "'")


def _typeset(text: str) -> str:
    return text.replace("'", "’").replace(" › ", "\u00a0› ")


def _(msgid: str, **values: Value) -> Text:
    """Mark a text for translation; `{name}` in it is replaced by the value of that name."""
    return Text(msgid, tuple(values.items()))


def pgettext(context: str, msgid: str, **values: Value) -> Text:
    """Mark a text whose English means something else elsewhere."""
    return Text(msgid, tuple(values.items()), context)


def ngettext(singular: str, plural: str, n: int, **values: Value) -> Text:
    """Mark a text with a number; `{n}` in it is replaced by the number."""
    return Text(singular, (("n", n), *values.items()), plural=plural, count=n)


@cache
def languages() -> tuple[Language, ...]:
    """Return the languages with a catalogue and English, the default first."""
    found = {path.parent.parent.name for path in LOCALE.glob("*/LC_MESSAGES/zimbox.po")}
    return (DEFAULT, *sorted((found | {SOURCE}) - {DEFAULT}))


@cache
def translations(language: Language) -> gettext.NullTranslations:
    """Return the catalogue of a language, read once."""
    path = LOCALE / language / "LC_MESSAGES" / "zimbox.po"
    if language not in languages() or language == SOURCE:
        return gettext.NullTranslations()
    return read_catalogue(path)
