"""How what a resolver gave is shown, where all of it is at hand: no field is resolved, nothing is awaited.

It is made once for a selection, from the same declarations as the resolvers; the answer to a batch of 1,000 items costs
as much as building its dictionaries.
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    is_specified_scalar_type,
)

from app.domain.columns import Columns, Told
from resolvers.declarations import Coded, Column, Derived, Identity, Lesser, Same
from resolvers.fetch import reading_of
from schema.execution.selections import TYPENAME, Selected, Selections

Show = Callable[[Any], Any]
"""A value as JSON's own types."""
ShowAll = Callable[[Sequence[Any]], Sequence[Any]]
"""Many values as JSON's own types."""


class _MissingError(TypeError):
    """A value that is never null is."""

    def __init__(self, selected: Selected) -> None:
        super().__init__(f"{selected.parent.name}.{selected.name} is never null")


class NotAtHand(Exception):  # noqa: N818 - the answer is made in the other way.
    """Something that is selected is not known from the record alone."""


def shown(selections: Selections, selected: Selected) -> Show | None:
    """How a field's value is shown; None where something of it must be resolved."""
    try:
        return _of_type(selections, selected, selected.type)
    except NotAtHand:
        return None


def _of_type(selections: Selections, selected: Selected, type_: GraphQLOutputType) -> Show:
    match type_:
        case GraphQLNonNull():
            inner = _of_type(selections, selected, type_.of_type)

            def present(value: Any) -> Any:
                if value is None:
                    raise _MissingError(selected)
                return inner(value)

            return present
        case GraphQLList():
            all_of = _many(selections, selected, type_.of_type)
            return lambda values: None if values is None else all_of(values)
        case GraphQLEnumType():
            names = {value.value: name for name, value in type_.values.items()}
            return lambda value: None if value is None else names[value.value if hasattr(value, "value") else value]
        case GraphQLScalarType():
            return _scalar(type_)
        case GraphQLObjectType():
            return _object(selections, selected)
        case _:
            raise NotAtHand


def _many(selections: Selections, selected: Selected, type_: GraphQLOutputType) -> ShowAll:
    """How many values are shown: objects that are never null field by field, else one by one."""
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else None
    if not isinstance(inner, GraphQLObjectType):
        each = _of_type(selections, selected, type_)
        return lambda values: list(map(each, values))
    found = selections.of(selected)
    if found is None:
        raise NotAtHand
    parts = [_column(selections, found[0], part) for part in found[1]]
    all_of = _objects([part.key for part in found[1]])

    def show(records: Sequence[Any]) -> list[Any]:
        if not isinstance(records, Columns) and None in records:
            raise _MissingError(selected)
        return all_of(*[column(records) for column in parts])

    return show


def _objects(keys: Sequence[str]) -> Callable[..., list[Any]]:
    """How many objects with some keys are made of their columns. A batch makes thousands: few keys are written out."""
    match keys:
        case [a]:
            return partial(_each_row, lambda p: {a: p})
        case [a, b]:
            return partial(_each_row, lambda p, q: {a: p, b: q})
        case [a, b, c]:
            return partial(_each_row, lambda p, q, r: {a: p, b: q, c: r})
        case [a, b, c, d]:
            return partial(_each_row, lambda p, q, r, s: {a: p, b: q, c: r, d: s})
        case [a, b, c, d, e]:
            return partial(_each_row, lambda p, q, r, s, t: {a: p, b: q, c: r, d: s, e: t})
        case [a, b, c, d, e, f]:
            return partial(_each_row, lambda p, q, r, s, t, u: {a: p, b: q, c: r, d: s, e: t, f: u})
        case _:
            return lambda *columns: [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


def _each_row(make: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
    """What is made of the values of several columns, row by row."""
    return list(map(make, *columns))


def _column(selections: Selections, type_: GraphQLObjectType, selected: Selected) -> ShowAll:
    """How a field is shown of many records that it is a field of."""
    if selected.name == TYPENAME:
        return lambda records: [type_.name] * len(records)
    declared = selected.type
    leaf = declared.of_type if isinstance(declared, GraphQLNonNull) else declared
    if not isinstance(leaf, GraphQLScalarType | GraphQLEnumType):
        part = _part(selections, type_, selected)
        return lambda records: list(map(part, records))
    values_of, tell = _values(selected)
    if tell is not None or not is_specified_scalar_type(leaf):
        inner = _of_type(selections, selected, declared)
        each = inner if tell is None else lambda value: inner(tell(value))

        def told(records: Sequence[Any]) -> Sequence[Any]:
            values = values_of(records)
            if tell is not None or not isinstance(values, Told):
                return _each(each, values)
            if leaf is not declared and None in values.texts:
                raise _MissingError(selected)
            return values.texts

        return told

    def plain(records: Sequence[Any]) -> Sequence[Any]:
        values = values_of(records)
        if leaf is not declared and None in values:
            raise _MissingError(selected)
        return values

    return plain


def _values(selected: Selected) -> tuple[ShowAll, Show | None]:
    """How a field's values are read of many records, and what of each is told, if not all."""
    declaration = selected.declaration
    if not isinstance(declaration, Column):
        read = _reading(selected)
        return lambda records: list(map(read, records)), None
    name = declaration.name
    read = attrgetter(name)

    def values_of(records: Sequence[Any]) -> Sequence[Any]:
        return records.column(name) if isinstance(records, Columns) else list(map(read, records))

    return values_of, declaration.tell


def _each(tell: Show, values: Sequence[Any]) -> Sequence[Any]:
    """What is told of each of many values; of one and the same once."""
    same = values if isinstance(values, list) else list(values)
    told = {key: tell(value) for key, value in {id(value): value for value in same}.items()}
    return list(map(told.__getitem__, map(id, same)))


def _scalar(type_: GraphQLScalarType) -> Show:
    if is_specified_scalar_type(type_):
        return lambda value: value
    tell = type_.coerce_output_value
    return lambda value: None if value is None else tell(value)


def _object(selections: Selections, selected: Selected) -> Show:
    found = selections.of(selected)
    if found is None:
        raise NotAtHand
    type_, inner = found
    parts: Sequence[tuple[str, Show]] = [(each.key, _part(selections, type_, each)) for each in inner]
    return lambda record: None if record is None else {key: show(record) for key, show in parts}


def _part(selections: Selections, type_: GraphQLObjectType, selected: Selected) -> Show:
    """How a field is shown, by the record that it is a field of."""
    if selected.name == TYPENAME:
        name = type_.name
        return lambda _record: name
    read = _reading(selected)
    show = _of_type(selections, selected, selected.type)
    return lambda record: show(read(record))


def _reading(selected: Selected) -> Show:
    match selected.declaration:
        case Identity() | Column() | Derived() | Coded() | Lesser() | Same() as declaration:
            return reading_of(declaration)
        case _:
            raise NotAtHand
