"""Conditions as SQL: the same rows on both databases, letter case and missing values included.

A condition is taken apart first: into its form, by which statements can be told apart and kept, and its values, which
become parameters in the order in which the form is walked.
"""

import operator as operators
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, and_, bindparam, false, not_, or_, true, tuple_
from sqlalchemy.sql.type_api import TypeEngine

from app.domain.conditions import All, AnyOf, Comparison, Condition, Not, Operator, Place
from app.store.dialects import Dialect
from app.store.sources import Field, Source, View
from app.store.types import Listed

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

Bind = Callable[[TypeEngine[Any]], ColumnElement[Any]]
"""The next value, as a parameter of a type."""


class Test(NamedTuple):
    """The form of a comparison: which field and operator, and how many values it takes."""

    field: str
    operator: Operator
    size: int = 1
    """Of a list: how many parameters it is, or MANY; of a prefix: 2 where the texts behind it have a first one."""
    also_folded: bool = False
    """Whether the casefolded values come too."""


_SAME = {Operator.IN: Operator.EQ, Operator.NOT_IN: Operator.NOT_EQ}


def nameless(test: Test) -> Test:
    """The same test of any field; lists are told by their sizes."""
    return test._replace(field="", operator=_SAME.get(test.operator, test.operator))


class Every(NamedTuple):
    """The form of All."""

    of: tuple["Form", ...]
    word: str = "all"
    """Tells forms apart: tuples of the same values are the same."""


class Some(NamedTuple):
    """The form of AnyOf."""

    of: tuple["Form", ...]
    word: str = "any"


class NotTrue(NamedTuple):
    """The form of Not."""

    of: "Form"
    word: str = "not"


Form: TypeAlias = Test | Every | Some | NotTrue
"""A condition without its values."""

MANY = -1
"""The size of a list that is one parameter, however long it is."""

OF_NO_VALUES = {Operator.EQ: False, Operator.IN: False, Operator.NOT_EQ: True, Operator.NOT_IN: True}
"""Of the operators that compare with the values of a list, whether a row meets them that has none of these."""
_ALIKE = (Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)


def taken_apart(dialect: Dialect, source: Source, condition: Condition, values: list[Any]) -> Form:
    """The form of a condition; its values are added to `values` in the order in which `form_sql` asks for them."""
    match condition:
        case All(of=parts):
            return Every(tuple(taken_apart(dialect, source, part, values) for part in parts))
        case AnyOf(of=parts):
            return Some(tuple(taken_apart(dialect, source, part, values) for part in parts))
        case Not(of=part):
            return NotTrue(taken_apart(dialect, source, part, values))
        case Comparison(field=name, operator=operator, value=value):
            return _test(dialect, source, name, operator, value, values)


def _test(dialect: Dialect, source: Source, name: str, operator: Operator, value: Any, values: list[Any]) -> Test:
    if operator in OF_NO_VALUES:
        given = (value,) if operator in {Operator.EQ, Operator.NOT_EQ} else tuple(value)
        also_folded = name in source.folded_first and operator in {Operator.EQ, Operator.IN}
        if also_folded:
            values += _listed(dialect, [each.casefold() for each in given])
        values += _listed(dialect, given)
        return Test(name, operator, _size(dialect, len(given)), also_folded)
    if operator is Operator.IS_NULL:
        return Test(name, operator, int(bool(value)))
    if operator not in _ALIKE:
        values.append(value)
        return Test(name, operator)
    text = value.casefold()
    if not text:
        return Test(name, operator, 0)
    end = _behind(text) if operator is Operator.STARTS_WITH else None
    values += [text] if end is None else [text, end]
    return Test(name, operator, 1 if end is None else 2)


def sizes(dialect: Dialect) -> Iterator[int]:
    """The sizes of lists whose values are parameters of their own: few, so that their forms are few."""
    size = 1
    while size < dialect.short_list:
        yield size
        size *= 4
    yield max(1, dialect.short_list)


def _size(dialect: Dialect, length: int) -> int:
    return next((size for size in sizes(dialect) if length <= size), MANY) if length else 0


def _listed(dialect: Dialect, given: Sequence[Any]) -> list[Any]:
    """The values of a list, each by itself where it is short, else as one; the last one fills what is left over."""
    size = _size(dialect, len(given))
    return [list(given)] if size == MANY else [*given, *[given[-1]] * (size - len(given))] if given else []


def condition_sql(dialect: Dialect, source: Source, view: View, condition: Condition) -> ColumnElement[bool]:
    """A condition on a view of a source, with its values. A comparison with a missing value is not true; `Not` of that
    is true.
    """
    values: list[Any] = []
    form = taken_apart(dialect, source, condition, values)
    return form_sql(dialect, view, form, binding(values))


