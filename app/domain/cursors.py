"""Cursors: opaque text that holds a place in one list, with a sign of which list it is.

Written as digest.parent.key.number: what the list is, whose it is (0: nobody's), the ordered field's value with a
letter for its kind, and the row's number. Both databases can write that themselves.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.domain import moments, money
from app.domain.conditions import Place

TEXT_MAX = 3000
_NUMBER_MAX = 2**63 - 1
_CURSOR = re.compile(r"([0-9a-f]{12})\.([0-9]{1,19})\.([a-z])(-?[0-9a-f]*)\.([0-9]{1,19})", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def written(digest: str, parent: int, key: Any, number: int) -> str:
    """The cursor of a row: the value that its list is ordered by, and its number."""
    return f"{digest}.{parent}.{_told(key)}.{number}"


def read(text: str, digest: str) -> tuple[int, Place] | None:
    """Whose list a cursor is of, and its place; None where it is no cursor of a list with this digest."""
    if len(text) > TEXT_MAX:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None or match[1] != digest:
        return None
    parent, number = int(match[2]), int(match[5])
    key = _read_key(match[3], match[4])
    if key is None or parent > _NUMBER_MAX or not 0 < number <= _NUMBER_MAX:
        return None
    return parent, Place(key, number)


def _told(key: Any) -> str:
    match key:
        case datetime():
            return f"t{moments.to_micros(key)}"
        case date():
            return f"d{key:%Y%m%d}"
        case Decimal():
            return f"n{money.to_units(key)}"
        case int():
            return f"i{key}"
        case _:
            return f"s{str(key).encode().hex()}"


def _read_key(kind: str, told: str) -> Any:
    if kind == "s":
        return _text(told)
    if _WHOLE.fullmatch(told) is None:
        return None
    number = int(told)
    try:
        match kind:
            case "t":
                return moments.from_micros(number)
            case "d":
                return date(number // 10_000, number // 100 % 100, number % 100)
            case "n":
                amount = money.from_units(number)
                return amount if money.fault(amount) is None else None
            case "i":
                return number if 0 <= number <= _NUMBER_MAX else None
    except (OverflowError, ValueError):
        pass
    return None


def _text(told: str) -> str | None:
    try:
        text = bytes.fromhex(told).decode()
    except ValueError:
        return None
    return None if "\x00" in text else text
