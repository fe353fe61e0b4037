"""The rules of divisions. Source: Pismo, corporate/v2/divisions, with its error codes and texts."""

import re

from app.domain import texts, zones
from app.domain.refusals import UserErrorCode, Violation

FIELD_RULES = "WDIV0011"
CODE_MAX, NAME_MAX, DESCRIPTION_MAX = 36, 40, 80

_CODE = re.compile(r"[A-Za-z0-9-]+", re.ASCII)


def violations_of(
    code: str, name: str | None, description: str | None, timezone: str | None, parent_code: str | None
) -> list[Violation]:
    """All fields of a new division that are wrong by themselves (WDIV0011).

    An empty parent code is no wrong field but names no division: see parent_not_found.
    """
    found = _code_violations(code, "division_code", "code")
    if parent_code:
        found += _code_violations(parent_code, "parent_code", "parentCode")
    for text, key, longest in ((name, "name", NAME_MAX), (description, "description", DESCRIPTION_MAX)):
        if text is None:
            continue
        if len(text) > longest:
            found.append(_too_long(key, key, longest))
        elif not texts.allowed(text):
            found.append(
                Violation(UserErrorCode.INVALID, f"{key} contains character not permitted", ("input", key), FIELD_RULES)
            )
    if timezone is not None and zones.zone(timezone) is None:
        found.append(Violation(UserErrorCode.INVALID, "timezone is invalid", ("input", "timezone"), FIELD_RULES))
    return found


def _code_violations(code: str, name: str, key: str) -> list[Violation]:
    if not code:
        return [Violation(UserErrorCode.REQUIRED, f"{name} is a required field", ("input", key), FIELD_RULES)]
    if len(code) > CODE_MAX:
        return [_too_long(name, key, CODE_MAX)]
    if _CODE.fullmatch(code) is None:
        message = f"{name} contains character not permitted"
        return [Violation(UserErrorCode.INVALID, message, ("input", key), FIELD_RULES)]
    return []


def _too_long(name: str, key: str, longest: int) -> Violation:
    message = f"{name} must be a maximum of {longest} characters in length"
    return Violation(UserErrorCode.TOO_LONG, message, ("input", key), FIELD_RULES)


def code_taken() -> Violation:
    """A code is unique within a business unit (WDIV0016)."""
    message = "A division with the same code already exists"
    return Violation(UserErrorCode.TAKEN, message, ("input", "code"), "WDIV0016")


def parent_not_found() -> Violation:
    """A parent is in the same business unit (WDIV0017)."""
    return Violation(UserErrorCode.NOT_FOUND, "Parent division not found", ("input", "parentCode"), "WDIV0017")
