"""How what a resolver gave is shown, where all of it is at hand: no field is resolved, nothing is awaited.

It is made once for a selection, from the same declarations as the resolvers; the answer to a batch of 1,000 items costs
as much as building its dictionaries.
"""

from collections.abc import Callable, Sequence
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

from resolvers.declarations import Coded, Column, Derived, Identity, Lesser, Same
from resolvers.fetch import reading_of
from schema.execution.selections import TYPENAME, Selected, Selections

Show = Callable[[Any], Any]
"""A value as JSON's own types."""


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
                    raise TypeError(f"{selected.parent.name}.{selected.name} is never null")
                return inner(value)

            return present
        case GraphQLList():
            each = _of_type(selections, selected, type_.of_type)
            return lambda values: None if values is None else [each(value) for value in values]
        case GraphQLEnumType():
            names = {value.value: name for name, value in type_.values.items()}
            return lambda value: None if value is None else names[value.value if hasattr(value, "value") else value]
        case GraphQLScalarType():
            return _scalar(type_)
        case GraphQLObjectType():
            return _object(selections, selected)
        case _:
            raise NotAtHand


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
