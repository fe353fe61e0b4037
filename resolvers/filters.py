"""Filter arguments as conditions: null is as absent, save inside a comparison, and numbers out of range are refused."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from app.domain import money
from app.domain.conditions import EVERYTHING, All, AnyOf, Comparison, Condition, Not, Operator, conjoined
from app.domain.ids import Kind, number_of
from app.domain.refusals import Code, Refusal


class FilterKind(Enum):
    """How the value of a filter's key is read."""

    COMPARED = "an object of operators and values"
    RANGE = "from, inclusive, and before, exclusive"
    LISTED = "a list of values"
    IDS = "a list of ids"
    ID = "one id"


class FilterKey(NamedTuple):
    """What a key of a filter narrows."""

    field: str
    kind: FilterKind = FilterKind.COMPARED
    id_kind: Kind | None = None


NOTHING = AnyOf(())


def condition_of(given: Mapping[str, Any] | None, keys: Mapping[str, FilterKey], path: str = "filter") -> Condition:
    """The condition that a filter argument says. Raises BAD_REQUEST, naming the place."""
    if given is None:
        return EVERYTHING
    return conjoined([_part(key, value, keys, f"{path}.{key}") for key, value in given.items() if value is not None])


def _part(key: str, value: Any, keys: Mapping[str, FilterKey], path: str) -> Condition:
    match key:
        case "and":
            return All(tuple(condition_of(part, keys, path) for part in value))
        case "or":
            return AnyOf(tuple(condition_of(part, keys, path) for part in value))
        case "not":
            return Not(condition_of(value, keys, path))
    key_of = keys[key]
    match key_of.kind:
        case FilterKind.COMPARED:
            return conjoined(list(_comparisons(key_of.field, value, path)))
        case FilterKind.RANGE:
            return conjoined(list(_range(key_of.field, value, path)))
        case FilterKind.LISTED:
            return Comparison(key_of.field, Operator.IN, tuple(value))
        case FilterKind.ID:
            return _ids(key_of, [value])
        case FilterKind.IDS:
            return _ids(key_of, value)


def _ids(key: FilterKey, texts: list[str]) -> Condition:
    assert key.id_kind is not None
    numbers = {number_of(key.id_kind, text) for text in texts} - {None}
    return Comparison(key.field, Operator.IN, tuple(sorted(number for number in numbers if number is not None)))


def _comparisons(field: str, given: Mapping[str, Any], path: str) -> Iterator[Condition]:
    for name, value in given.items():
        _not_null(value, f"{path}.{name}")
        operator = Operator(name)
        values = value if isinstance(value, list) else [value]
        for number in values:
            if isinstance(number, Decimal):
                _storable(number, f"{path}.{name}")
        yield Comparison(field, operator, tuple(value) if isinstance(value, list) else value)


def _range(field: str, given: Mapping[str, Any], path: str) -> Iterator[Condition]:
    for name, value in given.items():
        _not_null(value, f"{path}.{name}")
        yield Comparison(field, Operator.GTE if name == "from" else Operator.LT, value)


def _not_null(value: Any, path: str) -> None:
    if value is None:
        raise Refusal(Code.BAD_REQUEST, f"{path} must not be null; isNull asks for missing values.", path=path)


def _storable(number: Decimal, path: str) -> None:
    fault = money.fault(number)
    if fault is not None:
        raise Refusal(Code.BAD_REQUEST, f"{path} {fault.value}.", path=path)
