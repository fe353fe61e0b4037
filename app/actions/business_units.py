"""In which business unit something is made."""

from collections.abc import Iterator

from app.domain import texts
from app.domain.accounts import BLANK, FORBIDDEN_CHARACTERS, MUST_EXIST, text_violations
from app.domain.callers import Caller
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store.store import Work

PATH = ("input", "businessUnit")
EVERY = "*"
"""What stands for all units in a token; no unit's name."""


def named_unit(caller: Caller, given: str | None, path: tuple[str, ...] = PATH) -> tuple[str | None, list[Violation]]:
    """The name of the unit that is named at a path, and what is wrong with it.

    Absent: the caller's only one, else "default" where the caller may use that, else it must be given.
    """
    if given is None:
        name = caller.default_unit
        return (name, []) if name is not None else (None, [Violation(UserErrorCode.REQUIRED, BLANK, path)])
    found = list(_violations(caller, given, path))
    return (None if found else given), found


def _violations(caller: Caller, name: str, path: tuple[str, ...]) -> Iterator[Violation]:
    if texts.blank(name):
        yield Violation(UserErrorCode.REQUIRED, BLANK, path)
    elif name == EVERY:
        yield Violation(UserErrorCode.INVALID, FORBIDDEN_CHARACTERS, path)
    else:
        yield from text_violations(name, *path)
        if not caller.may_see(name):
            yield Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, path)


async def unit_for(work: Work, name: str) -> int:
    """The id of a unit in which something is about to be made; it comes into being with the first thing in it."""
    found = await work.directory.unit_ids([name])
    return found[name] if name in found else await work.directory.add_unit(name)


def refuse(violations: list[Violation]) -> None:
    """Raise Violated where there is a violation, so that the transaction keeps nothing."""
    if violations:
        raise Violated(violations)
