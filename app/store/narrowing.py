"""Conditions as SQL: the same rows on both databases, letter case and missing values included."""

from collections.abc import Collection
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


def _compared(dialect: Dialect, field: Field, operator: Operator, value: Any) -> ColumnElement[bool]:
    sql: ColumnElement[bool] = _compared_sql(dialect, field, operator, value)
    return sql


def _compared_sql(dialect: Dialect, field: Field, operator: Operator, value: Any) -> Any:
    column = field.column
    match operator:
        case Operator.EQ if field.folded_first and field.folded is not None:
            return and_(field.folded == value.casefold(), column == value)
        case Operator.EQ:
            return column == value
        case Operator.NOT_EQ:
            return or_(column != value, column.is_(None))
        case Operator.GT:
            return column > value
        case Operator.GTE:
            return column >= value
        case Operator.LT:
            return column < value
        case Operator.LTE:
            return column <= value
        case Operator.IN if field.folded_first and field.folded is not None:
            folded = sorted({each.casefold() for each in value})
            return and_(among(dialect, field.folded, folded), among(dialect, column, value))
        case Operator.IN:
            return among(dialect, column, value)
        case Operator.NOT_IN:
            return or_(not_(among(dialect, column, value)), column.is_(None))
        case Operator.IS_NULL:
            return column.is_(None) if value else column.is_not(None)
        case _:
            assert field.folded is not None
            return _alike(dialect, field.folded, operator, value.casefold())


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
