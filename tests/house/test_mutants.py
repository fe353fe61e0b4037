"""The planted bugs can be planted, and the tests that ought to notice them are there."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.house.repository import ROOT, files
from tests.mutants import MUTANTS, Mutant

FILES = files()
CHOSEN = "-k"


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_what_a_planted_bug_changes_stands_there_once(mutant: Mutant) -> None:
    assert FILES[mutant.file].count(mutant.said) == 1
    assert mutant.said != mutant.instead
    assert [path for path in _paths(mutant) if path not in FILES] == []


def test_each_planted_bug_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_the_tests_that_are_chosen_by_a_word_are_there() -> None:
    chosen = [mutant for mutant in MUTANTS if CHOSEN in mutant.tests]
    paths = sorted({path for mutant in chosen for path in _paths(mutant)})
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    names = {path: " ".join(line for line in found if line.startswith(path)).lower() for path in paths}
    assert [
        (mutant.name, word)
        for mutant in chosen
        for word in _words(mutant)
        if not any(word.lower() in names[path] for path in _paths(mutant))
    ] == []


def _paths(mutant: Mutant) -> list[str]:
    tests = list(mutant.tests)
    return tests[: tests.index(CHOSEN)] if CHOSEN in tests else tests


def _words(mutant: Mutant) -> Iterator[str]:
    expression = mutant.tests[list(mutant.tests).index(CHOSEN) + 1]
    return (word for word in re.findall(r"\w+", expression) if word not in {"and", "or", "not"})
