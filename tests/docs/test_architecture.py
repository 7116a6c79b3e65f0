"""docs/architecture.md names files and functions that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.blocks import DOCS

ROOT = DOCS.parent
TEXT = (DOCS / "architecture.md").read_text("utf-8")
NAMED = re.findall(r"`([\w/]+\.py)(?:: ([\w.]+))?`", TEXT)


def defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """The classes, functions and methods of a module, methods as `Class.method`."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from defined(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part or "file")
def test_files_and_functions_named_on_the_page_exist(path: str, name: str) -> None:
    file = ROOT / path
    assert file.is_file()
    if name:
        assert name in set(defined(ast.parse(file.read_text("utf-8")).body))


def test_the_page_follows_all_four_legs() -> None:
    legs = re.split(r"^## \d\. ", TEXT, flags=re.MULTILINE)[1:]
    assert len(legs) == 4
    assert all(len(re.findall(r"`[\w/]+\.py: [\w.]+`", leg)) >= 4 for leg in legs)
