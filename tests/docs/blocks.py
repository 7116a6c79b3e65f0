"""The code blocks of a documentation page: what a reader runs, and the output that it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

DOCS = Path(__file__).parents[2] / "docs"
# What is written for clients and owners of the box; each code block on these pages is run.
PAGES = (
    *("quick-start", "sending", "bulk", "tracking", "otp", "receiving", "devices-and-limits"),
    *("simple", "alerts", "keys", "errors", "moving-over", "operations", "settings"),
)
LANGUAGES = ("bash", "python", "javascript", "php")
OUTCOMES = ("json", "text")  # what the blocks before it print

_FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# Ids and keys: what kind they are is shown, which ones is not.
_ID = re.compile(
    r"\b(?P<kind>msg|batch|otp|inbox)_[0-9a-f]{12,16}\b|\b(?P<numbered>client|device)_\d+\b"
)
ANYTHING = "…"
NUMBERS = {"key_id"}  # ids that are plain numbers


class Block(msgspec.Struct, frozen=True):
    """One fenced block. `expected`: the outcome that the page tells of it, if it does."""

    kind: str
    text: str
    line: int
    expected: Block | None = None


def fences(page: str) -> list[Block]:
    """All fenced blocks of a page, in its order."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return [
        Block(found["kind"].strip(), found["text"], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def runnable(page: str, language: str) -> list[Block]:
    """The blocks of one language with their outcomes.

    What follows a bash block at once is its outcome: `json` that it answers, `text` that it prints.
    A `text` after programs is what the last of each language prints.
    """
    found = fences(page)
    blocks: list[Block] = []
    for index, block in enumerate(found):
        if block.kind == language:
            outcome = _outcome(language, found[index + 1 :])
            blocks.append(msgspec.structs.replace(block, expected=outcome))
    return blocks


def _outcome(language: str, after: list[Block]) -> Block | None:
    if language == "bash":
        return after[0] if after and after[0].kind in OUTCOMES else None
    for block in after:
        if block.kind == "text":
            return block
        if block.kind == language or block.kind not in LANGUAGES[1:]:
            return None
    return None


def check(block: Block, printed: str) -> None:
    """AssertionError unless what was printed is what the page tells."""
    if block.expected is None:
        return
    if block.expected.kind == "json":
        _agree(json.loads(block.expected.text), json.loads(printed), "answer")
    else:
        _lines_agree(block.expected.text, printed)


def _agree(shown: Any, found: Any, place: str) -> None:
    """What the page tells is there; there may be more. Moments and ids agree in kind."""
    if isinstance(shown, dict):
        assert isinstance(found, dict), f"{place}: {found!r}"
        for name, value in shown.items():
            assert name in found, f"{place}: no {name} in {found}"
            if name in NUMBERS:
                assert isinstance(found[name], int), f"{place}.{name}: {found[name]!r}"
                continue
            _agree(value, found[name], f"{place}.{name}")
    elif isinstance(shown, list):
        assert isinstance(found, list) and len(found) >= len(shown), f"{place}: {found!r}"
        for index, value in enumerate(shown):
            _agree(value, found[index], f"{place}[{index}]")
    elif isinstance(shown, str):
        assert isinstance(found, str), f"{place}: {found!r}"
        assert _pattern(shown).fullmatch(found), f"{place}: {shown!r} is shown, {found!r} came"
    else:
        assert shown == found and type(shown) is type(found), (
            f"{place}: {shown!r} shown, {found!r} came"
        )


def _lines_agree(shown: str, printed: str) -> None:
    lines = iter(printed.splitlines())
    for wanted in filter(None, map(str.strip, shown.splitlines())):
        pattern = _pattern(wanted)
        assert any(pattern.search(line) for line in lines), f"not printed: {wanted!r}\n{printed}"


def _pattern(shown: str) -> re.Pattern[str]:
    """A text of the page as what it stands for."""
    pattern = re.escape(shown)
    for known, general in (
        (r"\d{4}\\-\d\d\\-\d\dT\d\d:\d\d:\d\dZ", lambda _: _MOMENT.pattern),
        (r"\d{4}\\-\d\d\\-\d\d", lambda _: r"\d{4}-\d\d-\d\d"),
        (
            _ID.pattern,
            lambda m: rf"{m['kind']}_[0-9a-f]+" if m["kind"] else rf"{m['numbered']}_\d+",
        ),
        (re.escape(ANYTHING), lambda _: ".*"),
        (r"(?:\\ ){2,}", lambda _: " {2,}"),  # columns of a table are as wide as their content
    ):
        pattern = re.sub(known, general, pattern)
    return re.compile(pattern, re.DOTALL)
