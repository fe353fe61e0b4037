"""README, the only document: it knows every setting and command, and no others."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from app import cli
from app.settings import Settings
from tests.house.repository import code_in_readme, readme

PROGRAM = "balance-gateway"


def settings() -> set[str]:
    prefix = Settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper() for name in Settings.model_fields}


def commands() -> set[str]:
    applications = [value for value in vars(cli).values() if isinstance(value, typer.Typer)]
    assert len(applications) == 1
    return set(_leaves(typer.main.get_command(applications[0])))


def _leaves(command: Any, *path: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield " ".join(path)
    for name, each in inner.items():
        if not each.hidden:
            yield from _leaves(each, *path, name)


def test_readme_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"\bBALANCE_GATEWAY_[A-Z0-9_]*[A-Z0-9]\b", readme()))
    assert named == settings()


def test_readme_names_every_command_and_no_other() -> None:
    pattern = re.compile(rf"\b{PROGRAM}((?: [a-z][a-z-]*)+)")
    said = [match.group(1).split() for line in code_in_readme() for match in pattern.finditer(line)]
    known = commands()
    named = {" ".join(words[:count]) for words in said for count in range(1, len(words) + 1)}
    assert known - named == set()
    assert [words for words in said if not any(" ".join(words[:n]) in known for n in range(1, len(words) + 1))] == []
