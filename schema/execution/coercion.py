"""Variables coerced by code that is made once for each input type.

graphql-core walks the type for each value again; a batch of 1,000 items costs it ten times the work. What is coerced
here equals what graphql-core would; whatever can't be coerced is left to graphql-core, which says why.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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

from resolvers.inputs import Alike
from schema.scalars import PARSED_TOGETHER

Coerce = Callable[[Any], Any]
"""A raw value's coerced one; Undefined where there is none."""

ALIKE_MIN = 16
"""Objects of a list that are worth being coerced key by key."""


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
                inner = get_nullable_type(type_.of_type)
                alike = self._alike(inner) if isinstance(inner, GraphQLInputObjectType) else None
                return _list(self.of(type_.of_type), alike)
            case GraphQLInputObjectType():
                return _one_of(type_) if type_.is_one_of else self._object(type_)
            case GraphQLScalarType() | GraphQLEnumType():
                return _leaf(type_)
            case _:
                raise AssertionError(type_)

    def _non_null(self, inner: Coerce) -> Coerce:
        return lambda value: Undefined if value is None else inner(value)

    def _object(self, type_: GraphQLInputObjectType) -> Coerce:
        if _has_defaults(type_):
            # Few types have defaults, and none that batches use.
            return lambda value: None if value is None else coerce_input_value(value, type_)
        fields = self._fields(type_)
        required = _required(type_)

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
                out_name, inner, is_text, _, _ = field
                # Most values are texts, and as they are.
                found = given if is_text and type(given) is str else inner(given)
                if found is Undefined:
                    return Undefined
                coerced[out_name] = found
            return coerced if required <= coerced.keys() else Undefined

        return coerce

    def _fields(self, type_: GraphQLInputObjectType) -> "dict[str, _Field]":
        return {
            name: _Field(
                field.out_name or name,
                self.of(field.type),
                is_text=_is_text(field.type),
                is_leaf=isinstance(get_nullable_type(field.type), GraphQLScalarType | GraphQLEnumType),
                parse_all=PARSED_TOGETHER.get(str(get_nullable_type(field.type))),
            )
            for name, field in type_.fields.items()
        }

    def _alike(self, type_: GraphQLInputObjectType) -> Coerce | None:
        """The coercing code of many objects that all have the same keys in the same order, key by key.

        Equal texts of a leaf are coerced once: the items of a batch have moments, kinds and requesters in common.
        """
        if type_.is_one_of or _has_defaults(type_):
            return None
        fields: dict[str, _Field] = {}
        required = _required(type_)

        def coerce(objects: list[dict[str, Any]]) -> Any:
            if not fields:
                fields.update(self._fields(type_))  # Not before it runs: a type may hold itself.
            names = list(objects[0])
            if not fields.keys() >= set(names):
                return Undefined
            if not required <= {fields[name].out_name for name in names}:
                return Undefined
            columns: dict[str, Sequence[Any]] = {}
            for name, given in zip(names, zip(*map(dict.values, objects), strict=True), strict=True):
                column = _column(fields[name], given)
                if column is None:
                    return Undefined
                columns[fields[name].out_name] = column
            return Alike(columns, len(objects))

        return coerce


class _Field(NamedTuple):
    out_name: str
    coerce: Coerce
    is_text: bool
    is_leaf: bool
    """Whether equal texts become equal values that nothing changes."""
    parse_all: Callable[[Sequence[str]], Sequence[Any] | None] | None
    """What makes the values of many texts at once, or None."""


def _column(field: _Field, given: Sequence[Any]) -> Sequence[Any] | None:
    """The coerced values of one key of many objects; None where one can't be."""
    is_all_text = set(map(type, given)) == {str}
    if is_all_text and field.is_text:
        return given
    if is_all_text and field.parse_all is not None:
        found = field.parse_all(given)
        if found is not None:
            return found
    if is_all_text and field.is_leaf:
        made = {text: field.coerce(text) for text in set(given)}
        return None if any(value is Undefined for value in made.values()) else [made[text] for text in given]
    found = [field.coerce(value) for value in given]
    return None if any(value is Undefined for value in found) else found


def _has_defaults(type_: GraphQLInputObjectType) -> bool:
    return any(has_default(field) for field in type_.fields.values())


def _required(type_: GraphQLInputObjectType) -> set[str]:
    return {field.out_name or name for name, field in type_.fields.items() if is_required_input_field(field)}


def has_default(field: GraphQLInputField | GraphQLArgument) -> bool:
    """Whether a field or an argument has a value where none is given."""
    return field.default_value is not Undefined or field.default is not None


def _is_text(type_: GraphQLInputType) -> bool:
    return getattr(get_nullable_type(type_), "name", None) == GraphQLString.name


def _list(inner: Coerce, alike: Coerce | None) -> Coerce:
    def coerce(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            value = [value]
        if alike is not None and len(value) >= ALIKE_MIN and _are_alike(value):
            return alike(value)
        found = [inner(item) for item in value]
        return Undefined if any(item is Undefined for item in found) else found

    return coerce


def _are_alike(values: list[Any]) -> bool:
    """Whether all are objects with the same keys, in the same order, and at least one."""
    if set(map(type, values)) != {dict}:
        return False
    keys = tuple(values[0])
    return bool(keys) and all(map(keys.__eq__, map(tuple, values)))


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
