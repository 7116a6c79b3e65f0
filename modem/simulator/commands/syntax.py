"""Parse V.250 command lines into commands and arguments. No I/O."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec


class CommandKind(StrEnum):
    """The form of a command: set, read, test or execute (V.250 5.4)."""

    EXECUTE = ""
    READ = "?"
    TEST = "=?"
    SET = "="


class Command(msgspec.Struct, frozen=True):
    """One command of a line: `name` in capitals ("+CSQ", "&F", "E"), `text` after the "="."""

    name: str
    kind: CommandKind
    text: str = ""

    def __str__(self) -> str:
        return self.name + (self.kind if self.kind is not CommandKind.SET else "=" + self.text)

    @property
    def arguments(self) -> list[str]:
        """The values after "=", without quotation marks; an omitted value is empty."""
        return [value.strip().strip('"') for value in split_outside_quotes(self.text, ",")]


class SyntaxFault(ValueError):
    """The line violates V.250."""


_PREFIX = re.compile(r"AT|at|At|aT")
_EXTENDED = re.compile(r"([+*^$#%][A-Z][A-Z0-9!%./:_-]*)\s*(=\?|=|\?|)\s*")
_BASIC = re.compile(r"(&[A-Z]|[A-Z])\s*(\d*)\s*")
_REGISTER = re.compile(r"(S\d+)\s*(=\?|=|\?|)\s*(\d*)\s*")


def body(line: str) -> str | None:
    """Return the text after the first "AT" of a line, or None without one (V.250 5.2.1)."""
    prefix = _PREFIX.search(line)
    return None if prefix is None else line[prefix.end() :]


def edited(line: str) -> str:
    """Return the line with its backspaces (V.250 S5) applied, without line feeds."""
    kept: list[str] = []
    for character in line:
        if character != "\b":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept).replace("\n", "")


def parse(text: str) -> list[Command]:
    """Return the commands of a line's body, in order. Raises SyntaxFault."""
    commands: list[Command] = []
    for piece in split_outside_quotes(text, ";"):
        commands += _piece(piece.strip())
    return commands


def _piece(text: str) -> list[Command]:
    """Return the commands up to a semicolon; basic commands need none before an extended one."""
    commands: list[Command] = []
    while text:
        upper = text.upper()
        if found := _EXTENDED.match(upper):
            kind = CommandKind(found[2])
            rest = text[found.end() :].strip()
            if kind is not CommandKind.SET and rest:
                raise SyntaxFault(text)
            return [*commands, Command(found[1], kind, rest)]
        if upper[0] == "D":
            return [*commands, Command("D", CommandKind.EXECUTE, text[1:])]
        if found := _REGISTER.match(upper):
            commands.append(Command(found[1], CommandKind(found[2]), found[3]))
        elif found := _BASIC.match(upper):
            commands.append(Command(found[1], CommandKind.EXECUTE, found[2]))
        else:
            raise SyntaxFault(text)
        text = text[found.end() :]
    return commands


def split_outside_quotes(text: str, mark: str) -> list[str]:
    """Split `text` at each `mark` outside quotation marks."""
    if '"' not in text:
        return text.split(mark)
    pieces: list[str] = []
    start = 0
    quoted = False
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == mark and not quoted:
            pieces.append(text[start:place])
            start = place + 1
    pieces.append(text[start:])
    return pieces


def number(text: str, allowed: range | tuple[int, ...]) -> int:
    """Return a decimal argument within `allowed`. Raises SyntaxFault."""
    if not (text.isascii() and text.isdigit()) or int(text) not in allowed:
        raise SyntaxFault(text)
    return int(text)
