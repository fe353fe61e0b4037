"""Variables coerced by code that is made once for each input type.

graphql-core walks the type for each value again; a batch of 1,000 items costs it ten times the work. What is coerced
here equals what graphql-core would; whatever can't be coerced is left to graphql-core, which says why.
"""

from collections.abc import Callable
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
    get_nullable_type,
)
from graphql.type import is_required_input_field
from graphql.utilities import coerce_input_value

Coerce = Callable[[Any], Any]
"""A raw value's coerced one; Undefined where there is none."""


class Coercions:
    """The coercing code of each input type, made when it is first asked for."""

    def __init__(self) -> None:
        self._of: dict[str, Coerce] = {}

    def of(self, type_: GraphQLInputType) -> Coerce:
        """The coercing code of a type. Types are known by their notation, such as [ID!]!."""
        key = str(type_)
        found = self._of.get(key)
        if found is None:
            # An input type may hold itself: until its code is made, look it up when it runs.
            self._of[key] = lambda value: self._of[key](value)  # noqa: PLW0108 - the look-up must come later.
            found = self._of[key] = self._made(type_)
        return found

    def _made(self, type_: GraphQLInputType) -> Coerce:
        match type_:
            case GraphQLNonNull():
                return self._non_null(self.of(type_.of_type))
            case GraphQLList():
                return _list(self.of(type_.of_type))
            case GraphQLInputObjectType():
                return _one_of(type_) if type_.is_one_of else self._object(type_)
            case GraphQLScalarType() | GraphQLEnumType():
                return _leaf(type_)
            case _:
                raise AssertionError(type_)

    def _non_null(self, inner: Coerce) -> Coerce:
        return lambda value: Undefined if value is None else inner(value)

    def _object(self, type_: GraphQLInputObjectType) -> Coerce:
        if any(has_default(field) for field in type_.fields.values()):
            # Few types have defaults, and none that batches use.
            return lambda value: None if value is None else coerce_input_value(value, type_)
        fields = {
            name: (field.out_name or name, self.of(field.type), _is_text(field.type))
            for name, field in type_.fields.items()
        }
        required = {field.out_name or name for name, field in type_.fields.items() if is_required_input_field(field)}

        def coerce(value: Any) -> Any:
            if value is None:
                return None
            if not isinstance(value, dict):
                return Undefined
            coerced: dict[str, Any] = {}
            for name, given in value.items():
                field = fields.get(name)
                if field is None:
                    return Undefined
                out_name, inner, is_text = field
                # Most values are texts, and as they are.
                found = given if is_text and type(given) is str else inner(given)
                if found is Undefined:
                    return Undefined
                coerced[out_name] = found
            return coerced if required <= coerced.keys() else Undefined

        return coerce


def has_default(field: GraphQLInputField | GraphQLArgument) -> bool:
    """Whether a field or an argument has a value where none is given."""
    return field.default_value is not Undefined or field.default is not None


def _is_text(type_: GraphQLInputType) -> bool:
    return getattr(get_nullable_type(type_), "name", None) == GraphQLString.name


def _list(inner: Coerce) -> Coerce:
    def coerce(value: Any) -> Any:
        if value is None:
            return None
        found = [inner(item) for item in value] if isinstance(value, list) else [inner(value)]
        return Undefined if any(item is Undefined for item in found) else found

    return coerce


def _one_of(type_: GraphQLInputObjectType) -> Coerce:
    return lambda value: None if value is None else coerce_input_value(value, type_)


def _leaf(type_: GraphQLScalarType | GraphQLEnumType) -> Coerce:
    if type_.name == GraphQLString.name:
        return lambda value: value if value is None or type(value) is str else Undefined
    parse = type_.coerce_input_value

    def coerce(value: Any) -> Any:
        if value is None:
            return None
        try:
            return parse(value)
        except Exception:  # noqa: BLE001 - whatever it is, graphql-core will say it.
            return Undefined

    return coerce
