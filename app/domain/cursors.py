"""Cursors: opaque text that holds a place in one list, with a sign of which list it is."""

import base64
import binascii
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from app.domain import moments, money
from app.domain.conditions import Place

TEXT_MAX = 2000
_NUMBER_MAX = 2**63 - 1


def written(digest: str, key: Any, number: int) -> str:
    """The cursor of a row: the value that its list is ordered by, and its number."""
    said = json.dumps([digest, *_told(key), number], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def read(text: str, digest: str) -> Place | None:
    """The place that a cursor holds; None where it is no cursor of the list with this digest."""
    if len(text) > TEXT_MAX or not text.isascii():
        return None
    try:
        said = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        of, kind, key, number = said
    except (binascii.Error, ValueError, RecursionError, TypeError):
        return None
    if of != digest or type(number) is not int or not 0 < number <= _NUMBER_MAX or not isinstance(key, str):
        return None
    value = _read_key(kind, key)
    return None if value is None else Place(value, number)


def _told(key: Any) -> tuple[str, str]:
    match key:
        case datetime():
            return "t", moments.instant_text(key)
        case date():
            return "d", key.isoformat()
        case Decimal():
            return "n", money.text(key)
        case int():
            return "i", str(key)
        case _:
            return "s", str(key)


def _read_key(kind: Any, key: str) -> Any:
    match kind:
        case "t":
            return moments.parse_instant(key)
        case "d":
            return moments.parse_day(key)
        case "n":
            number = money.parse(key)
            return number if number is not None and money.fault(number) is None else None
        case "i":
            return int(key) if key.isascii() and key.isdigit() and int(key) <= _NUMBER_MAX else None
        case "s":
            return key if "\x00" not in key and key.isprintable() else None
        case _:
            return None