def binding(values: Sequence[Any]) -> Bind:
    """Binds values, one after another."""
    following = iter(values)
    return lambda type_: bindparam(None, next(following), type_=type_, unique=True)


def form_sql(dialect: Dialect, view: View, form: Form, bind: Bind) -> ColumnElement[bool]:
    """A condition's form on a view; its values are asked for in order."""
    match form:
        case Every(of=parts):
            return and_(true(), *[form_sql(dialect, view, part, bind) for part in parts])
        case Some(of=parts):
            return or_(false(), *[form_sql(dialect, view, part, bind) for part in parts])
        case NotTrue(of=part):
            return is_not_true(form_sql(dialect, view, part, bind))
        case Test():
            return tested(dialect, view.fields[form.field], form, bind)


def is_not_true(sql: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a condition is false or tells nothing."""
    return sql.is_not(true())


def tested(dialect: Dialect, field: Field, test: Test, bind: Bind) -> ColumnElement[bool]:
    """A test of a field, whatever it is called; its values are asked for in order."""
    if field.through is None or field.link is None:
        return _compared(dialect, field, test, bind)
    match test.operator:
        case Operator.IS_NULL:
            return field.link.is_(None) if test.size else field.link.is_not(None)
        case Operator.NOT_EQ:
            return is_not_true(tested(dialect, field, test._replace(operator=Operator.EQ), bind))
        case Operator.NOT_IN:
            return is_not_true(tested(dialect, field, test._replace(operator=Operator.IN), bind))
        case _:
            there = Field(field.column, field.folded)
            return field.link.in_(field.through.where(_compared(dialect, there, test, bind)))


_RELATIONS: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.GT: operators.gt,
    Operator.GTE: operators.ge,
    Operator.LT: operators.lt,
    Operator.LTE: operators.le,
}


def _compared(dialect: Dialect, field: Field, test: Test, bind: Bind) -> ColumnElement[bool]:
    column = field.column
    match test.operator:
        case Operator.EQ | Operator.IN:
            if not test.also_folded:
                return _is_among(dialect, column, test.size, bind)
            assert field.folded is not None
            folded = _is_among(dialect, field.folded, test.size, bind)
            return and_(folded, _is_among(dialect, column, test.size, bind))
        case Operator.NOT_EQ | Operator.NOT_IN:
            return or_(not_(_is_among(dialect, column, test.size, bind)), column.is_(None))
        case Operator.IS_NULL:
            return column.is_(None) if test.size else column.is_not(None)
        case Operator.CONTAINS | Operator.STARTS_WITH | Operator.ENDS_WITH:
            assert field.folded is not None
            return _alike(dialect, field.folded, test, bind)
        case _:
            related: ColumnElement[bool] = _RELATIONS[test.operator](column, bind(column.type))
            return related


def _alike(dialect: Dialect, folded: ColumnElement[Any], test: Test, bind: Bind) -> ColumnElement[bool]:
    if not test.size:
        return folded.is_not(None)
    text = bind(folded.type)
    match test.operator:
        case Operator.CONTAINS:
            return dialect.contains(folded, text)
        case Operator.STARTS_WITH:
            return and_(folded >= text, folded < bind(folded.type)) if test.size > 1 else folded >= text
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
    given = list(values)
    return _is_among(dialect, column, _size(dialect, len(given)), binding(_listed(dialect, given)))


def _is_among(dialect: Dialect, column: ColumnElement[Any], size: int, bind: Bind) -> ColumnElement[bool]:
    match size:
        case 0:
            return false()
        case 1:
            return column == bind(column.type)
        case _ if size != MANY:
            return column.in_([bind(column.type) for _ in range(size)])
        case _:
            return dialect.among(column, bind(Listed(column.type)))


def beyond(
    key: ColumnElement[Any] | None, tie: ColumnElement[int], bind: Bind, *, descending: bool
) -> ColumnElement[bool]:
    """Whether a row lies strictly behind a place, in the direction given, by its number alone or by a key that the
    number breaks the ties of; asks for the place's values.
    """
    if key is None:
        number = bind(tie.type)
        return tie < number if descending else tie > number
    row = tuple_(key, tie)
    at = tuple_(bind(key.type), bind(tie.type))
    return row < at if descending else row > at


def place_values(field: str, place: Place) -> Iterator[Any]:
    """The values of a place, in the order in which `beyond` asks for them."""
    if field != "id":
        yield place.key
    yield place.number
