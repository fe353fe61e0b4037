"""Conditions as SQL: the same rows on both databases, letter case and missing values included."""

import operator as operators
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, false, not_, or_, true, tuple_
from sqlalchemy.sql.type_api import TypeEngine

from app.domain.conditions import All, AnyOf, Comparison, Condition, Not, Operator, Place
from app.store.dialects import Dialect
from app.store.sources import Field, View

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def condition_sql(dialect: Dialect, view: View, condition: Condition) -> ColumnElement[bool]:
    """A condition on a view. A comparison with a missing value is not true; `Not` of that is true."""
    match condition:
        case All(of=parts):
            return and_(true(), *(condition_sql(dialect, view, part) for part in parts))
        case AnyOf(of=parts):
            return or_(false(), *(condition_sql(dialect, view, part) for part in parts))
        case Not(of=part):
            return _is_not_true(condition_sql(dialect, view, part))
        case Comparison(field=name, operator=operator, value=value):
            return _comparison(dialect, view.fields[name], operator, value)


def _is_not_true(sql: ColumnElement[bool]) -> ColumnElement[bool]:
    return sql.is_not(true())


def _comparison(dialect: Dialect, field: Field, operator: Operator, value: Any) -> ColumnElement[bool]:
    if field.through is None or field.link is None:
        return _compared(dialect, field, operator, value)
    match operator:
        case Operator.IS_NULL:
            return field.link.is_(None) if value else field.link.is_not(None)
        case Operator.NOT_EQ:
            return _is_not_true(_comparison(dialect, field, Operator.EQ, value))
        case Operator.NOT_IN:
            return _is_not_true(_comparison(dialect, field, Operator.IN, value))
        case _:
            there = Field(field.column, field.folded)
            return field.link.in_(field.through.where(_compared(dialect, there, operator, value)))


_RELATIONS: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.GT: operators.gt,
    Operator.GTE: operators.ge,
    Operator.LT: operators.lt,
    Operator.LTE: operators.le,
}


def _compared(dialect: Dialect, field: Field, operator: Operator, value: Any) -> ColumnElement[bool]:
    column = field.column
    match operator:
        case Operator.EQ | Operator.IN:
            return _is_one_of(dialect, field, (value,) if operator is Operator.EQ else value)
        case Operator.NOT_EQ | Operator.NOT_IN:
            values = (value,) if operator is Operator.NOT_EQ else value
            return or_(not_(_is_one_of(dialect, Field(column), values)), column.is_(None))
        case Operator.IS_NULL:
            return column.is_(None) if value else column.is_not(None)
        case Operator.CONTAINS | Operator.STARTS_WITH | Operator.ENDS_WITH:
            assert field.folded is not None
            return _alike(dialect, field.folded, operator, value.casefold())
        case _:
            related: ColumnElement[bool] = _RELATIONS[operator](column, value)
            return related


def _is_one_of(dialect: Dialect, field: Field, values: Collection[Any]) -> ColumnElement[bool]:
    exactly = among(dialect, field.column, values)
    if field.folded is None or not field.folded_first:
        return exactly
    return and_(among(dialect, field.folded, sorted({value.casefold() for value in values})), exactly)


def _alike(dialect: Dialect, folded: ColumnElement[Any], operator: Operator, text: str) -> ColumnElement[bool]:
    if not text:
        return folded.is_not(None)
    match operator:
        case Operator.CONTAINS:
            return dialect.contains(folded, text)
        case Operator.STARTS_WITH:
            end = _behind(text)
            return folded >= text if end is None else and_(folded >= text, folded < end)
        case _:
            return dialect.ends_with(folded, text)


def _behind(text: str) -> str | None:
    """The first text, by code point, behind all that start with this one; None where there is none."""
    kept = text.rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)


def among(dialect: Dialect, column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether a column has one of many values: one parameter, however many there are."""
    if len(values) == 1:
        same: ColumnElement[bool] = column == next(iter(values))
        return same
    return dialect.among(column, list(values)) if values else false()


def beyond(view: View, field: str, place: Place, *, descending: bool) -> ColumnElement[bool]:
    """Whether a row lies strictly behind a place, in the direction given."""
    if field == "id":
        return view.id < place.number if descending else view.id > place.number
    key = view.columns[field]
    row = tuple_(key, view.tie(field))
    at = tuple_(_bound(place.key, key.type), _bound(place.number, view.id.type))
    return row < at if descending else row > at


def _bound(value: Any, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    return bindparam(None, value, type_=type_, unique=True)
