"""Read gettext's .po files: standard `gettext` reads only .mo files, which would have to be built first.

The catalogue that translators edit is the one that runs, in a checkout, in a wheel and on the card
(docs/adr/0037-gettext-catalogues.md). Only what our catalogues hold is read: entries with context
and plural, comments, flags.
"""

from __future__ import annotations

import ast
import gettext
import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

_FIELD = re.compile(r'(?P<name>msgctxt|msgid|msgid_plural|msgstr|msgstr\[\d+\]) (?P<text>".*")')


class CatalogueError(ValueError):
    """A catalogue that is not well-formed, with its line."""


def read_catalogue(path: Path) -> gettext.GNUTranslations:
    """Return the translations of a .po file. Raises CatalogueError."""
    return gettext.GNUTranslations(io.BytesIO(_compiled(entries(path.read_text("utf-8")))))


def entries(text: str) -> dict[str, str]:
    """Return the entries as a .mo file has them, without those that are fuzzy or not translated.

    The key is `context EOT msgid NUL plural`, the value its forms separated by NUL
    (gettext manual, "The Format of GNU MO Files").
    """
    found: dict[str, str] = {}
    for fields, fuzzy in _blocks(text):
        forms = [form for name, form in fields.items() if name.startswith("msgstr")]
        if fuzzy or not all(forms):
            continue
        context = fields["msgctxt"] + "\x04" if "msgctxt" in fields else ""
        plural = "\0" + fields["msgid_plural"] if "msgid_plural" in fields else ""
        found[context + fields["msgid"] + plural] = "\0".join(forms)
    return found


def _blocks(text: str) -> Iterator[tuple[dict[str, str], bool]]:
    """Yield the fields of each entry, and whether it is fuzzy."""
    fields: dict[str, str] = {}
    fuzzy = False
    last = ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if not line.strip():
            if fields:
                yield fields, fuzzy
            fields, fuzzy, last = {}, False, ""
        elif line.startswith("#"):
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
        elif field := _FIELD.fullmatch(line):
            last = field["name"]
            fields[last] = _unquoted(field["text"], number)
        elif last and line.startswith('"'):
            fields[last] += _unquoted(line, number)
        else:
            raise CatalogueError(f"line {number}: {line}")


def _unquoted(text: str, number: int) -> str:
    if "\\" not in text and '"' not in text[1:-1]:
        return text[1:-1]
    try:
        # The escapes of C that .po files use are those of Python.
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise CatalogueError(f"line {number}: {text}") from error
    return str(value)


def _compiled(translations: dict[str, str]) -> bytes:
    """Return the bytes of a .mo file, for the reader of the standard library."""
    pairs = [
        (key.encode() + b"\0", value.encode() + b"\0")
        for key, value in sorted(translations.items())
    ]
    keys, values = b"".join(key for key, _ in pairs), b"".join(value for _, value in pairs)
    header, table = 7 * 4, 8 * len(pairs)
    key_at, value_at = header + 2 * table, header + 2 * table + len(keys)
    key_table, value_table = b"", b""
    for key, value in pairs:
        key_table += struct.pack("<II", len(key) - 1, key_at)
        value_table += struct.pack("<II", len(value) - 1, value_at)
        key_at += len(key)
        value_at += len(value)
    start = struct.pack("<7I", 0x950412DE, 0, len(pairs), header, header + table, 0, 0)
    return start + key_table + value_table + keys + values
