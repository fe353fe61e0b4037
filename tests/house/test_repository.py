"""What must not stand in the repository."""

import re
from pathlib import Path

import pytest

from tests.house.repository import ROOT, files

# Written so that no pattern finds itself.
REGISTRIES = r"py(?:pi|thonhosted)\.org|npm(?:js)\.(?:org|com)|yarn(?:pkg)\.com|debian\.(?:org)|file:/{3}"
FOLDERS_OF_A_MACHINE = r"(?<![\w.}$-])/(?:home|root|Users|work)/"
LEFT_TO_DO = r"\b(?:TO[D]O|FIX[M]E)\b"


def found(pattern: str) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in files().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_no_file_names_the_host_of_a_registry() -> None:
    assert found(REGISTRIES) == []


def test_no_file_names_a_folder_of_a_machine() -> None:
    here = {str(folder) for folder in (ROOT, Path.home()) if len(folder.parts) > 1}
    assert found("|".join([FOLDERS_OF_A_MACHINE, *map(re.escape, sorted(here))])) == []


def test_nothing_is_left_to_do() -> None:
    assert found(LEFT_TO_DO) == []


@pytest.mark.parametrize(
    ("pattern", "halves"),
    [
        (REGISTRIES, ("https://registry.npm", "js.org/x")),
        (REGISTRIES, ("files.python", "hosted.org")),
        (REGISTRIES, ("deb.debian", ".org")),
        (REGISTRIES, ("find-links = file:/", "//opt")),
        (FOLDERS_OF_A_MACHINE, ("open('/ho", "me/somebody/x')")),
        (FOLDERS_OF_A_MACHINE, ("sqlite+aiosqlite:////ro", "ot/x.db")),
        (LEFT_TO_DO, ("# TO", "DO: later")),
    ],
)
def test_each_pattern_finds_what_it_is_for(pattern: str, halves: tuple[str, str]) -> None:
    assert re.search(pattern, "".join(halves))
