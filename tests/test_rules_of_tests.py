"""Rules that every test of this project keeps, read from its source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import sharing_tests

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tests").rglob("*.py"))
TESTS = [file for file in FILES if file.name.startswith("test_")]

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Raise unless something holds, at once or in the end.
CLAIMS = {
    *("raises", "warns", "fail", "validate"),
    *("eventually", "until", "wait_until", "wait_for", "wait_for_badge", "state", "hung_up"),
}

# A sleep is right for a random moment, for the length of a fault, between two polls of another process, and where
# nothing may happen. Whatever has an event, a state or a settable clock is waited for instead.
MOST_SLEEPS = 80

# Reached in one place each, for want of a public door.
ADAPTERS = {
    "device._service",  # test_device_start: a second start on the same port
    "box.device._session",  # test_device_recovery: the moment between a probe of the line and a part
    "web.server._bind",  # bench/empty: the box's own server around another application
    "web.server._server",
    "_server(app, protocol)._serve",
}


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def named(node: ast.AST) -> str:
    """The last name of what is called: `until` of `box.client.until(…)`."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name
    return ""


def functions(module: ast.Module) -> Iterator[Function]:
    for node in ast.walk(module):
        if isinstance(node, Function):
            yield node


def claims(function: Function, claiming: set[str]) -> bool:
    return any(
        isinstance(node, ast.Assert) or named(node) in claiming for node in ast.walk(function)
    )


def silent(module: ast.Module) -> list[str]:
    """The tests that cannot fail unless the code under test raises."""
    claiming = set(CLAIMS)
    helpers = [f for f in functions(module) if not f.name.startswith("test_")]
    while found := {f.name for f in helpers if claims(f, claiming)} - claiming:
        claiming |= found
    return [
        function.name
        for function in module.body
        if isinstance(function, Function)
        and function.name.startswith("test_")
        and not claims(function, claiming)
    ]


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def privates(module: ast.Module) -> list[str]:
    """The names with an underscore that belong to somebody else."""
    found = []
    for node in ast.walk(module):
        match node:
            case ast.Attribute(
                value=ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super"))
            ):
                continue
            case ast.Attribute(attr=name) if private(name):
                found.append(ast.unparse(node))
            case ast.ImportFrom(module=source, names=names):
                found += [f"{source}.{each.name}" for each in names if private(each.name)]
    return found


def sleeps(file: Path) -> list[tuple[int, bool]]:
    """The lines of a file that sleep for longer than one turn of the loop, and whether each has its reason."""
    lines = file.read_text("utf-8").splitlines()
    return [
        (node.lineno, "#" in lines[node.lineno - 1] or lines[node.lineno - 2].strip()[:1] == "#")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and named(node) == "sleep"
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_sleep_has_its_reason_in_a_comment(file: Path) -> None:
    assert [line for line, reason in sleeps(file) if not reason] == []


def test_there_are_no_more_sleeps_than_were_judged() -> None:
    assert sum(len(sleeps(file)) for file in FILES) <= MOST_SLEEPS


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_test_claims_something(file: Path) -> None:
    assert silent(tree(file)) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_tests_use_public_names(file: Path) -> None:
    assert [each for each in privates(tree(file)) if each not in ADAPTERS] == []


def test_a_test_without_a_claim_is_found() -> None:
    module = ast.parse(
        "def test_a(): run()\n"
        "def test_b(): assert run()\n"
        "def test_c(): checked()\n"
        "def test_d(box): box.until(1)\n"
        "def checked(): assert run()\n"
    )
    assert silent(module) == ["test_a"]


def test_a_reach_into_somebody_elses_names_is_found() -> None:
    module = ast.parse("import m\nfrom m import _a, b\nself._x\nbox._y\nbox.__class__\n")
    assert privates(module) == ["m._a", "box._y"]


def test_tests_that_share_a_box_at_second_hand_are_kept_together(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        '@pytest.fixture(scope="module")\ndef box(): ...\n@pytest.fixture\ndef client(box): ...\n'
    )
    file = tmp_path / "test_it.py"
    file.write_text(
        "@pytest.fixture\ndef sent(client): ...\n"
        "async def test_a(sent): ...\ndef test_b(tmp_path): ...\ndef test_c(box): ...\n"
    )
    assert sharing_tests(file) == {"test_a", "test_c"}
