"""One name, one meaning: no class name is defined twice in the product."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Class names with two meanings that are to be renamed; empty is the aim.
ALLOWED: frozenset[str] = frozenset()


def classes() -> dict[str, list[str]]:
    """Each class name of the product's modules, with the files that define it."""
    found: dict[str, list[str]] = defaultdict(list)
    for package in ("appliance", "modem", "web", "image"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(str(file.relative_to(ROOT)))
    return found


def test_no_class_name_stands_for_two_things() -> None:
    twice = {name: files for name, files in classes().items() if len(files) > 1}
    assert {name: twice[name] for name in twice.keys() - ALLOWED} == {}


def test_the_allow_list_has_no_name_that_is_no_longer_defined_twice() -> None:
    twice = {name for name, files in classes().items() if len(files) > 1}
    assert ALLOWED - twice == frozenset()
