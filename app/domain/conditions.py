"""What a list is narrowed to and how it is ordered, as values: no SQL, no GraphQL."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias


class Operator(StrEnum):
    """How a field is compared with a value. Texts compare exactly; the last three ignore letter case."""

    EQ = "eq"
    NOT_EQ = "notEq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "notIn"
    IS_NULL = "isNull"
    CONTAINS = "contains"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"


class Comparison(NamedTuple):
    """One field compared with one value. notEq and notIn are true also where there is no value."""

    field: str
    operator: Operator
    value: Any


class All(NamedTuple):
    """True where all are; all of nothing is true."""

    of: tuple["Condition", ...]


class AnyOf(NamedTuple):
    """True where one is; any of nothing is false."""

    of: tuple["Condition", ...]


class Not(NamedTuple):
    """True where the other is not true, also where that compares with a missing value."""

    of: "Condition"


Condition: TypeAlias = Comparison | All | AnyOf | Not

EVERYTHING = All(())


class Order(NamedTuple):
    """A field to order by; the id breaks ties in the same direction."""

    field: str
    descending: bool


class Place(NamedTuple):
    """A place between two rows: the ordered field's value and the id of the row at it."""

    key: Any
    number: int


class Window(NamedTuple):
    """A stretch of an ordered list.

    Of the rows that meet the condition and lie strictly between two places, the first `limit` (with `from_end` the
    last), always told in the list's order.
    """

    condition: Condition
    order: Order
    after: Place | None
    before: Place | None
    limit: int
    from_end: bool


def conjoined(conditions: Sequence[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else All(tuple(conditions))
