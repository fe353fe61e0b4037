"""What an operation selects of each type, and what of it is declared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from graphql import (
    GraphQLAbstractType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    get_nullable_type,
)
from graphql.execution.collect_fields import FieldDetailsList, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language import ArgumentNode, FieldNode, ObjectValueNode, ValueNode, VariableNode
from graphql.utilities import coerce_input_literal

from resolvers.declarations import Declaration
from schema.execution.coercion import has_default
from schema.execution.documents import Operation, variables_in
from schema.fields import declaration_of

TYPENAME = "__typename"


class Selected(NamedTuple):
    """A field that is selected, under the key that it is answered with."""

    key: str
    name: str
    parent: GraphQLObjectType
    field: GraphQLField | None
    """None: a field that every type has, such as __typename."""
    details: FieldDetailsList

    @property
    def node(self) -> FieldNode:
        return self.details[0].node

    @property
    def declaration(self) -> Declaration | None:
        return None if self.field is None else declaration_of(self.field)

    @property
    def type(self) -> GraphQLOutputType:
        assert self.field is not None
        return self.field.type

    @property
    def is_nullable(self) -> bool:
        return not isinstance(self.type, GraphQLNonNull)

    def arguments(self) -> "Arguments":
        """What reads its arguments."""
        assert self.field is not None
        return Arguments(self.field, self.node)


class Selections:
    """The selections of an operation, as its @skip and @include stand with some values of its variables."""

    def __init__(self, schema: GraphQLSchema, operation: Operation, variables: VariableValues) -> None:
        self._schema = schema
        self._operation = operation
        self._variables = variables
        self._known: dict[tuple[object, ...], list[Selected]] = {}
        """What is selected by the same nodes, which stand in every place where their fragment is spread."""

    def roots(self) -> list[Selected]:
        type_ = self._schema.get_root_type(self._operation.node.operation)
        assert type_ is not None
        node: OperationDefinitionNode = self._operation.node
        collected = collect_fields(self._schema, self._operation.fragments, self._variables, type_, node)
        return list(_selected(type_, collected.grouped_field_set))

    def of(self, selected: Selected) -> tuple[GraphQLObjectType, list[Selected]] | None:
        """The type that a field gives, and what is selected of it; None where the type is not known before."""
        type_ = get_named_type(selected.type)
        return (type_, self.of_type(selected, type_)) if isinstance(type_, GraphQLObjectType) else None

    def kinds(self, selected: Selected) -> Sequence[GraphQLObjectType]:
        """The types of which one is what a field gives."""
        return self._schema.get_possible_types(cast("GraphQLAbstractType", get_named_type(selected.type)))

    def of_type(self, selected: Selected, type_: GraphQLObjectType) -> list[Selected]:
        """What is selected of a field where it gives an object of a type."""
        key = type_.name, *[id(each.node) for each in selected.details]
        known = self._known.get(key)
        if known is None:
            collected = collect_subfields(
                self._schema,
                self._operation.fragments,
                self._variables,
                self._operation.node,
                type_,
                selected.details,
            )
            known = self._known[key] = list(_selected(type_, collected.grouped_field_set))
        return known


def _selected(type_: GraphQLObjectType, grouped: Mapping[str, FieldDetailsList]) -> Iterator[Selected]:
    for key, details in grouped.items():
        name = details[0].node.name.value
        yield Selected(key, name, type_, type_.fields.get(name), details)


class _Slowly(Exception):  # noqa: N818 - graphql-core reads them.
    """An argument whose rules are more than its value: a default, or a variable that was not given."""


Read = Callable[[Mapping[str, Any]], Any]
"""A value, by the values of variables."""


class Arguments:
    """Reads a field's arguments. What of them hangs on no variable is read once."""

    def __init__(self, field: GraphQLField, node: FieldNode) -> None:
        self._field = field
        self._node = node
        given = node.arguments or ()
        self.is_constant = not any(variables_in(argument.value) for argument in given)
        """Whether they are the same whatever the variables."""
        try:
            read = [(argument.name.value, self._read(argument)) for argument in given]
        except _Slowly:
            self._reads: Sequence[tuple[str, Read]] | None = None
            return
        defaults = {name for name, argument in field.args.items() if has_default(argument)}
        is_slow = self.is_constant or not defaults <= {name for name, _ in read}
        self._reads = None if is_slow else [(field.args[name].out_name or name, each) for name, each in read]

    def values(self, variables: VariableValues) -> dict[str, Any]:
        """The arguments' values. Raises GraphQLError where they are wrong."""
        if self._reads is not None:
            coerced = variables.coerced
            try:
                return {name: read(coerced) for name, read in self._reads}
            except (KeyError, _Slowly):
                pass
        return get_argument_values(self._field, self._node, variables)

    def _read(self, argument: ArgumentNode) -> Read:
        return _reading(argument.value, self._field.args[argument.name.value].type)


def _reading(node: ValueNode, type_: GraphQLInputType) -> Read:
    """How a value is read that a valid document gives."""
    if isinstance(node, VariableNode):
        return _variable(node.name.value)
    if not variables_in(node):
        value = coerce_input_literal(node, type_)
        return lambda _variables: value
    inner = get_nullable_type(type_)
    if not isinstance(node, ObjectValueNode) or not isinstance(inner, GraphQLInputObjectType):
        raise _Slowly
    if any(has_default(field) for field in inner.fields.values()):
        raise _Slowly
    fields = inner.fields
    reads = [
        (fields[each.name.value].out_name or each.name.value, _reading(each.value, fields[each.name.value].type))
        for each in node.fields
    ]
    return lambda variables: {name: read(variables) for name, read in reads}


def _variable(name: str) -> Read:
    def read(variables: Mapping[str, Any]) -> Any:
        value = variables[name]
        if value is None:
            # Where it stands may allow no null.
            raise _Slowly
        return value

    return read
