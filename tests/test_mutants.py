"""Planted defects (tests/mutants): each has one place and one test, and a few are planted here."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutants import Copy, Defect, defects, finder, place

# Quick ones, of several subjects; `scripts/mutants` plants all of them.
PLANTED = (
    "what was acknowledged is not synced",
    "deleted from the modem before the commit",
    "one attempt too many",
    "a code can be right twice at once",
    "metadata services may be called",
)


@pytest.mark.parametrize("defect", defects(), ids=lambda defect: defect.name)
def test_a_defect_has_one_place_and_one_test(defect: Defect) -> None:
    assert place(defect).suffix in (".py", ".sql")
    assert "::test_" in finder(defect)
    assert defect.old != defect.new


def test_there_are_eighty_defects_with_names_of_their_own() -> None:
    names = Counter(defect.name for defect in defects())
    assert len(names) >= 80
    assert [name for name, count in names.items() if count > 1] == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.mark.process
@pytest.mark.seconds(20)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found(copy: Copy, name: str) -> None:
    (defect,) = (one for one in defects() if one.name == name)
    found, output = copy.finds(defect)
    assert found, output


@pytest.mark.process
@pytest.mark.seconds(5)
def test_without_a_defect_the_same_tests_pass(copy: Copy) -> None:
    tests = [finder(one) for one in defects() if one.name in PLANTED]
    failed, output = copy.fails(tests)
    assert not failed, output
