"""In which business unit something is made."""

from collections.abc import Iterator

from app.domain import texts
from app.domain.accounts import BLANK, FORBIDDEN_CHARACTERS, MUST_EXIST, TEXT_MAX
from app.domain.callers import Caller
from app.domain.refusals import UserErrorCode, Violated, Violation
from app.store.store import Work

PATH = ("input", "businessUnit")
EVERY = "*"
"""What stands for all units in a token; no unit's name."""


def named_unit(caller: Caller, given: str | None) -> tuple[str | None, list[Violation]]:
    """The name of the unit of an input, and what is wrong with it.

    Absent: the caller's only one, else "default" where the caller may use that, else it must be given.
    """
    if given is None:
        name = caller.default_unit
        return (name, []) if name is not None else (None, [Violation(UserErrorCode.REQUIRED, BLANK, PATH)])
    found = list(_violations(caller, given))
    return (None if found else given), found


def _violations(caller: Caller, name: str) -> Iterator[Violation]:
    if texts.blank(name):
        yield Violation(UserErrorCode.REQUIRED, BLANK, PATH)
    elif len(name) > TEXT_MAX:
        yield Violation(UserErrorCode.TOO_LONG, f"is too long (maximum is {TEXT_MAX} characters)", PATH)
    elif name == EVERY or not texts.allowed(name):
        yield Violation(UserErrorCode.INVALID, FORBIDDEN_CHARACTERS, PATH)
    elif not caller.may_see(name):
        yield Violation(UserErrorCode.NOT_FOUND, MUST_EXIST, PATH)


async def unit_for(work: Work, name: str) -> int:
    """The id of a unit in which something is about to be made; it comes into being with the first thing in it."""
    found = await work.directory.unit_ids([name])
    return found[name] if name in found else await work.directory.add_unit(name)


def refuse(violations: list[Violation]) -> None:
    """Raise Violated where there is a violation, so that the transaction keeps nothing."""
    if violations:
        raise Violated(violations)
