"""What an operation selects of each type, and what of it is declared."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from graphql import (
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetailsList, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language import FieldNode, ValueNode

from resolvers.declarations import Declaration
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

    @property
    def has_variables(self) -> bool:
        """Whether its arguments hang on variables."""
        return any(_has_variable(argument.value) for argument in self.node.arguments or ())

    def arguments(self, variables: VariableValues) -> dict[str, Any]:
        """Its arguments' values. Raises GraphQLError where they are wrong."""
        assert self.field is not None
        return get_argument_values(self.field, self.node, variables)


class Selections:
    """The selections of an operation, as its @skip and @include stand with some values of its variables."""

    def __init__(self, schema: GraphQLSchema, operation: Operation, variables: VariableValues) -> None:
        self._schema = schema
        self._operation = operation
        self._variables = variables

    def roots(self) -> list[Selected]:
        type_ = self._schema.get_root_type(self._operation.node.operation)
        assert type_ is not None
        node: OperationDefinitionNode = self._operation.node
        collected = collect_fields(self._schema, self._operation.fragments, self._variables, type_, node)
        return list(_selected(type_, collected.grouped_field_set))

    def of(self, selected: Selected) -> tuple[GraphQLObjectType, list[Selected]] | None:
        """The type that a field gives, and what is selected of it; None where the type is not known before."""
        type_ = get_named_type(selected.type)
        if not isinstance(type_, GraphQLObjectType):
            return None
        collected = collect_subfields(
            self._schema,
            self._operation.fragments,
            self._variables,
            self._operation.node,
            type_,
            selected.details,
        )
        return type_, list(_selected(type_, collected.grouped_field_set))


def _selected(type_: GraphQLObjectType, grouped: Mapping[str, FieldDetailsList]) -> Iterator[Selected]:
    for key, details in grouped.items():
        name = details[0].node.name.value
        yield Selected(key, name, type_, type_.fields.get(name), details)


def _has_variable(node: ValueNode) -> bool:
    return bool(variables_in(node))
